"""A simulated camera: clean linear light in, the noisy 8-bit picture that a camera would write out.

Jaroensri, Biscarrat, Aittala and Durand, "Generating Training Data for Denoising Real RGB Images via Camera Pipeline
Simulation", 2019, with the ranges of their full data set. The chain:

    expose -> Bayer mosaic -> shot noise -> read noise -> quantise -> demosaic -> median, bilateral -> unsharp mask
    -> sRGB, 8 bits, JPEG -> crop to a random phase

What is drawn for a patch, parameters and noise, is a function of (name, patch, seed) alone.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir.data import noise
from nasir.data.camera.denoise import denoise
from nasir.data.camera.jpeg_tables import QUALITIES
from nasir.data.camera.output import blur, compress, linearise, sharpen, to_codes, to_srgb
from nasir.data.camera.sensor import add_read_noise, add_shot_noise, demosaic, expose, mosaic, quantise

MARGIN = 2
"""How many pixels a side of the picture is shorter than the light's: the phase crops 0 or 1 from its start."""

LOG_UNIFORM = {
    "shot": (0.01, 0.2),
    "read": (0.01, 0.1),
    "luminance_sigma_s": (0.25, 1.0),
    "luminance_sigma_r": (0.1, 1.0),
    "chroma_s_ratio": (8.0, 32.0),
    "chroma_r_ratio": (0.1, 0.5),
}
"""Ranges of what is drawn uniformly in its logarithm, in the order of drawing."""

AMOUNT = (0.0, 0.25)
"""Range of the unsharp mask's amount, drawn uniformly."""

_LIMITS = {
    "exposure": (-math.inf, math.inf),
    "shot": (0, math.inf),
    "read": (0, math.inf),
    "bits": (1, 24),
    "luminance_sigma_s": (1e-3, math.inf),
    "luminance_sigma_r": (1e-3, math.inf),
    "chroma_sigma_s": (1, math.inf),
    "chroma_sigma_r": (1e-3, math.inf),
    "amount": (0, math.inf),
    "quality": (min(QUALITIES), max(QUALITIES)),
    "phase_y": (0, 1),
    "phase_x": (0, 1),
}

Key = tuple[str, int, int]
"""Name of the image, index of the patch, seed of the run: all that randomness depends on."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the camera was set for one patch; 1 is full scale, r are bins of 1/32."""

    exposure: float  # stops: light times 2^exposure
    shot: float  # k: shot noise has variance k^2 x
    read: float  # s: read noise has variance s^2
    bits: int  # of the raw file
    luminance_sigma_s: float  # pixels
    luminance_sigma_r: float  # bins
    chroma_sigma_s: float  # pixels
    chroma_sigma_r: float  # bins
    amount: float  # of the unsharp mask
    quality: int  # JPEG, Photoshop's scale
    phase_y: int  # rows cropped from the top: 0 or 1
    phase_x: int  # columns cropped from the left: 0 or 1

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"{name} must lie in [{low:g}, {high:g}], got {getattr(self, name)!r}; camera.draw draws valid settings."
                )


def draw(name: str, patch: int, seed: int) -> Settings:
    """Draw the camera's settings for one patch; the same key gives the same settings on any machine.

    Exposure is 0 and raw files have 14 bits, as in the paper's configuration. Chroma deviations are those of luminance times
    a ratio, both drawn log-uniformly.

    Args:
        name: the image's name.
        patch: index of the patch.
        seed: the run's seed.
    """
    generator = keyed("settings", name, patch, seed)
    shares = generator.random(len(LOG_UNIFORM))
    drawn = {
        key: low * (high / low) ** float(share)
        for (key, (low, high)), share in zip(LOG_UNIFORM.items(), shares, strict=True)
    }
    amount, quality, phase_y, phase_x = (float(share) for share in generator.random(4))
    return Settings(
        exposure=0.0,
        shot=drawn["shot"],
        read=drawn["read"],
        bits=14,
        luminance_sigma_s=drawn["luminance_sigma_s"],
        luminance_sigma_r=drawn["luminance_sigma_r"],
        chroma_sigma_s=drawn["luminance_sigma_s"] * drawn["chroma_s_ratio"],
        chroma_sigma_r=drawn["luminance_sigma_r"] * drawn["chroma_r_ratio"],
        amount=AMOUNT[0] + (AMOUNT[1] - AMOUNT[0]) * amount,
        quality=QUALITIES[int(quality * len(QUALITIES))],
        phase_y=int(2 * phase_y),
        phase_x=int(2 * phase_x),
    )


def keyed(purpose: str, name: str, patch: int, seed: int) -> np.random.Generator:
    """A generator of its own for each purpose and patch (`nasir.data.noise.keyed`)."""
    return noise.keyed("camera", purpose, name, patch, seed)


