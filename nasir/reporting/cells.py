"""What one method scored at one noise level: a cell for each seed, read and joined."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nasir.evaluation.statistics import Interval, Spread, mean_interval, over_seeds
from nasir.files import read_csv, read_json

MEASURES = ("psnr_db", "ssim_zero_padded", "ssim_valid")
"""What is measured on each image; the printed SSIM is the zero-padded one."""

Scores = dict[str, dict[str, dict[str, float]]]
"""Values by protocol, measure and image."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method at one sigma with one seed, and one draw where it has several."""

    name: str  # which one: "seed 0"
    reason: str | None  # why it did not run
    images: int  # size of the test set; a protocol may cover fewer
    settings: dict[str, float]  # chosen on V
    flops_per_pixel: float | None
    scores: Scores  # empty where it did not run


@dataclass(frozen=True, kw_only=True)
class Value:
    """A mean over images, each of which is a mean over runs."""

    interval: Interval | None  # of the mean over images; None for a single image
    mean: float
    spread: Spread  # of the runs' means
    images: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """One method at one sigma over its runs: its seeds, and its draws where it has several."""

    reason: str | None  # why nothing ran
    gaps: tuple[str, ...]  # runs that are missing beside others that are there, each with its reason
    runs: tuple[str, ...]  # that are there: "seed 0", "draw 2, seed 0"
    images: int
    settings: tuple[dict[str, float], ...]  # of the runs, each once
    flops_per_pixel: float | None
    scores: Scores  # of each image, mean over runs
    run_means: dict[str, dict[str, list[float]]]  # by protocol and measure, one for each run

    def value(self, protocol: str, measure: str) -> Value | None:
        """Mean, interval and spread under one protocol; None where it was not scored."""
        if protocol not in self.scores:
            return None
        values = list(self.scores[protocol][measure].values())
        return Value(
            interval=mean_interval(values) if len(values) > 1 else None,
            mean=fmean(values),
            spread=over_seeds(self.run_means[protocol][measure]),
            images=len(values),
        )


def folder_name(method: str, sigma: float, seed: int, draw: int | None = None) -> str:
    """Name of a cell's folder: irnas-50-0, or irnas-r2-draw1-0 for a draw."""
    return f"{method}-{f'{sigma:g}' if draw is None else f'draw{draw}'}-{seed}"


def read(folder: Path, method: str, sigma: float, seeds: Sequence[int], draws: Sequence[int] | None = None) -> Result:
    """Read one method's cells at one sigma and join them.

    Args:
        folder: holds one folder for each cell, see `folder_name`.
        method: the method's name.
        sigma: noise standard deviation in 8-bit grey levels; 0 where images come degraded.
        seeds: every one must have a cell, be it one that says why it did not run.
        draws: of a method that has cells for these; every draw with every seed.

    Raises:
        ValueError: for a cell that is missing, belongs to something else, has a value that is not finite, or whose
            images differ from those of another run.
    """
    keys = [(draw, seed) for draw in (draws if draws is not None else [None]) for seed in seeds]
    several = draws is not None and len(draws) > 1
    cells = [
        _read_cell(
            folder / folder_name(method, sigma, seed, draw), method, sigma, seed, f"draw {draw}, " if several else ""
        )
        for draw, seed in keys
    ]
    ran = [cell for cell in cells if cell.reason is None]
    missing = [cell for cell in cells if cell.reason is not None]
    if not ran:
        reason = "; ".join(dict.fromkeys(cell.reason or "" for cell in missing))
        return Result(
            reason=reason, gaps=(), runs=(), images=0, settings=(), flops_per_pixel=None, scores={}, run_means={}
        )
    where = f"{method} at sigma {sigma:g} in {folder}"
    return Result(
        reason=None,
        gaps=tuple(f"{cell.name}: {cell.reason}" for cell in missing),
        runs=tuple(cell.name for cell in ran),
        images=_same([cell.images for cell in ran], f"the number of test images of {where}"),
        settings=tuple(settings for settings in _distinct([cell.settings for cell in ran]) if settings),
        flops_per_pixel=ran[0].flops_per_pixel,
        scores=_mean_over_runs([cell.scores for cell in ran], where),
        run_means={
            protocol: {
                measure: [fmean(cell.scores[protocol][measure].values()) for cell in ran] for measure in MEASURES
            }
            for protocol in ran[0].scores
        },
    )


def _read_cell(folder: Path, method: str, sigma: float, seed: int, draw: str) -> Cell:
    facts = read_json(folder / "cell.json")
    path = folder / "scores.csv"
    found = (facts["method"], float(facts["sigma"]), facts["seed"])
    if found != (method, float(sigma), seed):
        raise ValueError(
            f"{folder / 'cell.json'} must be of {method}, sigma {sigma:g}, seed {seed}, got {found[0]}, sigma "
            f"{found[1]:g}, seed {found[2]}; run that cell again."
        )
    if facts["reason"] is not None:
        return Cell(
            name=f"{draw}seed {seed}", reason=facts["reason"], images=0, settings={}, flops_per_pixel=None, scores={}
        )
    return Cell(
        name=f"{draw}seed {seed}",
        reason=None,
        images=facts["images"],
        settings=facts["settings"],
        flops_per_pixel=facts["flops_per_pixel"],
        scores=to_scores(read_csv(path), path),
    )


def to_scores(rows: Iterable[Mapping[str, str]], path: Path) -> Scores:
    """Rows with the columns protocol, name and `MEASURES` as nested values; one that is not finite is named."""
    scores: Scores = {}
    for row in rows:
        for measure in MEASURES:
            value = float(row[measure])
            if not math.isfinite(value):
                raise ValueError(
                    f"{path}: {measure} of {row['name']!r} under {row['protocol']!r} must be finite, got {value}; "
                    "run the step that wrote it again."
                )
            scores.setdefault(row["protocol"], {}).setdefault(measure, {})[row["name"]] = value
    return scores


def _mean_over_runs(cells: Sequence[Scores], where: str) -> Scores:
    first = cells[0]
    for other in cells[1:]:
        if _names(other) != _names(first):
            raise ValueError(
                f"every run must be scored on the same images under the same protocols, got different ones for {where}; "
                "run its cells again."
            )
    return {
        protocol: {
            measure: {name: fmean(cell[protocol][measure][name] for cell in cells) for name in values}
            for measure, values in measures.items()
        }
        for protocol, measures in first.items()
    }


def _names(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, set[str]]:
    return {protocol: set(measures[MEASURES[0]]) for protocol, measures in scores.items()}


def _distinct(values: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _same(values: Sequence[int], what: str) -> int:
    if len(set(values)) != 1:
        raise ValueError(f"{what} must be one, got {sorted(set(values))}; run its cells again.")
    return values[0]
