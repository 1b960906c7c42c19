"""Keypoints of a picture and what it looks like around each: how the audit proposes that two pictures are one.

Built on scipy: SIFT and ORB of scikit-image take many times the 20 ms that a picture has here. Copies are seldom turned,
so a descriptor keeps its direction, and that of a mirrored picture differs by signs alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]

LEVELS = 2  # scales of an octave
OCTAVES = 4
SIGMA = 1.6  # px, of the first scale; a picture as it comes is taken to have 0.5 (Lowe 2004, section 3.3)
CONTRAST = 1.0  # least difference of Gaussians, 8-bit grey levels
EDGE = 10.0  # greatest ratio of the two curvatures (Lowe 2004, section 4.1)
MOST = 300  # keypoints of a picture
CELLS = 4  # they are spread over so many rows and columns, so that a crop keeps its share
SIDE = 8  # samples along a descriptor's patch
STEP = 1.6  # distance of two samples, in units of the keypoint's scale
SMALLEST = 24  # px; an octave with a shorter side is left out

_FREQUENCIES = [(i, j) for i in range(6) for j in range(6) if 0 < i + j <= 6]
_COSINES = np.cos(np.pi * np.arange(SIDE)[:, None] * (np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
_COSINES[0] /= np.sqrt(2)  # makes the rows orthogonal and of one norm
_WEIGHTS = np.array([np.hypot(i, j) for i, j in _FREQUENCIES], dtype=np.float32)

MIRROR: Array = np.array([-1 if j % 2 else 1 for _, j in _FREQUENCIES], dtype=np.float32)
"""Times this, a descriptor becomes that of the mirrored picture: a horizontal cosine of odd frequency changes its sign."""


@dataclass(frozen=True, kw_only=True)
class Keypoints:
    """The keypoints of one picture, N of them."""

    x: Array  # column, pixels, 0 in the middle of the first; shape (N,)
    y: Array  # row
    scale: Array  # standard deviation of the Gaussian that found it, pixels
    descriptor: Array  # shape (N, 25)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Extrema at one scale, in the pixels of its octave."""

    x: Array
    y: Array
    strength: Array
    sigma: float
    zoom: int  # pixels of the picture for one of the octave
    blurred: Array


def blur(image: Array, sigma: float) -> Array:
    """Convolve with a Gaussian cut at 3 sigma; beyond the border stands its next pixel."""
    return np.asarray(ndimage.gaussian_filter(image, sigma, truncate=3, mode="nearest"), dtype=np.float32)


def detect(image: Array) -> Keypoints:
    """Find the strongest extrema of the difference of Gaussians, spread over the picture, and describe them.

    Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, sections 3 and 4. The descriptor is
    not his: a patch of 8x8 samples around the keypoint, its 25 lowest cosine coefficients without the mean, to norm 1,
    each times its frequency, since the amplitudes of photographs fall as one over the frequency (Field, JOSA A 1987).

    Args:
        image: grey levels in [0, 255], float32, shape (H, W).
    """
    empty = np.zeros(0, np.float32)
    xs, ys, scales, strengths, descriptors = (
        [empty],
        [empty],
        [empty],
        [empty],
        [np.zeros((0, len(_WEIGHTS)), np.float32)],
    )
    for level in _levels(image):
        xs.append(level.x * level.zoom)
        ys.append(level.y * level.zoom)
        scales.append(np.full_like(level.x, level.sigma * level.zoom))
        strengths.append(level.strength)
        descriptors.append(_describe(level))
    x, y, scale = np.concatenate(xs), np.concatenate(ys), np.concatenate(scales)
    chosen = _spread(x, y, np.concatenate(strengths), image.shape)
    return Keypoints(x=x[chosen], y=y[chosen], scale=scale[chosen], descriptor=np.concatenate(descriptors)[chosen])


