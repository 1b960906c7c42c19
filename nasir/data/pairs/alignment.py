"""What the pixels of a pair say about it: whether its images lie on each other, how far apart, which one is rainy or blurred."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nasir.data.pictures.collection import crop_middle

Image = NDArray[np.uint8]  # grey levels (H, W) or colours (H, W, 3)

LONGEST = 768  # px; of larger images the middle is looked at, which bounds memory and time
FINE = 7  # px; detail is what a mean over FINE x FINE pixels takes away
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601-2, as nasir.data.pictures.images.load_grey
FAR = 12.0  # px; deviation of the Gaussian through which only what is longer than a blur of 33 px is seen
LEAST_LEAD = 0.05  # of one skewness over the other; all 800 pairs of Rain800 lie above 0, 793 above 0.05
MOST_DETAIL = 0.9  # of a blurred image, of the energy of its sharp one's


def best_shift(clean: Image, degraded: Image, reach: int = 3, haze: float = 0.0) -> tuple[int, int]:
    """Find the shift (dy, dx) at which degraded[y + dy, x + dx] is most like clean[y, x]; (0, 0) for an aligned pair.

    Likeness is the correlation coefficient (Pearson) of the detail of the luminance, over the pixels that have a
    partner at every shift looked at. Of equal ones the shortest shift is taken, so that a flat image has (0, 0).

    A blurred image is most like its sharp one where its kernel is brightest, which may be far from the kernel's middle.
    Waves that are long beside a kernel are moved by its centre of gravity alone, and these are what is seen through haze.

    Args:
        clean: uint8, shape (H, W) or (H, W, 3); the middle LONGEST pixels of each side are looked at.
        degraded: uint8, same height and width.
        reach: the longest shift looked at, px, along each axis.
        haze: deviation of a Gaussian, px, that both luminances are first seen through; FAR for a blurred image, else 0.

    Raises:
        ValueError: if the images differ in size, are not 8-bit, or have no more than 2 reach + FINE pixels on a side.
    """
    _require_pair(clean, degraded)
    if reach < 0 or min(clean.shape[:2]) <= 2 * reach + FINE:
        raise ValueError(
            f"reach must be 0 or more and leave more than {FINE} px of each side, got {reach} for images of "
            f"{clean.shape[1]}x{clean.shape[0]} px; take a smaller one."
        )
    seen = [_luminance(crop_middle(image, LONGEST)) for image in (clean, degraded)]
    if haze:
        seen = [ndimage.gaussian_filter(luminance, haze, mode="reflect") for luminance in seen]
    still, moved = (_detail(luminance) for luminance in seen)
    height, width = (length - 2 * reach for length in still.shape)
    window = still[reach : reach + height, reach : reach + width]
    steps = range(-reach, reach + 1)
    best, highest = (0, 0), -math.inf
    for dy, dx in sorted(((dy, dx) for dy in steps for dx in steps), key=lambda shift: math.hypot(*shift)):
        likeness = _correlate(window, moved[reach + dy : reach + dy + height, reach + dx : reach + dx + width])
        if likeness > highest + 1e-9:
            best, highest = (dy, dx), likeness
    return best


def psnr(clean: Image, degraded: Image) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, dB: 10 log10(255^2 / MSE); infinite for equal images.

    Exact, and computed row by row, so that large images need no further memory.

    Raises:
        ValueError: if the images differ in shape or are not 8-bit.
    """
    _require_pair(clean, degraded)
    if clean.shape != degraded.shape:
        raise ValueError(
            f"both images must be grey or both in colour, got the shapes {clean.shape} and {degraded.shape}; "
            "convert one of them."
        )
    squares = sum(int(np.square(a.astype(np.int64) - b).sum()) for a, b in zip(clean, degraded, strict=True))
    return 10 * math.log10(255**2 * clean.size / squares) if squares else math.inf


