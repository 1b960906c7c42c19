"""How sure a mean score is: intervals over images, differences between two methods, spread over seeds.

    from nasir.evaluation.statistics import compare, mean_interval, over_seeds

    mean_interval([31.2, 28.7, 30.1])              # the mean over images and its 95 % interval
    compare(psnr_of_one, psnr_of_other)            # the same images and noise under two methods, paired by name
    over_seeds([29.91, 29.95, 29.88])              # one mean for each training run

Images differ from each other by several dB, methods by tenths. Two means are therefore compared by the differences on
each image, not by whether their intervals overlap.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
"""Resamples of a bootstrap; each bound moves from seed to seed by about 1.4 % of the half-width of its interval."""

TAILS = (0.025, 0.975)
"""The quantiles between which 95 % lie."""

CHUNK = 2**20
"""Values that are resampled at once: 16 MiB of indices and values."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with the bounds of its 95 % interval, in the unit of the values."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Zero lies outside of the interval and not on a bound either."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods a and b on the same images."""

    images: int
    difference: Interval  # mean over images of a - b
    wilcoxon_p: float  # two-sided: how likely differences at least as lopsided are if a and b are equally good


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and standard deviation over training runs."""

    mean: float
    std: float | None  # of the sample (division by count - 1); None for a single run
    count: int


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean and its 95 % interval by the percentile bootstrap (Efron and Tibshirani, 1993, chapter 13).

    As many values as there are get drawn from them with replacement, `DRAWS` times; the bounds are the 2.5 % and 97.5 %
    quantiles of the means. For few images the interval is somewhat too narrow: its half-width is about
    1.96 s / sqrt(n), with the standard deviation s for a division by n and not by n - 1.

    Args:
        values: one for each image, at least two, finite.
        seed: same seed, same interval.

    Raises:
        ValueError: for fewer than two values, or one that is not finite.
    """
    array = _finite({f"number {position}": value for position, value in enumerate(values, start=1)})
    if len(array) < 2:
        raise ValueError(
            f"an interval needs at least two values, got {len(array)}; report a single image's score as it is."
        )
    low, high = _bounds(tuple(array.tolist()), seed)
    return Interval(mean=float(array.mean()), low=low, high=high)


def compare(a: Mapping[str, float], b: Mapping[str, float], seed: int = 0) -> Comparison:
    """Is method a better than method b? The paired bootstrap of the mean difference, and Wilcoxon's signed-rank test.

    The interval is `mean_interval` of the differences a - b: each resample draws images, with the scores of both
    methods. Wilcoxon's test (1945) looks at ranks, so that no single image decides; images without a difference are left
    out, as he did, and p is 1 where none is left.

    Args:
        a: the first method's score of each image, by name, in dB or as an SSIM.
        b: the second method's scores, of the same images with the same noise.
        seed: same seed, same comparison.

    Raises:
        ValueError: if the names differ, there are fewer than two, or a score is not finite; what is wrong is named.
    """
    if a.keys() != b.keys():
        lacking = ", ".join(
            f"{which} lacks {sorted(missing)}"
            for which, missing in (("a", b.keys() - a.keys()), ("b", a.keys() - b.keys()))
            if missing
        )
        raise ValueError(f"a and b must have scores of the same images, but {lacking}; score both on one set.")
    names = sorted(a)
    first, second = (_finite({name: scores[name] for name in names}) for scores in (a, b))
    differences = first - second
    return Comparison(
        images=len(names), difference=mean_interval(differences.tolist(), seed), wilcoxon_p=_wilcoxon_p(differences)
    )


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of one value for each training run.

    Raises:
        ValueError: if there is no value, or one that is not finite.
    """
    array = _finite({f"number {position}": value for position, value in enumerate(values, start=1)})
    if len(array) == 0:
        raise ValueError("a spread over seeds needs at least one value, got none; give the mean of each run.")
    return Spread(mean=float(array.mean()), std=float(array.std(ddof=1)) if len(array) > 1 else None, count=len(array))


def _finite(values: Mapping[str, float]) -> NDArray[np.float64]:
    """The values as an array, in their order; the first that is not finite is named."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(
                f"scores must be finite, got {value} for {name}; the PSNR of equal images is infinite: leave them out."
            )
    return np.array(list(values.values()), dtype=np.float64)


@lru_cache(maxsize=1024)
def _bounds(values: tuple[float, ...], seed: int) -> tuple[float, float]:
    """The quantiles `TAILS` of the resampled means; kept, as tables ask for those of one method's scores many times."""
    low, high = np.quantile(_resampled_means(np.array(values), seed), TAILS)
    return float(low), float(high)


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of `DRAWS` samples with replacement, shape (DRAWS,)."""
    generator = np.random.default_rng(seed)
    count = len(values)
    means = np.empty(DRAWS)
    step = max(1, CHUNK // count)
    for start in range(0, DRAWS, step):
        part = means[start : start + step]
        part[:] = values[generator.integers(count, size=(len(part), count))].mean(axis=1)
    return means


def _wilcoxon_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where all differences are zero."""
    from scipy.stats import wilcoxon  # slow to import

    unequal = differences[differences != 0]
    return float(wilcoxon(unequal).pvalue) if len(unequal) else 1.0
