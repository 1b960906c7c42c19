"""Rows of measurements as a Markdown table."""

from collections.abc import Mapping, Sequence


def to_markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """A table with a column for each key, in the order of the first row."""
    columns = list(rows[0])
    lines = [[column.replace("_", " ") for column in columns], ["---"] * len(columns)]
    lines += [[_text(row[column]) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)
