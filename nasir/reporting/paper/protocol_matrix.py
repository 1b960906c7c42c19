"""Table P: the found network under every protocol. What the protocol alone is worth, the weights being the same."""

from dataclasses import dataclass

from nasir.evaluation import protocols
from nasir.evaluation.statistics import Comparison, Interval
from nasir.reporting.cells import MEASURES, Result, Value
from nasir.reporting.contest import compare_shared
from nasir.reporting.paper.study import FOUND, HOME, NOT_RUN, Study
from nasir.reporting.tables import against, interval, psnr, signed, ssim, table

COLUMNS = (
    "method", "sigma", "protocol", "profile", "our_dataset", "measure", "mean", "low", "high", "change", "change_low",
    "change_high", "wilcoxon_p", "images",
)  # fmt: skip
"""Of the CSV file. `change`: the protocol minus `whole`, paired, on the images of both."""


@dataclass(frozen=True, kw_only=True)
class Under:
    """The network under one protocol."""

    protocol: str
    values: dict[str, Value]  # by measure; empty where it was not scored
    change: dict[str, Comparison]  # minus `whole`


def rows_of(study: Study) -> list[Under]:
    """One for each protocol of the plan, in its order."""
    result = _result(study)
    return [] if result is None else [_under(result, name) for name in study.plan.protocols]


def section(study: Study) -> str:
    """The table with its caption and what `overlap` and `overlap-shared` show."""
    plan = study.plan
    head = "## Table P: one network under every protocol"
    result = _result(study)
    if result is None:
        reason = plan.parts[HOME].methods[FOUND].reason if study.matrix is None else study.matrix.reason
        return f"{head}\n\n**Table P. {plan.label}** {NOT_RUN.capitalize()}: {reason}."
    caption = (
        f"**Table P. {plan.label}** The found network at sigma {plan.matrix_sigma:g}, the same weights in every row"
        f"{'' if len(result.runs) == 1 else f', mean over {len(result.runs)} seeds'}. 95 % intervals over images; the "
        "change against `whole` is paired, image by image."
    )
    columns = (
        "protocol",
        "PSNR, dB",
        "change against `whole`, dB",
        "SSIM, zero-padded",
        "SSIM, valid",
        "images",
        "what",
    )
    rows = [_cells(row) for row in rows_of(study)]
    parts = [head, caption, table(columns, rows, ("images",)), *_findings(result), *_remarks(study)]
    return "\n\n".join(parts)


def csv_rows(study: Study) -> list[dict[str, object]]:
    """Every protocol under every measure, with the columns `COLUMNS`; what was not scored is empty."""
    return [_csv_row(study, row, measure) for row in rows_of(study) for measure in MEASURES]


def _result(study: Study) -> Result | None:
    return None if study.matrix is None or study.matrix.reason is not None else study.matrix


def _under(result: Result, protocol: str) -> Under:
    values = {measure: value for measure in MEASURES if (value := result.value(protocol, measure)) is not None}
    change = {}
    for measure in values if protocol != "whole" and "whole" in result.scores else ():
        compared = compare_shared(result.scores[protocol][measure], result.scores["whole"][measure])
        if compared is not None:
            change[measure] = compared
    return Under(protocol=protocol, values=values, change=change)


def _cells(row: Under) -> list[str]:
    what = protocols.find(row.protocol).description
    if not row.values:
        return [f"`{row.protocol}`", NOT_RUN, "", "", "", "0", what]
    decibels = row.values["psnr_db"]
    change = row.change.get("psnr_db")
    return [
        f"`{row.protocol}`",
        psnr(decibels.mean) + (f" {interval(decibels.interval, 2)}" if decibels.interval else ""),
        "" if change is None else f"{signed(change.difference.mean, 2)} {interval(change.difference, 2)}",
        ssim(row.values["ssim_zero_padded"].mean),
        ssim(row.values["ssim_valid"].mean),
        str(decibels.images),
        what,
    ]


def _findings(result: Result) -> list[str]:
    """What overlapping patches are worth with and without repeated draws of the noise, as far as the images can tell."""
    overlap, control = (_under(result, name).change.get("psnr_db") for name in ("overlap", "overlap-shared"))
    sentences = []
    if overlap is not None:
        sentences.append(f"`overlap` {against(overlap, '`whole`')}.")
    if control is not None:
        sentences.append(f"`overlap-shared`, the same patches cut from one noise field, {against(control, '`whole`')}.")
    if overlap is not None and control is not None:
        draws = compare_shared(result.scores["overlap"]["psnr_db"], result.scores["overlap-shared"]["psnr_db"])
        if draws is not None:
            sentences.append(_conclusion(draws, control.difference))
    return [" ".join(sentences)] if sentences else []


def _conclusion(draws: Comparison, control: Interval) -> str:
    """The difference of the two protocols is in the noise alone: the grid, the averaging and the network are the same."""
    start = f"The two differ in the noise alone: `overlap` {against(draws, '`overlap-shared`')}."
    if not (draws.difference.excludes_zero and draws.difference.mean > 0):
        return f"{start} These images do not show that repeated draws of the noise raise the score."
    if control.excludes_zero and control.mean > 0:
        return f"{start} That much is due to the repeated draws of the noise, the rest to averaging patches."
    return (
        f"{start} That much is due to the repeated draws of the noise. Averaging patches of one draw, as of a photograph, "
        "shows no gain."
    )


def _remarks(study: Study) -> list[str]:
    """What else must be known to read the rows that are there."""
    scored = {row.protocol.partition("+")[0] for row in rows_of(study) if row.values}
    remarks = []
    by_patches = [f"`{name}`" for name in ("patch-mean", "clearer-patches") if name in scored]
    if by_patches:
        remarks.append(
            f"{', '.join(by_patches)}: an image's PSNR is the mean over its patches in dB, not the PSNR of the joined image. For "
            "patches that do not overlap it is never below that: the mean of logarithms is at most the logarithm of the mean."
        )
    if "half" in scored:
        remarks.append("`half`: other, smaller images, so the change is that of the test set, not of the network.")
    if {"clearer", "clearer-patches"} & scored:
        remarks.append(
            "`clearer`, `clearer-patches`: the middle of each image alone, so a part of the change is that of the pixels."
        )
    return ["\n".join(f"- {remark}" for remark in remarks)] if remarks else []


def _csv_row(study: Study, row: Under, measure: str) -> dict[str, object]:
    value, change = row.values.get(measure), row.change.get(measure)
    bounds = value.interval if value else None
    values = (
        FOUND, study.plan.matrix_sigma, row.protocol, study.plan.profile, study.plan.parts[HOME].dataset, measure,
        value.mean if value else None, bounds.low if bounds else None, bounds.high if bounds else None,
        change.difference.mean if change else None, change.difference.low if change else None,
        change.difference.high if change else None, change.wilcoxon_p if change else None,
        value.images if value else 0,
    )  # fmt: skip
    return {key: "" if item is None else item for key, item in zip(COLUMNS, values, strict=True)}