def _levels(image: Array) -> Iterator[_Level]:
    """Octave by octave, each of half the pixels: the scales and their extrema."""
    ratio = 2 ** (1 / LEVELS)
    base = blur(image, np.sqrt(SIGMA**2 - 0.5**2))
    for octave in range(OCTAVES):
        if min(base.shape) < SMALLEST:
            return
        blurred = [base]
        for level in range(LEVELS + 2):
            blurred.append(blur(blurred[-1], SIGMA * ratio**level * np.sqrt(ratio**2 - 1)))
        differences = np.stack([after - before for before, after in pairwise(blurred)])
        for level in range(1, LEVELS + 1):
            x, y, strength = _extrema(differences, level)
            yield _Level(
                x=x, y=y, strength=strength, sigma=SIGMA * ratio**level, zoom=2**octave, blurred=blurred[level]
            )
        base = blurred[LEVELS][::2, ::2]


def _extrema(differences: Array, level: int) -> tuple[Array, Array, Array]:
    """Columns, rows and strengths of what exceeds its 26 neighbours and is no edge; to a part of a pixel."""
    here = differences[level]
    middle = here[1:-1, 1:-1]
    beside = (here[:-2, 1:-1], here[2:, 1:-1], here[1:-1, :-2], here[1:-1, 2:])
    is_top, is_bottom = middle > CONTRAST, middle < -CONTRAST
    for other in beside:
        is_top &= middle > other
        is_bottom &= middle < other
    y, x = (index + 1 for index in np.nonzero(is_top | is_bottom))
    value = here[y, x]
    is_extreme = np.ones(len(value), dtype=bool)
    for dl, dy, dx in np.ndindex(3, 3, 3):
        if (dl, dy, dx) != (1, 1, 1):
            other = differences[level + dl - 1, y + dy - 1, x + dx - 1]
            is_extreme &= np.where(value > 0, value > other, value < other)
    y, x, value = y[is_extreme], x[is_extreme], value[is_extreme]

    dxx = here[y, x + 1] + here[y, x - 1] - 2 * value
    dyy = here[y + 1, x] + here[y - 1, x] - 2 * value
    dxy = (here[y + 1, x + 1] + here[y - 1, x - 1] - here[y + 1, x - 1] - here[y - 1, x + 1]) / 4
    determinant = dxx * dyy - dxy**2
    is_blob = (determinant > 0) & ((dxx + dyy) ** 2 * EDGE < (EDGE + 1) ** 2 * determinant)
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = (here[y, x - 1] - here[y, x + 1]) / (2 * dxx)
        dy = (here[y - 1, x] - here[y + 1, x]) / (2 * dyy)
    x, y = x + np.clip(dx, -0.5, 0.5), y + np.clip(dy, -0.5, 0.5)
    return x[is_blob].astype(np.float32), y[is_blob].astype(np.float32), np.abs(value[is_blob])


def _describe(level: _Level) -> Array:
    offsets = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) * STEP * level.sigma
    rows = level.y[:, None, None] + offsets[None, :, None]
    columns = level.x[:, None, None] + offsets[None, None, :]
    places = np.broadcast_arrays(rows, columns)
    patches = ndimage.map_coordinates(level.blurred, places, order=1, mode="nearest")
    coefficients = _COSINES @ patches @ _COSINES.T
    found = np.stack([coefficients[:, i, j] for i, j in _FREQUENCIES], axis=1)
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(norm, 1e-6) * _WEIGHTS, dtype=np.float32)


def _spread(x: Array, y: Array, strength: Array, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Indices of at most MOST keypoints: the strongest of each cell in turn."""
    row, column = (y * CELLS / shape[0]).astype(int), (x * CELLS / shape[1]).astype(int)
    cell = np.minimum(row, CELLS - 1) * CELLS + np.minimum(column, CELLS - 1)
    order = np.lexsort((-strength, cell))
    starts = np.searchsorted(cell[order], cell[order])  # where the cell of each begins
    rank = np.empty(len(x), dtype=int)
    rank[order] = np.arange(len(x)) - starts
    return np.sort(np.lexsort((-strength, rank))[:MOST])