def prepare(image: NDArray[np.uint8], factor: int) -> Tensor:
    """Turn an ordinary picture into clean light: undo the sRGB curve, blur, and keep one pixel in `factor` each way.

    The blur averages away the picture's own noise and JPEG blocks: a Gaussian of deviation `factor` pixels cut off beyond
    `factor` pixels, as in the paper (deviation 4, 8 taps, subsampling by 4), but centred.

    Args:
        image: sRGB, uint8, shape (H, W, 3).
        factor: subsampling, 2 to 4 for photographs; 1 neither blurs nor subsamples.

    Returns:
        Linear RGB in [0, 1], float32, shape (3, H / factor, W / factor), rounded up.

    Raises:
        ValueError: if `image` is no 8-bit colour image or `factor` is below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image must be uint8 of shape (H, W, 3), got {image.dtype} of {image.shape}; load it as colour."
        )
    if factor < 1:
        raise ValueError(f"factor must be 1 or more, got {factor}; 2 halves both sides.")
    light = linearise(torch.arange(256, dtype=torch.float32) / 255)[torch.from_numpy(image).permute(2, 0, 1).long()]
    if factor > 1:
        light = blur(light[None], factor, factor)[0, :, ::factor, ::factor]
    return light.contiguous()


def shoot(light: Tensor, settings: Sequence[Settings], keys: Sequence[Key]) -> Tensor:
    """Photograph clean light: the whole chain, to the 8-bit picture that the JPEG file holds.

    Every image has its own settings, and its result does not depend on what else is in the batch.

    Args:
        light: clean linear RGB in [0, 1], float32, shape (N, 3, H, W); sides of at least 4.
        settings: one for each image.
        keys: name, patch and seed of each image; the key of its noise.

    Returns:
        sRGB, uint8, shape (N, 3, H - 2, W - 2), cropped as `crop` does.

    Raises:
        ValueError: if light, settings and keys differ in number, or light is no float image in [0, 1].
    """
    _check(light, settings, keys)
    values = {
        field.name: torch.tensor([float(getattr(one, field.name)) for one in settings]) for field in fields(Settings)
    }
    raw = mosaic(expose(light, values["exposure"]))
    shot, read = _noise(keys, raw.shape[2:])
    raw = add_read_noise(add_shot_noise(raw, values["shot"], shot), values["read"], read)
    colour = demosaic(quantise(raw, values["bits"]))
    sigmas = {name: values[name] for name in values if "_sigma_" in name}
    colour = sharpen(denoise(colour, **sigmas), values["amount"])
    return crop(compress(to_codes(to_srgb(colour)), [one.quality for one in settings]), settings)


def degrade(light: Tensor, settings: Sequence[Settings], keys: Sequence[Key]) -> Tensor:
    """`shoot`, and back to linear light: float32 in [0, 1], shape (N, 3, H - 2, W - 2)."""
    return linearise(shoot(light, settings, keys).float() / 255)


def reference(light: Tensor, settings: Sequence[Settings]) -> Tensor:
    """What `degrade` should be restored to: the exposed light, clipped to [0, 1] and cropped alike."""
    return crop(expose(light, torch.tensor([one.exposure for one in settings])).clamp(0, 1), settings)


def crop(images: Tensor, settings: Sequence[Settings]) -> Tensor:
    """Crop (N, C, H, W) to (N, C, H - 2, W - 2) from each image's phase on, so that patches start on any Bayer colour."""
    height, width = (side - MARGIN for side in images.shape[2:])
    cut = [
        image[:, one.phase_y : one.phase_y + height, one.phase_x : one.phase_x + width]
        for image, one in zip(images, settings, strict=True)
    ]
    return torch.stack(cut)


def _noise(keys: Sequence[Key], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Standard normal fields for shot and for read noise, each of shape (N, 1, H, W)."""

    def field(key: Key) -> NDArray[np.float32]:
        return keyed("noise", *key).standard_normal((2, 1, *shape)).astype(np.float32)

    with ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads())) as pool:
        drawn = torch.from_numpy(np.stack(list(pool.map(field, keys))))
    return drawn[:, 0], drawn[:, 1]


def _check(light: Tensor, settings: Sequence[Settings], keys: Sequence[Key]) -> None:
    if not len(light) == len(settings) == len(keys) > 0:
        raise ValueError(
            f"light, settings and keys must be of one number above 0, got {len(light)}, {len(settings)} and {len(keys)}."
        )
    low, high = (float(value) for value in torch.aminmax(light))
    if light.dtype != torch.float32 or not (low >= 0 and high <= 1):
        raise ValueError(
            f"light must be float32 in [0, 1], got {light.dtype} from {low:g} to {high:g}; prepare makes it from 8 bits."
        )
