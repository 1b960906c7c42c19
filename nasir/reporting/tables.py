"""Markdown tables and numbers, and the tables of scores."""

import math
from collections.abc import Sequence
from typing import Any

from nasir.reporting.record import Record

OURS = "nasir"
"""The method name of the network that the run found."""

INPUT = "noisy"
"""The method name of the unrestored input."""


def number(value: float, digits: int) -> str:
    """A finite number with that many decimals and thousands separated: 12,345.68."""
    if not math.isfinite(value):
        raise ValueError(f"a report shows finite numbers only, got {value}; look for the step that wrote it.")
    return f"{value:,.{digits}f}"


def psnr(value: float) -> str:
    """PSNR in dB with two decimals."""
    return number(value, 2)


def ssim(value: float) -> str:
    """SSIM with four decimals."""
    return number(value, 4)


def cell(text: object) -> str:
    """Text that may stand in a table: one line, bars escaped."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()) -> str:
    """A Markdown table; the columns named in `numbers` are aligned to the right."""
    lines = [columns, ["---:" if column in numbers else "---" for column in columns], *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def methods(record: Record) -> list[str]:
    """Scored methods: the noisy input first, the found network last."""
    names = list(record.metrics["methods"])
    return sorted(names, key=lambda name: (name != INPUT, name == OURS))


def protocols(record: Record) -> list[str]:
    """Protocols with scores, in the order of the metrics file."""
    return list(dict.fromkeys(name for scores in record.metrics["methods"].values() for name in scores))


def label(record: Record, method: str) -> str:
    """A method in words, with the setting that was chosen for it on V."""
    words = {
        OURS: "**found network (this run)**",
        INPUT: "noisy input, clipped to [0, 1]",
        "tv": "total variation",
        "nlm": "non-local means",
    }.get(method, method)
    settings = record.metrics.get("classical", {}).get(method, {})
    return words + "".join(f", {name} {value:.4g}" for name, value in settings.items())


def scores(record: Record) -> str:
    """Mean scores of every method under every protocol, one row each, beside what a method costs."""
    columns = ("protocol", "method", "PSNR, dB", "SSIM, zero-padded", "SSIM, valid", "seconds per image")
    rows = []
    for protocol in protocols(record):
        for method in methods(record):
            score = record.metrics["methods"][method].get(protocol)
            if score is None:
                continue
            seconds = record.seconds_per_image.get(method, {}).get(protocol)
            values = [psnr(score["psnr_db"]), ssim(score["ssim_zero_padded"]), ssim(score["ssim_valid"])]
            values = [f"**{value}**" if method == OURS else value for value in values]
            rows.append(
                [f"`{protocol}`", label(record, method), *values, "" if seconds is None else number(seconds, 3)]
            )
    return table(columns, rows, columns[2:])


def published_rows(record: Record) -> list[dict[str, str]]:
    """Rows of the paper's Table 1 for the run's data set and noise level."""
    return [
        row
        for row in record.published
        if row["table"] == "1"
        and row["dataset"] == record.params.dataset
        and row["sigma"]
        and float(row["sigma"]) == record.params.sigma
    ]


def published(record: Record) -> str:
    """The published values of the same data set and noise level, or a sentence that there are none."""
    rows = published_rows(record)
    dataset, sigma = record.params.dataset, record.params.sigma
    if not rows:
        levels = [row["sigma"] for row in record.published if row["table"] == "1" and row["dataset"] == dataset]
        known = ", ".join(dict.fromkeys(levels))
        others = f" (there are some for sigma {known})" if known else ""
        return f"There are no published values for data set `{dataset}` at sigma {sigma:g}{others}."
    columns = ("protocol, inferred", "method", "PSNR, dB", "SSIM", "parameters, M", "source", "note")
    return table(
        columns,
        [
            [
                "unknown" if row["protocol_inferred"] == "unknown" else f"`{row['protocol_inferred']}`",
                row["row"],
                psnr(float(row["psnr_db"])),
                ssim(float(row["ssim"])),
                row["params_m"],
                row["source"],
                row["note"],
            ]
            for row in rows
        ],
        ("PSNR, dB", "SSIM", "parameters, M"),
    )


def fact(value: Any) -> str:
    """A value of a JSON file as a reader wants it: 12,345, yes, 0.1234, "a, b"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        number(value, 0)  # refuses what is not finite
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {fact(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(fact(item) for item in value)
    return "none" if value is None else str(value)
