"""Synthetic rain: streaks drawn on a clean image. SYNTHETIC throughout, no rain was measured.

    additive   y = x + r         Li et al., Rain streak removal using layer priors, CVPR 2016
    screen     y = x + r - x r   Luo, Xu and Ji, Removing rain from a single image, ICCV 2015

with x the clean image and r the layer of streaks, the same for all colours. Rain800 (Zhang, Sindagi and Patel, TCSVT
2019) was painted in Photoshop; its pairs have 21.5 dB in the mean, and the ranges here are chosen to lie around that.
Deviations: no mist, no drops on the lens, and none of the changes of tone that many rainy pictures of Rain800 have.

Streaks are a function of (image name, seed), in any process and in any order of drawing, as the noise of
`nasir.data.noise.field` is.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from nasir.data.noise import keyed
from nasir.data.pictures.images import require_rgb, to_uint8

BLENDS = ("additive", "screen")
RANGES = {"length": (15.0, 40.0), "angle": (-25.0, 25.0), "width": (0.8, 2.0), "brightness": (0.2, 0.38)}
COVERAGE = (0.15, 0.42)  # length x width x streaks per pixel: the share of the image under streaks that do not overlap
STEEPEST = 60.0  # degrees from the vertical
AT_ONCE = 1024  # streaks drawn in one go, which bounds the memory


@dataclass(frozen=True, kw_only=True)
class Streaks:
    """What the streaks of one image have in common; each has its own length, tilt and light around these."""

    length: float  # px, in the mean; each streak has 0.5 to 1.5 of it
    angle: float  # degrees from the vertical, within 60; above 0 the lower end lies to the right; each within 2 of it
    density: float  # streaks per 1000 px
    brightness: float  # of the brightest streak, in [0, 1]; each has 0.5 to 1 of it
    width: float  # px

    def __post_init__(self) -> None:
        is_finite = all(math.isfinite(value) for value in astuple(self))
        if not is_finite or self.length < 1 or self.width <= 0 or self.density < 0:
            raise ValueError(
                "streaks must have a length of 1 px or more, a width above 0 and a density of 0 or more, all finite, "
                f"got {self}; correct them."
            )
        if abs(self.angle) > STEEPEST or not 0 <= self.brightness <= 1:
            raise ValueError(
                f"streaks must lie within {STEEPEST:g} degrees of the vertical and have a brightness in [0, 1], "
                f"got {self.angle:g} degrees and {self.brightness:g}; correct them."
            )


def draw(name: str, seed: int) -> tuple[Streaks, str]:
    """Draw what rain falls on one image: uniform within RANGES and COVERAGE, and one of the two BLENDS.

    The generator is Philox, keyed by the first 128 bits of the SHA-256 of the JSON list `["rain", name, seed]`.

    Args:
        name: the image's name, as in the manifest.
        seed: the run's seed.
    """
    generator = keyed("rain", name, seed)
    drawn = {key: float(generator.uniform(low, high)) for key, (low, high) in RANGES.items()}
    coverage = float(generator.uniform(*COVERAGE))
    density = 1000 * coverage / (drawn["length"] * drawn["width"])
    return Streaks(density=density, **drawn), BLENDS[int(generator.integers(len(BLENDS)))]


def layer(shape: Sequence[int], streaks: Streaks, name: str, seed: int) -> NDArray[np.float32]:
    """Draw the streaks of one image: what a bright spot leaves that moves evenly while the shutter is open.

    A pixel at `along` and `across` from a streak's middle, in px, takes the light of the streak times
    clip(length / 2 + 1 / 2 - |along|, 0, 1) clip(width / 2 + 1 / 2 - |across|, 0, min(width, 1)): a box seen through
    pixels of one unit, so that edges are not jagged. Streaks that overlap add up, to 1 at most. Middles are uniform in
    the image and a margin around it, so that streaks also come in from outside.

    The key is `["streaks", name, seed]`. The draws are the same bit for bit everywhere; sines of another C library may
    differ in their last bit, which 8-bit images hide but for a tie of the rounding.

    Args:
        shape: (H, W) in px.
        streaks: what they have in common.
        name: the image's name, as in the manifest.
        seed: the run's seed.

    Returns:
        float32 in [0, 1], shape (H, W).

    Raises:
        ValueError: if `shape` is not two positive numbers.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (height, width) in px, both positive, got {tuple(shape)}; give two numbers.")
    height, width = shape
    margin = math.ceil(0.75 * streaks.length + streaks.width + 1)  # half of the longest streak
    count = round(streaks.density * (height + 2 * margin) * (width + 2 * margin) / 1000)
    drawn = keyed("streaks", name, seed).random((count, 5))
    total = np.zeros(height * width)
    for start in range(0, count, AT_ONCE):
        y, x, long, tilt, light = drawn[start : start + AT_ONCE].T
        angle = np.radians(streaks.angle + 4 * tilt - 2)
        middle = (y * (height + 2 * margin) - margin - 0.5, x * (width + 2 * margin) - margin - 0.5)
        rows, columns, cover = _cover(middle, streaks.length * (0.5 + long), angle, streaks.width, margin)
        lights = streaks.brightness * (0.5 + 0.5 * light)[:, None, None] * cover
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (cover > 0)
        np.add.at(total, (rows * width + columns)[is_inside], lights[is_inside])
    return np.minimum(total, 1.0).reshape(height, width).astype(np.float32)


