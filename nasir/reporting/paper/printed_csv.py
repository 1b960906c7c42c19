"""The papers' tables as rows of one CSV file."""

from nasir.evaluation.statistics import Interval
from nasir.reporting.cells import MEASURES, Value
from nasir.reporting.paper.study import TITLES, Study
from nasir.reporting.paper.verdicts import Line, lines

COLUMNS = (
    "table", "row", "method", "dataset", "sigma", "measure", "printed", "protocol_inferred", "profile", "our_dataset",
    "ours_inferred", "low", "high", "ours_whole", "whole_low", "whole_high", "whole_run_std", "ours_luma", "difference",
    "whole_minus_inferred", "change_low", "change_high", "verdict", "reason", "images", "runs", "genotypes",
)  # fmt: skip
"""Of the CSV file. `low` and `high`: 95 % interval of `ours_inferred`; `images`: those behind it, else behind
`ours_whole`; `genotypes`: SHA-256 of the files of the networks that were found."""

SHORT_NAMES = {"psnr_db": "psnr", "ssim_zero_padded": "ssim", "ssim_valid": "ssim_valid"}
"""The measures in the CSV file; the printed SSIM is the zero-padded one."""


def csv_rows(study: Study) -> list[dict[str, object]]:
    """Every line of every table under every measure, with the columns `COLUMNS`; what is not known is empty."""
    return [_csv_row(study, name, line, m) for name in TITLES for line in lines(study, name) for m in MEASURES]


def _csv_row(study: Study, name: str, line: Line, measure: str) -> dict[str, object]:
    there, whole, luma = (values.get(measure) for values in (line.there, line.whole, line.luma))
    change = line.protocol_change.get(measure)
    printed = {"psnr_db": line.printed.psnr_db, "ssim_zero_padded": line.printed.ssim} if line.printed else {}
    low, high = _bounds(there.interval if there else None)
    whole_low, whole_high = _bounds(whole.interval if whole else None)
    values = (
        name, line.row.label, line.row.method, line.dataset if line.printed else None, line.sigma,
        SHORT_NAMES[measure], printed.get(measure),
        line.printed.protocol if line.printed else None, study.plan.profile, study.plan.parts[line.task].dataset,
        there.mean if there else None, low, high, whole.mean if whole else None, whole_low, whole_high,
        whole.spread.std if whole else None, luma.mean if luma else None, line.difference.get(measure),
        change.difference.mean if change else None, *_bounds(change.difference if change else None),
        line.verdict[measure], line.reason, _count(there or whole),
        "; ".join(line.result.runs) if line.result else None,
        "; ".join(line.result.genotypes) if line.result else None,
    )  # fmt: skip
    return {key: "" if value is None else value for key, value in zip(COLUMNS, values, strict=True)}


def _bounds(bounds: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else (bounds.low, bounds.high)


def _count(value: Value | None) -> int | None:
    return None if value is None else value.images
