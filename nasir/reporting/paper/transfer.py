"""Table T: does a found architecture belong to its task? What one task's search found, trained on another.

A reviewer of CLEARER asked whether what is found belongs to the task or to the data. Every network is trained from scratch
on its row's task, at that task's sizes and lengths; only the architecture comes from elsewhere.
"""

from dataclasses import dataclass

from nasir.reporting.cells import Result
from nasir.reporting.contest import compare_shared
from nasir.reporting.paper.study import FOUND, LEVEL, NOT_RUN, TRANSFER, Method, Study
from nasir.reporting.tables import against, interval, psnr, ssim, table

COLUMNS = (
    "task", "our_dataset", "sigma", "found_on", "profile", "psnr_db", "low", "high", "ssim_zero_padded", "ssim_valid",
    "images", "runs", "reason",
)  # fmt: skip
"""Of the CSV file; all under `whole`."""


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """One architecture on one task."""

    task: str
    sigma: float | None  # None: the images come degraded
    source: str  # the task whose search found it
    result: Result | None  # with scores under `whole`
    reason: str  # where nothing ran: why


def entries(study: Study) -> list[Transferred]:
    """Every architecture on every task that the plan has it for; the task's own first."""
    found = []
    for task, part in study.plan.parts.items():
        others = {name.removeprefix(TRANSFER): name for name in part.methods if name.startswith(TRANSFER)}
        sigma = next((part.methods[name].sigmas[0] for name in others.values()), None)
        if sigma is None:
            continue
        own = {task: FOUND} if FOUND in part.methods else {}
        for source, name in (own | others).items():
            result, reason = _find(study, task, name, part.methods[name], sigma)
            level = None if task in LEVEL else sigma
            found.append(Transferred(task=task, sigma=level, source=source, result=result, reason=reason))
    return found


def section(study: Study) -> str:
    """The table with its caption and what each task's images can tell."""
    content = entries(study)
    parts = ["## Table T: architectures on other tasks"]
    if not content:
        return f"{parts[0]}\n\n**Table T. {study.plan.label}** {NOT_RUN.capitalize()}: the plan has no such trial."
    rows = [
        [entry.task, _level(entry), study.plan.parts[entry.task].dataset, entry.source, *_scores(entry)]
        for entry in content
    ]
    parts += [
        f"**Table T. {study.plan.label}** The network that one task's search found, trained from scratch on another, at that "
        "task's sizes and lengths; PSNR, dB with the 95 % interval over images / SSIM (zero-padded), under `whole`. The paper "
        "prints no such table.",
        table(("task", "sigma", "data set", "architecture found on", "ours, `whole`"), rows, ("sigma",)),
    ]
    if sentences := _findings(content):
        parts.append(" ".join(sentences))
        parts.append(
            "The intervals are over images. Two trainings of one architecture differ, too; of as few as stand here nobody can "
            "tell the architecture's share from the training's."
        )
    if any(entry.source == "derain" and study.plan.parts[entry.source].dataset == "rain800" for entry in content):
        parts.append(
            "Rain800 has pairs of pictures that BSDS500 tests with, and the search for de-raining sees them in the rain "
            "(`split.exclude_elsewhere`); of that only the architecture comes to another task."
        )
    reasons = dict.fromkeys(entry.reason for entry in content if entry.reason)
    if reasons:
        parts.append("\n".join(f"- {NOT_RUN}: {reason}." for reason in reasons))
    return "\n\n".join(parts)


def csv_rows(study: Study) -> list[dict[str, object]]:
    """Every entry, with the columns `COLUMNS`; what was not scored is empty."""
    rows: list[dict[str, object]] = []
    for entry in entries(study):
        result = entry.result
        means = [
            result.value("whole", measure) if result else None
            for measure in ("psnr_db", "ssim_zero_padded", "ssim_valid")
        ]
        decibels = means[0]
        bounds = decibels.interval if decibels else None
        values = (
            entry.task, study.plan.parts[entry.task].dataset, entry.sigma, entry.source, study.plan.profile,
            decibels.mean if decibels else None, bounds.low if bounds else None, bounds.high if bounds else None,
            *(value.mean if value else None for value in means[1:]), decibels.images if decibels else 0,
            "; ".join(result.runs) if result else None, entry.reason,
        )  # fmt: skip
        rows.append({key: "" if item is None else item for key, item in zip(COLUMNS, values, strict=True)})
    return rows


def _find(study: Study, task: str, name: str, method: Method, sigma: float) -> tuple[Result | None, str]:
    if method.reason is not None:
        return None, method.reason
    if sigma not in method.sigmas:
        return None, f"{name} of {task} runs sigma {', '.join(f'{level:g}' for level in method.sigmas)} only"
    result = study.results[task, name, sigma]
    if result.reason is not None:
        return None, result.reason
    return (result, "") if "whole" in result.scores else (None, f"{name} of {task} was not scored under `whole`")


def _level(entry: Transferred) -> str:
    return "" if entry.sigma is None else f"{entry.sigma:g}"


def _scores(entry: Transferred) -> list[str]:
    decibels = entry.result.value("whole", "psnr_db") if entry.result else None
    similarity = entry.result.value("whole", "ssim_zero_padded") if entry.result else None
    if decibels is None or similarity is None:
        return [NOT_RUN]
    bounds = f" {interval(decibels.interval, 2)}" if decibels.interval else ""
    return [f"{psnr(decibels.mean)}{bounds} / {ssim(similarity.mean)}"]


def _findings(content: list[Transferred]) -> list[str]:
    """A sentence for each task: the first architecture against each other one, image by image."""
    sentences = []
    for task in dict.fromkeys(entry.task for entry in content):
        ran = [
            (e.source, e.result.scores["whole"]["psnr_db"]) for e in content if e.task == task and e.result is not None
        ]
        for source, scores in ran[1:]:
            compared = compare_shared(ran[0][1], scores)
            if compared is not None:
                words = against(compared, f"that found on {source}")
                sentences.append(f"On {task} the architecture found on {ran[0][0]} {words}.")
    return sentences