def add_rain(clean: NDArray[np.floating], rain: NDArray[np.floating], blend: str) -> NDArray[np.floating]:
    """Lay streaks over an image: x + r ("additive") or x + r - x r ("screen"), clipped to [0, 1].

    Clipped, other than noise: a sensor saturates where a streak passes a bright wall, and so do Rain800's 8-bit files.

    Args:
        clean: intensities in [0, 1], shape (3, H, W).
        rain: a layer of streaks in [0, 1], shape (H, W).
        blend: one of BLENDS.

    Returns:
        The rainy image, same shape and dtype as `clean`.

    Raises:
        ValueError: if shapes do not fit, values leave [0, 1], or there is no such blend.
    """
    if blend not in BLENDS:
        raise ValueError(f"blend must be one of {list(BLENDS)}, got {blend!r}; correct the call.")
    if clean.ndim != 3 or clean.shape[1:] != rain.shape:
        raise ValueError(
            f"clean must have shape (3, H, W) and rain (H, W), got {clean.shape} and {rain.shape}; "
            "draw the layer for the size of the image."
        )
    for what, array in (("clean", clean), ("rain", rain)):
        if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                f"{what} must hold floats in [0, 1], got {array.dtype} from {array.min():g} to {array.max():g}; "
                "divide 8-bit images by 255."
            )
    streaks = rain.astype(clean.dtype)
    rainy = clean + streaks if blend == "additive" else clean + streaks - clean * streaks
    return np.clip(rainy, 0.0, 1.0)


def rainy(clean: NDArray[np.uint8], name: str, seed: int) -> NDArray[np.uint8]:
    """Let it rain on an 8-bit image: what `draw` gives for its name, rounded to grey levels.

    Args:
        clean: uint8, shape (H, W, 3).
        name: the image's name, as in the manifest.
        seed: the run's seed.

    Returns:
        uint8, same shape.

    Raises:
        ValueError: if `clean` is of another type or shape.
    """
    require_rgb(clean, name)
    streaks, blend = draw(name, seed)
    rain = layer(clean.shape[:2], streaks, name, seed)
    return to_uint8(add_rain(clean.transpose(2, 0, 1).astype(np.float32) / 255, rain, blend)).transpose(1, 2, 0)


def _cover(
    middle: tuple[np.ndarray, np.ndarray], length: np.ndarray, angle: np.ndarray, width: float, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and cover in [0, 1] of the pixels around n streaks, each of shape (n, rows, columns).

    A streak is followed row by row, as it leans by 62 degrees at most: in each row only the columns near it are looked at.
    """
    y, x, length, angle = (values[:, None, None] for values in (*middle, length, angle))
    spread = math.ceil((width / 2 + 0.5) / math.cos(float(np.abs(angle).max()))) + 1
    rows = np.floor(y).astype(np.int64) + np.arange(-reach, reach + 1)[:, None]
    columns = np.floor(x + (rows - y) * np.tan(angle)).astype(np.int64) + np.arange(-spread, spread + 1)
    along = (rows - y) * np.cos(angle) + (columns - x) * np.sin(angle)
    across = (columns - x) * np.cos(angle) - (rows - y) * np.sin(angle)
    cover = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    cover = cover * np.clip(width / 2 + 0.5 - np.abs(across), 0, min(width, 1.0))
    return np.broadcast_to(rows, columns.shape), columns, cover
