"""Printed values beside ours: each line of a table, and what may be said of it.

A verdict is given only where both values are of the same images (the printed value's data set, all of its test images)
under the same protocol (the one that the printed value was most likely measured with). Everywhere else the line says
why there is none.
"""

from dataclasses import dataclass

from nasir.evaluation.statistics import Comparison
from nasir.reporting.cells import MEASURES, Result, Value
from nasir.reporting.contest import compare_shared
from nasir.reporting.paper.study import LEVEL, NOT_RUN, TASK_OF, Printed, Row, Study, tasks_of

TOLERANCE = {"psnr_db": 0.1, "ssim_zero_padded": 0.005}
"""A difference up to this much counts as reproduced: about what another implementation and other seeds change."""

DIGITS = {"psnr_db": 2, "ssim_zero_padded": 4, "ssim_valid": 4}
"""Decimals of each measure, as the paper prints them."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table on one data set at one noise level."""

    row: Row
    task: str
    dataset: str  # that the paper prints it for; of a noise level without printed values ours
    sigma: float | None
    printed: Printed | None
    result: Result | None  # None where nothing ran
    reason: str  # where nothing ran: why; else what is to be known about what ran
    there: dict[str, Value]  # ours under the printed value's protocol, by measure; empty where not scored
    whole: dict[str, Value]  # ours under `whole`
    luma: dict[str, Value]  # ours under `whole+y`, the luma of RGB images
    protocol_change: dict[str, Comparison]  # `whole` minus `there`, on the images of both
    difference: dict[str, float]  # ours minus printed, where there is a verdict
    verdict: dict[str, str]  # by measure


def judge(printed: float, ours: float, measure: str) -> str:
    """Say how ours stands to the printed value: reproduced, short by x or above by x (dB, or unitless for SSIM)."""
    difference = ours - printed
    if round(abs(difference), 9) <= TOLERANCE[measure]:
        return "reproduced"
    return f"{'above' if difference > 0 else 'short'} by {abs(difference):.{DIGITS[measure]}f}"


def lines(study: Study, table: str) -> list[Line]:
    """All lines of one table: by data set and sigma, and within these in the order of the rows."""
    printed = {(p.dataset, p.sigma, p.row): p for p in study.printed if p.table == table}
    rows = [row for row in study.rows if row.table == table]
    groups = list(dict.fromkeys((TASK_OF[dataset], dataset, sigma) for dataset, sigma, _ in printed))
    for task in tasks_of(study.printed, table):
        known = {LEVEL.get(task) if sigma is None else sigma for of, _, sigma in groups if of == task}
        planned = [study.plan.parts[task].methods[row.method].sigmas for row in rows if row.method]
        common = [sigma for sigma in planned[0] if all(sigma in sigmas for sigmas in planned)] if planned else []
        groups += [(task, study.plan.parts[task].dataset, sigma) for sigma in common if sigma not in known]
    return [
        _line(study, row, task, dataset, sigma, printed.get((dataset, sigma, row.label)))
        for task, dataset, sigma in groups
        for row in rows
        if row.method or (dataset, sigma, row.label) in printed
    ]


def _line(study: Study, row: Row, task: str, dataset: str, sigma: float | None, printed: Printed | None) -> Line:
    result, reason = _find(study, row, task, sigma)
    there: dict[str, Value] = {}
    whole: dict[str, Value] = {}
    luma: dict[str, Value] = {}
    change: dict[str, Comparison] = {}
    if result is not None:
        protocol = printed.protocol if printed is not None else ""
        for measure in MEASURES:
            for values, name in ((there, protocol), (whole, "whole"), (luma, "whole+y")):
                if (value := result.value(name, measure)) is not None:
                    values[measure] = value
            if measure in there and measure in whole and protocol != "whole":
                compared = compare_shared(result.scores["whole"][measure], result.scores[protocol][measure])
                if compared is not None:
                    change[measure] = compared
    obstacle = _obstacle(row, printed, result, there, study.plan.parts[task].dataset)
    difference: dict[str, float] = {}
    verdict = dict.fromkeys(MEASURES, obstacle or "no verdict: other definition")
    if obstacle is None and printed is not None:
        for measure, number in (("psnr_db", printed.psnr_db), ("ssim_zero_padded", printed.ssim)):
            difference[measure] = there[measure].mean - number
            verdict[measure] = judge(number, there[measure].mean, measure)
    return Line(
        row=row, task=task, dataset=dataset, sigma=sigma, printed=printed, result=result, reason=reason, there=there,
        whole=whole, luma=luma, protocol_change=change, difference=difference, verdict=verdict,
    )  # fmt: skip


def _find(study: Study, row: Row, task: str, sigma: float | None) -> tuple[Result | None, str]:
    """What ran for a row at a sigma, with a remark; or None, with the reason."""
    if row.method is None:
        return None, row.why[1] if row.why else ""
    planned = study.plan.parts[task].methods[row.method]
    if planned.reason is not None:
        return None, planned.reason
    level = LEVEL[task] if sigma is None else sigma
    if level not in planned.sigmas:
        return None, f"this profile runs sigma {', '.join(f'{level:g}' for level in planned.sigmas)} only"
    result = study.results[task, row.method, level]
    if result.reason is not None:
        return None, result.reason
    return result, "; ".join(result.gaps)


def _obstacle(
    row: Row, printed: Printed | None, result: Result | None, there: dict[str, Value], dataset: str
) -> str | None:
    """Why ours cannot be held against the printed value; None where it can."""
    if row.why is not None:
        return row.why[0]
    if result is None:
        return NOT_RUN
    if printed is None:
        return "no printed value"
    if printed.dataset != dataset:
        return "no verdict: other images"
    if printed.protocol == "unknown":
        return "no verdict: protocol unknown"
    if not there:
        return f"no verdict: `{printed.protocol}` not scored"
    covered = there["psnr_db"].images
    return None if covered == result.images else f"no verdict: {covered} of {result.images} images"
