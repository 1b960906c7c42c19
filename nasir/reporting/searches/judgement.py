"""What the study says of each search: where its networks stand among random ones, and whether its measure can tell them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, kendalltau

from nasir.evaluation.statistics import DRAWS, TAILS, Comparison, Interval, compare
from nasir.spaces import contract

ENOUGH = 90
"""The percentile among random networks that a search should reach with every seed."""

Scores = Mapping[str, float]
"""PSNR of each test image, dB, by its name."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A network that a search found, trained and scored."""

    search: str
    seed: int
    result: Mapping[str, Any]  # of the training
    cost: Mapping[str, Any]  # of the search
    percentile: float  # of random networks that it is not below
    against_median: Comparison  # with the random network in the middle (the lower of two)
    against_best: Comparison  # with the best random network

    @property
    def psnr_db(self) -> float:
        """Mean over the test images."""
        return fmean(self.result["psnr_db"].values())


def judge(
    search: str, seed: int, result: Mapping[str, Any], cost: Mapping[str, Any], random: Sequence[Scores]
) -> Found:
    """Where a network stands among random ones.

    Args:
        search, seed: what found it.
        result, cost: of its training and of the search.
        random: scores of each random network on the same images.
    """
    means = sorted(random, key=lambda scores: fmean(scores.values()))
    own = fmean(result["psnr_db"].values())
    return Found(
        search=search,
        seed=seed,
        result=result,
        cost=cost,
        percentile=100 * fmean(fmean(scores.values()) <= own for scores in random),
        against_median=compare(result["psnr_db"], means[(len(means) - 1) // 2]),
        against_best=compare(result["psnr_db"], means[-1]),
    )


def seconds_of(found: Sequence[Found]) -> float:
    """Of a search, mean over its runs."""
    return fmean(one.cost["seconds"] for one in found)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


def enough(values: Sequence[float]) -> float:
    """The lowest of the values at which a network's percentile among them is `ENOUGH` or more."""
    return sorted(values)[-(-ENOUGH * len(values) // 100) - 1]


def tau(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Interval:
    """Kendall's tau-b of two rankings of the same networks, with its 95 % interval by the percentile bootstrap.

    A constant ranking orders nothing: its tau counts as 0, in resamples, too.
    """
    return mean_tau([first], second, seed)


def mean_tau(several: Sequence[Sequence[float]], second: Sequence[float], seed: int = 0) -> Interval:
    """The mean of the taus of several rankings with one, all of the same networks, with its interval over networks."""
    rows, b = [np.asarray(first) for first in several], np.asarray(second)
    generator = np.random.default_rng(seed)

    def of(chosen: NDArray[np.int64]) -> float:
        return fmean(float(np.nan_to_num(kendalltau(a[chosen], b[chosen]).statistic)) for a in rows)

    draws = [of(generator.integers(len(b), size=len(b))) for _ in range(DRAWS // 10)]
    low, high = np.quantile(draws, TAILS)
    return Interval(mean=of(np.arange(len(b))), low=float(low), high=float(high))


def is_random(job: Mapping[str, Any]) -> bool:
    """Whether a job trains a random network, for the first time."""
    return job["search"] is None and job.get("network") is None and not job.get("is_second")


def random_of(jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the random networks that have been trained, by the job's name."""
    return {job["name"]: results[job["name"]] for job in jobs if is_random(job) and job["name"] in results}


def found_of(
    jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any], random: Sequence[Scores]
) -> dict[str, list[Found]]:
    """What each search has found that was trained, seed by seed, where there are random networks to judge it by."""
    found: dict[str, list[Found]] = {}
    for job in jobs:
        name = job["name"]
        source = name.replace("found-", "search-", 1)
        if job["search"] is not None and job["is_training"] and {name, source} <= set(results) and len(random) > 1:
            one = judge(job["search"], job["seed"], results[name], results[source], random)
            found.setdefault(job["search"], []).append(one)
    return found


def twice_of(jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    """PSNR after either training of the random networks that were trained twice, dB, by their numbers."""
    first = {job["seed"]: results[job["name"]] for job in jobs if is_random(job) and job["name"] in results}
    second = {job["seed"]: results[job["name"]] for job in jobs if job.get("is_second") and job["name"] in results}
    return {
        seed: (fmean(first[seed]["psnr_db"].values()), fmean(second[seed]["psnr_db"].values()))
        for seed in sorted(second)
        if seed in first
    }


def measures_of(jobs: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> dict[tuple[str, int], list[float]]:
    """What each search's measure says of the random networks that have been trained, by search and seed."""
    total = [job["name"] for job in jobs if is_random(job)]
    return {
        (job["search"], job["seed"]): [
            score for name, score in zip(total, results[job["name"]]["ranking"], strict=True) if name in results
        ]
        for job in jobs
        if job["search"] is not None and not job["is_training"] and results.get(job["name"], {}).get("ranking")
    }


def of_training(pairs: Sequence[tuple[float, float]]) -> Interval:
    """Standard deviation of a network's PSNR from one training to another, dB, with its 95 % interval for normal values.

    Args:
        pairs: PSNR after either training of each of several networks.
    """
    squares = sum((first - second) ** 2 / 2 for first, second in pairs)
    low, high = (float((squares / chi2.ppf(1 - tail, len(pairs))) ** 0.5) for tail in TAILS)
    return Interval(mean=float((squares / len(pairs)) ** 0.5), low=low, high=high)


def width(sizes: Mapping[str, Any]) -> str:
    """A network's width, or those of its branches."""
    return "-".join(map(str, sizes.get("widths", [sizes.get("width", "")])))


def operations(genotype: Mapping[str, Any]) -> dict[str, int]:
    """How often each operation stands in a genotype, the most frequent first; empty where its space names none."""
    space = contract.of_json(genotype)
    names = space.operations_of(space.from_json(genotype))
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}
