"""What one method scored at one noise level: a cell for each seed, read and joined."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from nasir.evaluation.statistics import Interval, Spread, mean_interval, over_seeds
from nasir.files import read_csv, read_json, to_float

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
    genotype: str | None  # SHA-256 of its file; None for what has none
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
    genotypes: tuple[str, ...]  # SHA-256 of the files, of the runs, each once
    scores: Scores  # of each image, mean over runs
    run_means: dict[str, dict[str, list[float]]]  # by protocol and measure, one for each run

    def under(self, protocols: Sequence[str]) -> "Result":
        """The same under some protocols alone, on the images that all of them have; those that were not scored stay away."""
        there = [
            protocol for protocol in protocols if protocol in self.scores
        ]  # each with its draw of one list of images
        shared = set.intersection(*(set(self.scores[p][MEASURES[0]]) for p in there)) if there else set()
        scores = {
            p: {m: {name: v for name, v in self.scores[p][m].items() if name in shared} for m in MEASURES}
            for p in there
        }
        means = {p: {m: [fmean(scores[p][m].values())] for m in MEASURES} for p in there}
        return replace(self, scores=scores, run_means=means)

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


def folder_name(method: str, sigma: float, seed: int, draw: int = 0) -> str:
    """Name of a cell's folder: irnas-r2-30-draw1-seed0; of a method's only draw, irnas-50-seed0."""
    return f"{method}-{sigma:g}{f'-draw{draw}' if draw else ''}-seed{seed}"


def find(study: Path, task: str, name: str) -> Path:
    """The folder of a cell of a task in the folder of a study: trained by itself, or scored with others without training."""
    scored = sorted((study / "scored").glob(f"{task}-*/{name}"))
    return scored[0] if scored else study / "trained" / task / name


def read(
    study: Path, task: str, method: str, sigma: float, seeds: Sequence[int], draws: Sequence[int] = (0,)
) -> Result:
    """Read one method's cells at one sigma and join them.

    Args:
        study: holds the folders of all cells, see `find`.
        task: its name.
        method: the method's name.
        sigma: noise standard deviation in 8-bit grey levels; 0 where images come degraded.
        seeds: every one must have a cell, be it one that says why it did not run.
        draws: of the method; every draw with every seed.

    Raises:
        ValueError: for a cell that is missing, belongs to something else, has a value that is not finite, or whose
            images differ from those of another run.
    """
    several = len(draws) > 1
    cells = [
        _read_cell(
            find(study, task, folder_name(method, sigma, seed, draw)),
            method,
            sigma,
            seed,
            draw,
            f"draw {draw}, seed {seed}" if several else f"seed {seed}",
        )
        for draw in draws
        for seed in seeds
    ]
    return _join(cells, f"{method} of {task} at sigma {sigma:g} in {study}")


def _join(cells: Sequence[Cell], where: str) -> Result:
    ran = [cell for cell in cells if cell.reason is None]
    missing = [cell for cell in cells if cell.reason is not None]
    if not ran:
        reason = "; ".join(dict.fromkeys(cell.reason or "" for cell in missing))
        return Result(
            reason=reason, gaps=(), runs=(), images=0, settings=(), flops_per_pixel=None, genotypes=(), scores={},
            run_means={},
        )  # fmt: skip
    return Result(
        reason=None,
        gaps=tuple(f"{cell.name}: {cell.reason}" for cell in missing),
        runs=tuple(cell.name for cell in ran),
        images=_same([cell.images for cell in ran], f"the number of test images of {where}"),
        settings=tuple(settings for settings in _distinct([cell.settings for cell in ran]) if settings),
        flops_per_pixel=ran[0].flops_per_pixel,
        genotypes=tuple(dict.fromkeys(cell.genotype for cell in ran if cell.genotype is not None)),
        scores=_mean_over_runs([cell.scores for cell in ran], where),
        run_means={
            protocol: {
                measure: [fmean(cell.scores[protocol][measure].values()) for cell in ran] for measure in MEASURES
            }
            for protocol in ran[0].scores
        },
    )


def _read_cell(folder: Path, method: str, sigma: float, seed: int, draw: int, name: str) -> Cell:
    facts = read_json(folder / "cell.json")
    path = folder / "scores.csv"
    found = (facts["method"], float(facts["sigma"]), facts["seed"], facts["draw"])
    if found != (method, float(sigma), seed, draw):
        raise ValueError(
            f"{folder / 'cell.json'} must be of {method}, sigma {sigma:g}, seed {seed}, draw {draw}, got {found[0]}, sigma "
            f"{found[1]:g}, seed {found[2]}, draw {found[3]}; run that cell again."
        )
    if facts["reason"] is not None:
        return Cell(
            name=name, reason=facts["reason"], images=0, settings={}, flops_per_pixel=None, genotype=None,
            scores={},
        )  # fmt: skip
    return Cell(
        name=name,
        reason=None,
        images=facts["images"],
        settings=facts["settings"],
        flops_per_pixel=facts["flops_per_pixel"],
        genotype=facts["genotype_sha256"],
        scores=to_scores(read_csv(path, ("protocol", "name", *MEASURES)), path),
    )


def to_scores(rows: Iterable[Mapping[str, str]], path: Path) -> Scores:
    """Rows with the columns protocol, name and `MEASURES` as nested values; one that is not finite is named."""
    scores: Scores = {}
    for row in rows:
        for measure in MEASURES:
            value = to_float(row, measure, path)
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
