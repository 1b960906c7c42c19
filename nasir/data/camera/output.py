"""What a camera does to a denoised picture before it writes the file: sharpening, the sRGB curve, 8 bits and JPEG.

Jaroensri et al. 2019, steps 8 and 9 of their chain.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from nasir.data.camera.jpeg_tables import SUBSAMPLED, tables

UNSHARP_RADIUS = 4
"""Deviation and reach of the Gaussian that the unsharp mask subtracts, in pixels."""

UNSHARP_THRESHOLD = 3 / 255
"""Differences up to this one are left alone."""


def to_srgb(linear: Tensor) -> Tensor:
    """The sRGB curve of IEC 61966-2-1: 12.92 x up to x = 0.0031308, above it 1.055 x^(1 / 2.4) - 0.055.

    The exact pair of `linearise`: the paper's code adds 0.001 before the power, which has no exact inverse. Computed in float64
    and rounded once, so that no last bit of a power shows.

    Args:
        linear: light in [0, 1], any shape.
    """
    light = linear.double()
    curve = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, curve).to(linear.dtype)


def linearise(srgb: Tensor) -> Tensor:
    """The inverse of `to_srgb`: s / 12.92 up to s = 0.04045, above it ((s + 0.055) / 1.055)^2.4."""
    code = srgb.double()
    light = ((code + 0.055) / 1.055) ** 2.4
    return torch.where(code <= 0.04045, code / 12.92, light).to(srgb.dtype)


def blur(planes: Tensor, sigma: float, reach: int) -> Tensor:
    """Gaussian blur, separable, cut off beyond `reach` pixels and normalised; border values are repeated outside.

    Args:
        planes: shape (N, C, H, W).
        sigma: deviation before the cut, in pixels.
        reach: taps on each side of the centre; the paper's code has an even number of taps, which shifts by half a pixel.
    """
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    height, width = planes.shape[2:]
    padded = functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    rows = sum((padded[:, :, tap : tap + height] * weight for tap, weight in enumerate(taps.tolist())), start=0)
    return torch.as_tensor(
        sum((rows[..., tap : tap + width] * weight for tap, weight in enumerate(taps.tolist())), start=0)
    )


def sharpen(colour: Tensor, amount: Tensor) -> Tensor:
    """Unsharp mask: x + a m, clipped to [0, 1], where m is x less its blur, or 0 where that is at most 3/255.

    Args:
        colour: linear RGB in [0, 1], shape (N, 3, H, W).
        amount: a, shape (N,).
    """
    mask = colour - blur(colour, UNSHARP_RADIUS, UNSHARP_RADIUS)
    mask = mask * (mask.abs() > UNSHARP_THRESHOLD)
    return (colour + amount.view(-1, 1, 1, 1) * mask).clamp(0, 1)


def to_codes(srgb: Tensor) -> Tensor:
    """Quantise [0, 1] to 256 levels of equal width, uint8: min(floor(256 s), 255)."""
    return (srgb * 256).floor().clamp(0, 255).to(torch.uint8)


def compress(codes: Tensor, qualities: Sequence[int]) -> Tensor:
    """Write each image as a JPEG and read it back.

    Deviations from the paper's code, which transforms in floats: Pillow's integer transform; the half-size chroma planes of
    qualities 4 to 6 are means, interpolated on the way back (theirs: nearest); and a chroma step is a step of Cb and Cr, as in
    the files of cameras (theirs acts on U and V, which span twice as much, so it is half as coarse).

    Args:
        codes: sRGB, uint8, shape (N, 3, H, W).
        qualities: Photoshop's quality of each image, 4 to 7.

    Returns:
        uint8, same shape.
    """
    pictures = codes.permute(0, 2, 3, 1).contiguous().numpy()
    with ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads())) as pool:
        coded = list(pool.map(_through_jpeg, pictures, qualities))
    return torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2)


def _through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    subsampling = "4:2:0" if quality in SUBSAMPLED else "4:4:4"
    Image.fromarray(picture).save(file, "JPEG", qtables=list(tables(quality)), subsampling=subsampling)
    with Image.open(file) as image:
        return np.asarray(image)
