"""The rule that stands in for picking realistic noisy patches by hand, and the numbers that it looks at besides the PSNR."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PSNR_RANGE = (20.0, 36.0)
"""dB of the degraded patch against the clean one, 8-bit sRGB, over all three channels."""

MOST_SATURATED = 0.05
"""Largest share of degraded pixels of which a channel is 255."""

FLAT_PERCENTILE = 20.0
"""Candidates whose clean gradient energy lies below this percentile are flat."""

REASONS = ("flat", "psnr_low", "psnr_high", "saturated")
"""Why a candidate was rejected: the first that holds."""


def rejection(psnr: float, saturated: float) -> str | None:
    """Why a patch that is not flat is rejected, None if it is not; `psnr` in dB, `saturated` a share of the pixels."""
    if psnr < PSNR_RANGE[0]:
        return "psnr_low"
    if psnr > PSNR_RANGE[1]:
        return "psnr_high"
    return "saturated" if saturated > MOST_SATURATED else None


def gradient_energy(srgb: Tensor) -> Tensor:
    """Mean squared difference of neighbours, along x plus along y, over pixels and channels; (N, C, H, W) to (N,), float64."""
    picture = srgb.double()
    along_x = (picture[..., 1:] - picture[..., :-1]).square().mean(dim=(1, 2, 3))
    return along_x + (picture[..., 1:, :] - picture[..., :-1, :]).square().mean(dim=(1, 2, 3))


def saturated_share(degraded: NDArray[np.uint8]) -> float:
    """Share of the pixels of (H, W, 3) of which at least one channel is 255."""
    return float((degraded == 255).any(axis=2).mean())
