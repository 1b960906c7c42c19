"""Curves over training steps, read from the long CSV (`step,metric,value`) that search and retrain write."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasir.files import read_csv, to_float, to_int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric over steps: two arrays of one length, steps ascending."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


History = dict[str, Curve]
"""Curves by metric."""


def read(path: Path) -> History:
    """Read a history file.

    Raises:
        ValueError: for a file without rows, or a value that is not finite; metric and step are named.
    """
    points: dict[str, dict[int, float]] = {}
    for row in read_csv(path, ("step", "metric", "value")):
        step, value = to_int(row, "step", path), to_float(row, "value", path)
        if not math.isfinite(value):
            raise ValueError(f"{path}: {row['metric']} at step {step} must be finite, got {value}; run the step again.")
        points.setdefault(row["metric"], {})[step] = value
    return {
        metric: Curve(steps=np.array(sorted(values), np.int64), values=np.array([values[s] for s in sorted(values)]))
        for metric, values in points.items()
    }


@dataclass(frozen=True, kw_only=True)
class Moving:
    """A mean that moves along values, and how they spread around it: two arrays as long as they are."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]  # standard deviation of the same values, divided by their number
    count: int  # of values in a window that does not leave the curve


def moving(values: NDArray[np.float64]) -> Moving:
    """Mean and spread of an eighth of the values around each one, of three at least; see `smooth`."""
    span = max(3, len(values) // 8)
    mean = smooth(values, span)
    spread = np.sqrt(np.maximum(smooth(values**2, span) - mean**2, 0))
    return Moving(mean=mean, spread=spread, count=span // 2 * 2 + 1)


def smooth(values: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """Running mean over `span` values around each one; fewer at the ends, where the window leaves the curve.

    y_i = mean(x_j for |j - i| <= span // 2).
    """
    half = span // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    means: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return means
