"""Markdown tables and numbers, and the tables of scores."""

import math
from collections.abc import Sequence
from typing import Any

from nasir import task as tasks
from nasir.evaluation.statistics import Comparison, Interval, mean_interval
from nasir.reporting import contest
from nasir.reporting.cells import MEASURES
from nasir.reporting.run.record import Record

OURS = "nasir"
"""The method name of the network that the run found."""

INPUT = "noisy"
"""The method name of the unrestored input."""


RESULTS = ("1", "2", "3")
"""The paper's tables of results; the others hold variants."""


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


def signed(value: float, digits: int) -> str:
    """A number with its sign, also where it rounds to zero: +0.12, -1.30, +0.00."""
    return f"{float(number(value, digits).replace(',', '')) + 0.0:+,.{digits}f}"


def interval(bounds: Interval, digits: int) -> str:
    """A 95 % interval: [26.40, 27.02]."""
    return f"[{number(bounds.low, digits)}, {number(bounds.high, digits)}]"


def p_value(comparison: Comparison) -> str:
    """Wilcoxon's p with three decimals: 0.004, or < 0.001."""
    return "< 0.001" if comparison.wilcoxon_p < 0.001 else number(comparison.wilcoxon_p, 3)


def paired(comparison: Comparison, digits: int, unit: str) -> str:
    """A paired difference with its evidence: 0.12 dB (95 % interval 0.05 to 0.19, Wilcoxon p 0.004, 200 images)."""
    difference = comparison.difference
    return (
        f"{number(difference.mean, digits)} {unit} (95 % interval {number(difference.low, digits)} to "
        f"{number(difference.high, digits)}, Wilcoxon p {p_value(comparison)}, {comparison.images} images)"
    )


def against(comparison: Comparison, other: str) -> str:
    """Is above, or below, another by so many dB, or cannot be told apart from it; with the evidence."""
    difference = comparison.difference
    if not difference.excludes_zero:
        return f"cannot be told apart from {other}: difference {paired(comparison, 2, 'dB')}"
    return f"is {'above' if difference.mean > 0 else 'below'} {other}: difference {paired(comparison, 2, 'dB')}"


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
        OURS: "found network (this run)",
        INPUT: f"{tasks.find(record.params.task).degraded} input, clipped to [0, 1]",
        "tv": "total variation",
        "nlm": "non-local means",
    }.get(method, method)
    settings = record.metrics.get("classical", {}).get(method, {})
    return words + "".join(f", {name} {value:.4g}" for name, value in settings.items())


def scores(record: Record) -> str:
    """Mean scores of every method under every protocol, one row each, beside what a method costs.

    A protocol's best value is bold only where the paired interval against every other method excludes zero.
    """
    columns = (
        "protocol", "method", "PSNR, dB", "95 % interval", "SSIM, zero-padded", "SSIM, valid", "seconds per image",
    )  # fmt: skip
    rows = []
    for protocol in protocols(record):
        scored = [method for method in methods(record) if protocol in record.metrics["methods"][method]]
        winners = {measure: _clear_winner(record, scored, protocol, measure) for measure in MEASURES}
        for method in scored:
            score = record.metrics["methods"][method][protocol]
            means = [psnr(score["psnr_db"]), ssim(score["ssim_zero_padded"]), ssim(score["ssim_valid"])]
            shown = [f"**{v}**" if winners[m] == method else v for m, v in zip(MEASURES, means, strict=True)]
            values = list(record.scores[method][protocol]["psnr_db"].values())
            bounds = interval(mean_interval(values), 2) if len(values) > 1 else "one image"
            seconds = record.seconds_per_image.get(method, {}).get(protocol)
            cost = "" if seconds is None else number(seconds, 3)
            rows.append([f"`{protocol}`", label(record, method), shown[0], bounds, *shown[1:], cost])
    return table(columns, rows, columns[2:])


def _clear_winner(record: Record, scored: Sequence[str], protocol: str, measure: str) -> str | None:
    """The best method, where the images tell it apart from every other one."""
    held = contest.hold({method: record.scores[method][protocol][measure] for method in scored})
    return held.best if held is not None and held.is_clear else None


def against_opponents(record: Record) -> list[str]:
    """A sentence for each protocol: the found network against the best of the others, image by image."""
    sentences = []
    for protocol in protocols(record):
        values = {m: s[protocol]["psnr_db"] for m, s in record.scores.items() if protocol in s}
        opponents = [method for method in values if method != OURS]
        if OURS not in values or not opponents:
            continue
        best = max(opponents, key=lambda method: record.metrics["methods"][method][protocol]["psnr_db"])
        compared = contest.compare_shared(values[OURS], values[best])
        if compared is not None:
            other = f"the best of the others ({label(record, best)})"
            sentences.append(f"`{protocol}`: the found network {against(compared, other)}.")
    return sentences


def published_rows(record: Record) -> list[dict[str, str]]:
    """Rows of the paper's Tables 1 to 3, those of its results, for the run's data set and, of noise, its level."""
    sigma = None if tasks.find(record.params.task).is_paired else record.params.sigma
    return [
        row
        for row in record.published
        if row["table"] in RESULTS
        and row["dataset"] == record.params.dataset
        and (float(row["sigma"]) if row["sigma"] else None) == sigma
    ]


def published(record: Record) -> str:
    """The published values of the same data set and noise level, or a sentence that there are none."""
    rows = published_rows(record)
    dataset, sigma = record.params.dataset, record.params.sigma
    if not rows:
        if tasks.find(record.params.task).is_paired:
            return f"There are no published values for the task {record.params.task} on data set `{dataset}`."
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
