"""What the noise of a data set looks like: how strong at which intensity, and how alike at neighbouring pixels.

White Gaussian noise has one strength everywhere and no correlation; the noise of a camera has neither property. The card
draws both side by side.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nasir.canvas import plain_style, to_png
from nasir.data.noise import field

BINS = 16
"""Bins of the clean intensity, each 16 grey levels wide."""

REACH = 4
"""Largest lag of the correlation along each axis, in pixels."""

_BLUE, _ORANGE = "#0072b2", "#d55e00"

Images = tuple[NDArray[Any], NDArray[Any]]
"""Clean and degraded, on the 8-bit scale, both (H, W) or (H, W, 3)."""


def describe(pairs: Iterable[Images]) -> dict[str, Any]:
    """Measure the residual r = degraded - clean of many image pairs, all channels taken together.

    Args:
        pairs: on the 8-bit scale; floats may leave [0, 255]. Looked at once, one pair at a time.

    Returns:
        Plain values. `images`; `sigma`: the deviation of r over everything, grey levels; `intensity`: the bins' centres;
        `count` and `sigma_by_intensity`: values in a bin, and the deviation of r there (None below two values);
        `correlation`: (2 REACH + 1)^2 numbers, row by row, lag (dy, dx) from (-REACH, -REACH) on: the mean over images and
        channels of r(p) r(p + lag), over that at lag 0, each image's and channel's r less its own mean first.

    Raises:
        ValueError: if there is no pair, two images of a pair differ in shape, an image is not larger than REACH, or no
            residual varies.
    """
    counts, sums, squares = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    products = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    images = 0
    for clean, degraded in pairs:
        residual = _residual(clean, degraded)
        place = np.clip(clean.astype(np.int64).ravel() * BINS // 256, 0, BINS - 1)
        counts += np.bincount(place, minlength=BINS)
        sums += np.bincount(place, residual.ravel(), minlength=BINS)
        squares += np.bincount(place, residual.ravel() ** 2, minlength=BINS)
        products += _products(residual)
        images += 1
    if not images or products[REACH, REACH] <= 0:
        raise ValueError(
            f"expected image pairs that differ by noise, got {images} pairs without any; check the folders."
        )
    return {
        "images": images,
        "sigma": _deviation(counts.sum(), sums.sum(), squares.sum()),
        "intensity": [(index + 0.5) * 256 / BINS for index in range(BINS)],
        "count": [int(count) for count in counts],
        "sigma_by_intensity": [
            _deviation(*values) if values[0] >= 2 else None for values in zip(counts, sums, squares, strict=True)
        ],
        "correlation": (products / products[REACH, REACH]).tolist(),
    }


def add_gaussian(pairs: Iterable[Images], sigma: float, seed: int) -> Iterator[Images]:
    """Replace each degraded image by the clean one plus white Gaussian noise, neither clipped nor rounded.

    Args:
        pairs: on the 8-bit scale; the degraded image is not looked at.
        sigma: noise standard deviation in 8-bit grey levels; `describe(...)["sigma"]` gives noise of the same strength.
        seed: the run's seed; the number of the pair is the rest of the noise's key.
    """
    for number, (clean, _) in enumerate(pairs):
        yield clean, clean + sigma * field(clean.shape, f"noise card/{number}", sigma, seed)


def draw(description: dict[str, Any], gaussian_description: dict[str, Any]) -> bytes:
    """A PNG: strength against intensity of both noises, then the correlation of each around lag (0, 0).

    Args:
        description: of the data set, from `describe`.
        gaussian_description: of white Gaussian noise of the same strength.
    """
    with plain_style():
        figure = Figure(figsize=(10.5, 3.2), layout="constrained")
        strength, ours, theirs = figure.subplots(1, 3, width_ratios=(1.35, 1, 1.18))
        for label, noise, colour in (("camera", description, _BLUE), ("Gaussian", gaussian_description, _ORANGE)):
            sigma = [np.nan if value is None else value for value in noise["sigma_by_intensity"]]
            strength.plot(
                noise["intensity"], sigma, color=colour, marker=".", label=f"{label}, {noise['sigma']:.1f} overall"
            )
        strength.set(title="Noise deviation, grey levels", xlabel="clean intensity, grey levels", xlim=(0, 256))
        strength.set_ylim(bottom=0)
        strength.legend()
        _draw_correlation(ours, description, "Correlation, camera")
        picture = _draw_correlation(theirs, gaussian_description, "Correlation, Gaussian")
        figure.colorbar(picture, ax=theirs, shrink=0.85)
        return to_png(figure)


def _draw_correlation(axes: Axes, description: dict[str, Any], title: str) -> Any:
    """The correlation as a map with its numbers; -1 brown, 0 white, 1 purple."""
    correlation = np.asarray(description["correlation"])
    edge = REACH + 0.5
    picture = axes.imshow(correlation, cmap="PuOr", vmin=-1, vmax=1, extent=(-edge, edge, edge, -edge))
    for (row, column), value in np.ndenumerate(correlation):
        if abs(value) >= 0.05:
            ink = "white" if abs(value) > 0.6 else "black"
            axes.text(column - REACH, row - REACH, f"{value:.1f}", ha="center", va="center", fontsize=6.0, color=ink)
    axes.set(title=title, xlabel="lag along x, pixels", ylabel="lag along y")
    axes.grid(False)
    return picture


def _residual(clean: NDArray[Any], degraded: NDArray[Any]) -> NDArray[np.float64]:
    """degraded - clean, shape (H, W, C)."""
    if clean.shape != degraded.shape or clean.ndim not in (2, 3) or min(clean.shape[:2]) <= REACH:
        raise ValueError(
            f"a pair must be two images of one shape, (H, W) or (H, W, 3), with sides above {REACH}, got {clean.shape} and "
            f"{degraded.shape}."
        )
    residual = degraded.astype(np.float64) - clean
    return residual if residual.ndim == 3 else residual[..., None]


def _products(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over places and channels of r(p) r(p + lag), for all lags."""
    centred = residual - residual.mean(axis=(0, 1))
    height, width = centred.shape[:2]
    products = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for dy in range(REACH + 1):
        for dx in range(-REACH, REACH + 1):
            here = centred[: height - dy, max(-dx, 0) : width - max(dx, 0)]
            there = centred[dy:, max(dx, 0) : width + min(dx, 0)]
            value = float((here * there).mean())
            products[REACH + dy, REACH + dx] = products[REACH - dy, REACH - dx] = value
    return products


def _deviation(count: float, total: float, square: float) -> float:
    """Standard deviation from a count, a sum and a sum of squares."""
    return float(np.sqrt(max(square / count - (total / count) ** 2, 0.0)))