def rainier(left: Image, right: Image) -> str:
    """Say which of two images of a scene has the rain, "left" or "right", or "unclear", from their pixels alone.

    Streaks add light in narrow places. What the dry image explains of the rainy one is a curve of tone (the mean of the
    one at each luminance of the other), for many rainy images of Rain800 were also darkened; the detail of what is left
    is the streaks, few and bright: its skewness is above 0. The other way round streaks are missing light, with a skewness
    below 0. The lead is skewness(right | left) - skewness(left | right); exchanging the images turns its sign. Where
    it is nearer to 0 than LEAST_LEAD the pair is unclear: two equal images, symmetric noise, or very faint streaks.

    Args:
        left: uint8, shape (H, W) or (H, W, 3); the middle LONGEST pixels of each side are looked at.
        right: uint8, same height and width.

    Raises:
        ValueError: if the images differ in size or are not 8-bit.
    """
    lead = rain_lead(left, right)
    if abs(lead) < LEAST_LEAD:
        return "unclear"
    return "right" if lead > 0 else "left"


def rain_lead(left: Image, right: Image) -> float:
    """How much more the right image looks rainy than the left; the statistic, arguments and errors of `rainier`."""
    _require_pair(left, right)
    first, second = (_luminance(crop_middle(image, LONGEST)) for image in (left, right))
    return _skewness(_detail(second - _tone(first, second))) - _skewness(_detail(first - _tone(second, first)))


def blurrier(left: Image, right: Image) -> str:
    """Say which of two images of a scene is blurred, "left" or "right", or "unclear", from their pixels alone.

    A kernel of weights that are 0 or more and sum to 1 makes no wave stronger, so a blurred image has less detail: the mean
    square of what is left of its luminance is at most MOST_DETAIL of the other's. Where neither has so little, it is unclear.

    Args:
        left: uint8, shape (H, W) or (H, W, 3); the middle LONGEST pixels of each side are looked at.
        right: uint8, same height and width.

    Raises:
        ValueError: if the images differ in size or are not 8-bit.
    """
    _require_pair(left, right)
    first, second = (float(np.square(_detail(_luminance(crop_middle(one, LONGEST)))).mean()) for one in (left, right))
    if min(first, second) >= MOST_DETAIL * max(first, second):
        return "unclear"
    return "left" if first < second else "right"


def _luminance(image: Image) -> NDArray[np.float32]:
    return image @ LUMINANCE if image.ndim == 3 else image.astype(np.float32)


def _detail(luminance: NDArray[np.float32]) -> NDArray[np.float32]:
    return luminance - ndimage.uniform_filter(luminance, FINE, mode="reflect")


def _tone(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best guess of one image from the other, pixel by pixel: the mean of `wanted` at each level of `given`."""
    level = np.rint(given).astype(np.int64).ravel()
    counts, sums = np.bincount(level), np.bincount(level, wanted.ravel())
    curve = sums / np.maximum(counts, 1)
    return curve[level].reshape(wanted.shape).astype(np.float32)


def _skewness(values: NDArray[np.float32]) -> float:
    """The third moment of zero-mean values by the 3/2 power of the second; 0 where there is nothing but rounding."""
    wide = values.astype(np.float64)
    spread = float((wide**2).mean())
    return float((wide**3).mean()) / spread**1.5 if spread > 1e-6 else 0.0


def _correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Pearson's coefficient; 0 where one of the two is flat."""
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float((first * first).sum()) * float((second * second).sum()))
    return float((first * second).sum()) / scale if scale > 1e-6 else 0.0


def _require_pair(first: Image, second: Image) -> None:
    for image in (first, second):
        is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not is_picture or image.size == 0:
            raise ValueError(
                f"an image of a pair must be uint8 of shape (H, W) or (H, W, 3), got {image.dtype} of shape "
                f"{image.shape}; nasir.data.pictures.images.load_colour reads such."
            )
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(
            f"the images of a pair must have one size, got {first.shape[1]}x{first.shape[0]} and "
            f"{second.shape[1]}x{second.shape[0]} px; make the pair anew from its original."
        )
