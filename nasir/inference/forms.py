"""Images as a notebook has them, arrays and Pillow's, through a denoiser and back: the same type, dtype and range.

Integers are grey levels (uint8 up to 255, uint16 up to 65535), floats intensities in [0, 1] plus noise. What comes
back is clipped, but for tensors of floats.
"""

from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nasir.inference.restoring import Restore, restore_levels
from nasir.messages import shown

ALPHA = {"LA": "L", "RGBA": "RGB"}
"""Pillow's modes with transparency -> what is restored of them."""

MODES = ("L", "RGB", "I;16", *ALPHA)
"""Of Pillow, those that go in and come back."""

FURTHEST = 10
"""Standard deviations of noise that an intensity may lie beyond [0, 1]."""

SLACK = 0.5
"""The same in intensities, at least: other degradations pass the range, too. A picture in grey levels passes it by far more."""


def restore_picture(denoise: Restore, channels: int, noisy: Image.Image, sigma: float) -> Image.Image:
    """Restore a Pillow image of one of MODES; its alpha channel stays as it was, and so does what its `info` says.

    Raises:
        ValueError: for another mode, or as `restore_array`.
    """
    if noisy.mode not in MODES:
        raise ValueError(
            f"a Pillow image must have one of the modes {list(MODES)}, got {noisy.mode!r}; convert it first."
        )
    colours = noisy.convert(ALPHA[noisy.mode]) if noisy.mode in ALPHA else noisy
    restored = Image.fromarray(restore_array(denoise, channels, np.array(colours), sigma))
    if noisy.mode in ALPHA:
        restored.putalpha(noisy.getchannel("A"))
    restored.info = dict(noisy.info)
    return restored


def restore_array(denoise: Restore, channels: int, noisy: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Restore an array of one image.

    Args:
        denoise: of tensors, shape (N, channels, H, W).
        channels: 1 takes the channels of a colour image one by one.
        noisy: shape (H, W), (H, W, 1) or (H, W, 3), uint8, uint16 or a float type.
        sigma: noise standard deviation, 8-bit grey levels.

    Raises:
        ValueError: for another shape or type, grey under a network for colour, floats that are not finite or far from [0, 1].
    """
    if noisy.ndim not in (2, 3) or (noisy.ndim == 3 and noisy.shape[2] not in (1, 3)) or 0 in noisy.shape:
        raise ValueError(
            f"an array must have the shape (H, W), (H, W, 1) or (H, W, 3), got {noisy.shape}; "
            "give one image at a time, its alpha apart."
        )
    if channels == 3 and (noisy.ndim == 2 or noisy.shape[2] == 1):
        raise ValueError(
            f"this network takes colour, shape (H, W, 3), got {noisy.shape}; repeat a grey image for the three colours."
        )
    if noisy.dtype in (np.uint8, np.uint16):
        return restore_levels(denoise, channels, noisy, sigma)
    if not np.issubdtype(noisy.dtype, np.floating):
        raise ValueError(
            f"an array must be uint8, uint16 or of a float type, got {noisy.dtype}; convert it to floats in [0, 1]."
        )
    _require_intensities("an array", float(noisy.min()), float(noisy.max()), sigma)
    planes = torch.from_numpy(np.atleast_3d(noisy).transpose(2, 0, 1).astype(np.float32, order="C"))
    batch = planes[None] if channels == 3 else planes[:, None]
    restored = denoise(batch, sigma).reshape(planes.shape).clamp(0, 1).cpu().numpy()
    return restored.transpose(1, 2, 0).reshape(noisy.shape).astype(noisy.dtype, order="C")


def restore_tensor(denoise: Restore, noisy: Tensor, sigma: float) -> Tensor:
    """Restore tensors of another type than the network's, shape (N, C, H, W): levels clipped and rounded, floats neither.

    Raises:
        ValueError: for another type, floats as `require_tensor`, or as `denoise`.
    """
    if noisy.is_floating_point():
        require_tensor(noisy, sigma)
        return denoise(noisy.float(), sigma).to(noisy.dtype)
    if noisy.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(
            f"a tensor must be uint8, uint16 or of a float type, got {noisy.dtype}; convert it to floats in [0, 1]."
        )
    most = torch.iinfo(noisy.dtype).max
    return denoise(noisy.float() / most, sigma).clamp(0, 1).mul(most).round().to(noisy.dtype)


def require_tensor(noisy: Tensor, sigma: float) -> None:
    """Refuse a tensor of floats that are not finite or far from [0, 1]; one pass over it.

    A tensor that a tracer or compiler follows has no values yet, and is taken as it is.

    Raises:
        ValueError: naming what came.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return
    with torch.no_grad():
        least, most = torch.stack(noisy.aminmax()).tolist()
    _require_intensities("a tensor", least, most, sigma)


def require_image(noisy: object) -> None:
    """Refuse what is no tensor, or one without pixels or values; arrays and Pillow images were told apart before.

    Raises:
        ValueError: naming what came, and what to do with it.
    """
    if not isinstance(noisy, Tensor):
        raise ValueError(
            f"an image must be a tensor, a NumPy array or a Pillow image, got a {type(noisy).__name__}; open a file with "
            "PIL.Image.open, make lists an array."
        )
    if noisy.numel() == 0 or noisy.is_meta:
        got = f"no values on the device {noisy.device}" if noisy.is_meta else f"the shape {tuple(noisy.shape)}"
        raise ValueError(f"a tensor must hold one pixel or more, got {got}; look where it was made.")


def require_sigma(sigma: object) -> None:
    """Refuse a noise level that is no number.

    Raises:
        ValueError: naming what came.
    """
    if not isinstance(sigma, Real) and not (isinstance(sigma, Tensor | np.ndarray) and sigma.ndim == 0):
        raise ValueError(f"sigma must be a number of 8-bit grey levels, got {shown(sigma)}; pass it as one, as in 50.")


def _require_intensities(what: str, least: float, most: float, sigma: float) -> None:
    beyond = max(SLACK, FURTHEST * sigma / 255)
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError(f"{what} must have finite values, got NaN or infinity; look where they were computed.")
    if least < -beyond or most > 1 + beyond:
        raise ValueError(
            f"{what} of floats must lie in [0, 1] plus noise of sigma {sigma:g}, got {least:g} to {most:g}; "
            "divide grey levels by 255, or give them as uint8."
        )
