"""A picture in grey levels through a denoiser: channel by channel where it takes grey, and as often as a self-ensemble asks.

Besides the picture and the result there is one channel as floats and its restored one (with a self-ensemble twice that), so that
a large picture fits where its file does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir.inference import zoo

Restore = Callable[[Tensor, float], Tensor]
"""Noisy images, shape (N, C, H, W), [0, 1] plus noise, and sigma in 8-bit grey levels -> restored ones of the same shape."""

ROWS = 256
"""Of a picture that are made grey levels at a time."""


def restore_levels(denoise: Restore, channels: int, noisy: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Restore a picture.

    Args:
        denoise: from `nasir.load`.
        channels: that it takes: 1 restores the channels of a colour picture one by one, as grey ones of the same noise.
        noisy: uint8 or uint16, shape (H, W) or (H, W, 3); for 3 channels the latter.
        sigma: noise standard deviation, 8-bit grey levels, for uint16 too.

    Returns:
        Same type and shape: clipped, and rounded to its levels, halves to even.

    Raises:
        ValueError: for what `denoise` refuses, or if it gives NaN or infinity.
    """
    restored = np.empty_like(noisy, order="C")
    parts = [...] if channels == 3 or noisy.ndim == 2 else [(..., channel) for channel in range(noisy.shape[2])]
    for part in parts:
        levels = np.atleast_3d(noisy[part])
        batch = levels.transpose(2, 0, 1)[None].astype(np.float32, order="C")
        batch /= np.iinfo(noisy.dtype).max
        found = denoise(torch.from_numpy(batch), sigma)[0]
        write_levels(found, np.atleast_3d(restored[part]).transpose(2, 0, 1))
    return restored


def write_levels(intensities: Tensor, out: NDArray[Any]) -> None:
    """Round intensities, clipped to [0, 1], to the levels of an integer array of the same shape (C, H, W), in place.

    Raises:
        ValueError: if one is not finite.
    """
    most = np.iinfo(out.dtype).max
    for first in range(0, out.shape[1], ROWS):  # rounding makes copies, which are large for a large picture
        part = intensities[:, first : first + ROWS].float().cpu()
        if not bool(part.isfinite().all()):
            raise ValueError("the network must give finite intensities, got NaN or infinity; look at its weights.")
        out[:, first : first + ROWS] = part.clamp(0, 1).mul(most).round().numpy()


def self_ensemble(denoise: Restore, is_turned: bool) -> Restore:
    """The mean of what a denoiser makes of an image, its mirror image, and of both turned by 90, 180 and 270 degrees.

    Timofte et al., Seven ways to improve example-based single image super resolution (CVPR 2016). Summed in float32.

    Args:
        denoise: called 8 times, with one variant at a time.
        is_turned: whether what it removes may lie in any direction; else (rain falls) it is the image and its mirror image.
    """
    turns = range(4 if is_turned else 1)

    def restore(noisy: Tensor, sigma: float) -> Tensor:
        total: Tensor | None = None
        for number in turns:
            for is_mirrored in (False, True):
                variant = torch.rot90(noisy.flip(-1) if is_mirrored else noisy, number, (-2, -1)).contiguous()
                back = torch.rot90(denoise(variant, sigma), -number, (-2, -1))
                back = back.flip(-1) if is_mirrored else back
                total = back.clone() if total is None else total.add_(back)
        assert total is not None  # there is a variant
        return total.div_(2 * len(turns))

    return restore


def estimate(noisy: NDArray[Any]) -> float:
    """As `nasir.inference.zoo.estimate`, in 8-bit grey levels, of uint8 or uint16; a channel at a time, for memory."""
    planes = [noisy] if noisy.ndim == 2 else [noisy[..., channel] for channel in range(noisy.shape[2])]
    return float(np.mean([zoo.estimate(plane) for plane in planes])) * 255 / np.iinfo(noisy.dtype).max
