"""Do the choices' weights decide? What searches logged of them as they went, in a space whose supernet says so by column."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.tables import number, signed, table

COLUMN = "fusion_"
"""How the metrics begin whose rest is a column's number."""

CERTAIN = 0.9
"""A weight of so much, or of 1 less so much, counts as decided."""


def choices(page: Path, searched: Mapping[str, Any]) -> str:
    """The weights of all columns over each search, and the gap between supernet and derived network; nothing without them."""
    courses = {name: course for name, result in searched.items() if (course := weights(result.get("history", [])))}
    if not courses:
        return ""
    write_bytes(page.with_suffix("") / "weights.png", figures.weights(courses))
    rows = []
    for name, course in courses.items():
        last = [values[-1][1] for values in course.values()]
        decided = sum(max(weight, 1 - weight) >= CERTAIN for weight in last)
        metrics = {metric: value for _, metric, value in searched[name]["history"]}  # the last of each
        entropy = metrics["choice_entropy"] / math.log(2)
        fusions = sum(weight > 0.5 for weight in last)
        rows.append(
            [
                name,
                f"{decided} of {len(last)}",
                number(entropy, 3),
                f"{fusions} F",
                signed(metrics["discretisation_gap"], 3),
            ]
        )
    columns = ["search", "columns decided", "entropy, bits", "fusions", "gap"]
    return "\n\n".join(
        [
            "## Do the weights decide?",
            table(columns, rows, columns[2:]),
            f"At the last step. Decided: a weight of {CERTAIN:g} or more. Gap: score on V of the supernet less that with every "
            "column one-hot, before any retraining.",
            f"![weight of fusion in each column over the search, and at its end]({page.stem}/weights.png)",
        ]
    )


def weights(history: list[list[Any]]) -> dict[int, list[tuple[int, float]]]:
    """Of a search's history the weight of fusion by column: (step, weight) in order."""
    found: dict[int, list[tuple[int, float]]] = {}
    for step, metric, value in history:
        number_of = metric.removeprefix(COLUMN)
        if metric.startswith(COLUMN) and number_of.isdecimal():
            found.setdefault(int(number_of), []).append((step, value))
    return found
