"""Synthetic motion blur: a camera that shakes while its shutter is open. SYNTHETIC throughout, no blur was measured.

    y = k * x + (NOISE / 255) n,  n ~ N(0, 1)

with x the clean image, k a kernel, the same for all pixels and colours, and n the noise of a sensor. The kernel is the trace
of a point that moves at random: Boracchi and Foi, Modeling the performance of image restoration from motion blur, IEEE
TIP 21(8), 2012. All steps are of one length; the heading h of each is that before with a Gaussian perturbation and a pull
back, made a unit vector again, and now and then a jerk turns the point round:

    h' = u / |u|,  p' = p + length / STEPS h'
    u = h + unrest (WANDER z - PULL p / length),  or, with probability JERKS unrest / STEPS,  u = -h + TURN z

with p the place, 0 at first, and z ~ N(0, I), drawn for each step. Deviations: their pull is towards the place before;
numbers are chosen here, so that pairs of photographs have 22 to 28 dB in the mean; 8-bit values are blurred as they are, not
linear light, so that no lamp leaves a trail; nothing turns, comes nearer, or moves by itself. Pairs that were measured, as
those of GoPro (Nah, Kim and Lee, CVPR 2017), have all of that.

A kernel is a function of (image name, seed), in any process and in any order of drawing, as the noise of
`nasir.data.noise.field` is.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nasir.data.noise import keyed
from nasir.data.pictures.images import require_rgb, to_uint8

RANGES = {"length": (12.0, 32.0), "unrest": (0.1, 0.8)}
STEPS = 256
WANDER, PULL = 0.25, 0.1
JERKS, TURN = 3.0, 0.3  # jerks of a trace at unrest 1, in the mean
NOISE = 1.0  # 8-bit grey levels


def draw(name: str, seed: int) -> NDArray[np.float64]:
    """Draw the kernel that blurs one image: `spread` of a `trace`, its length and unrest uniform within RANGES.

    The generator is Philox, keyed by the first 128 bits of the SHA-256 of the JSON list `["motion", name, seed]`. The draws
    are the same bit for bit everywhere; roots of another C library may differ in their last bit, which 8-bit images
    hide but for a tie of the rounding.

    Args:
        name: the image's name, as in the manifest.
        seed: the run's seed.

    Returns:
        Weights of 0 or more that sum to 1, shape (side, side), side odd, 33 px at most.
    """
    generator = keyed("motion", name, seed)
    drawn = {key: float(generator.uniform(low, high)) for key, (low, high) in RANGES.items()}
    return spread(trace(**drawn, generator=generator))


def trace(length: float, unrest: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Let a point move at random, as the module says.

    Args:
        length: of the way, px.
        unrest: 0 goes straight ahead, 1 is the most.
        generator: the only source of randomness.

    Returns:
        Its places (y, x) in px, after equal times, shape (STEPS + 1, 2); their mean is 0.

    Raises:
        ValueError: if `length` is not above 0 and finite, or `unrest` leaves [0, 1].
    """
    if not (0 < length < float("inf") and 0 <= unrest <= 1):
        raise ValueError(
            f"a trace must have a length above 0 px, finite, and an unrest in [0, 1], got {length:g} and {unrest:g}; "
            "correct the call."
        )
    first, *normal = (complex(y, x) for y, x in generator.standard_normal((STEPS + 1, 2)))
    jerks = generator.random(STEPS) < JERKS * unrest / STEPS
    heading, places = first / abs(first), [0j]
    for z, is_jerk in zip(normal, jerks, strict=True):
        place = places[-1]
        towards = TURN * z - heading if is_jerk else heading + unrest * (WANDER * z - PULL * place / length)
        heading = towards / abs(towards)
        places.append(place + length / STEPS * heading)
    points = np.array([(place.real, place.imag) for place in places])
    return points - points.mean(axis=0)


def spread(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make a kernel of a trace: each place gives an equal share of the light to the four pixels around it, bilinearly.

    A pixel at distances dy, dx from a place gets max(0, 1 - |dy|) max(0, 1 - |dx|) of its share, so that the kernel's centre
    of gravity is the mean of the places.

    Args:
        points: places (y, x) in px from the kernel's middle, shape (n, 2), n above 0.

    Returns:
        Weights of 0 or more that sum to 1, shape (side, side), side odd and as small as holds all places.

    Raises:
        ValueError: if `points` has another shape or a place is not finite.
    """
    if points.ndim != 2 or points.shape[1] != 2 or not points.size or not np.isfinite(points).all():
        raise ValueError(
            f"points must be places (y, x), finite, of shape (n, 2), got shape {points.shape}, "
            f"{np.isfinite(points).sum()} of {points.size} numbers finite; trace gives such."
        )
    reach = int(np.ceil(np.abs(points).max()))
    pixels = np.arange(-reach, reach + 1)
    down, right = (np.maximum(0, 1 - np.abs(along[:, None] - pixels)) for along in points.T)
    return np.einsum("ny,nx->yx", down, right) / len(points)


def blur(clean: NDArray[np.floating], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve each colour with a kernel, k * x: a bright point becomes the kernel, its middle where the point was.

    Beyond its border an image goes on as its mirror image, the outermost pixel twice (`c b a | a b c`).

    Args:
        clean: intensities in [0, 1], shape (C, H, W).
        kernel: weights of 0 or more that sum to 1, square, of an odd side.

    Returns:
        The blurred image, float64 in [0, 1] but for rounding, same shape.

    Raises:
        ValueError: if the kernel is none, or `clean` has another type, shape or range.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.shape[0] % 2:
        raise ValueError(f"a kernel must be square with an odd side, got shape {kernel.shape}; pad it with zeros.")
    if not (kernel.min() >= 0 and abs(kernel.sum() - 1) < 1e-6):
        raise ValueError(
            f"a kernel's weights must be 0 or more and sum to 1, got a least of {kernel.min():g} and a sum of "
            f"{kernel.sum():g}; divide them by their sum."
        )
    if clean.ndim != 3 or not clean.size or not np.issubdtype(clean.dtype, np.floating):
        raise ValueError(
            f"clean must hold floats of shape (C, H, W), got {clean.dtype} of shape {clean.shape}; "
            "convert 8-bit images and divide by 255."
        )
    if not (clean.min() >= 0 and clean.max() <= 1):
        raise ValueError(
            f"clean must lie in [0, 1], got {clean.min():g} to {clean.max():g}; divide 8-bit images by 255."
        )
    return np.stack([ndimage.convolve(colour.astype(np.float64), kernel, mode="reflect") for colour in clean])


def blurred(clean: NDArray[np.uint8], name: str, seed: int) -> NDArray[np.uint8]:
    """Shake the camera before an 8-bit image: the kernel that `draw` gives for its name, noise, and rounding to grey levels.

    The noise of NOISE, white and of its own in each colour, has the key `["sensor", name, seed]`.

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
    still = blur(clean.transpose(2, 0, 1) / 255, draw(name, seed))
    noise = keyed("sensor", name, seed).standard_normal(still.shape)
    return to_uint8(still + NOISE / 255 * noise).transpose(1, 2, 0)
