"""The loss of the search and of the retraining."""

from collections.abc import Callable

import torch
from torch import Tensor

from nasir.evaluation.metrics import ssim_zero_padded

SSIM_FLOOR = 1e-3


def restoration_loss(
    restored: Tensor, clean: Tensor, ssim_weight: float, mean: Callable[[Tensor], Tensor] = torch.mean
) -> Tensor:
    """Mean squared error plus a weighted log-SSIM; IR-NAS (Zhang et al., 2019), equations 7 and 8.

        loss = mean((restored - clean)^2) + ssim_weight * log10(1 / SSIM(restored, clean))

    SSIM is the mean over the batch, zero-padded as in the authors' code. The paper prints a squared norm; the authors'
    code takes the mean. Where the mean SSIM is below 0.001 (an untrained network can give a negative one) the logarithm
    is continued by its tangent, so that the loss stays finite and its slope keeps its sign.

    Args:
        restored: shape (N, C, H, W).
        clean: same shape, intensities in [0, 1].
        ssim_weight: lambda of equation 7; 0 = mean squared error only.
        mean: over the batch; where several processes share it, `nasir.training.parallel.Team.mean`.

    Returns:
        A scalar.
    """
    mse = mean((restored - clean).square())
    if ssim_weight == 0:
        return mse
    return mse + ssim_weight * log_ssim(mean(ssim_zero_padded(restored, clean)))


def log_ssim(mean_ssim: Tensor) -> Tensor:
    """log10(1 / s), continued by its tangent below s = 0.001."""
    safe = mean_ssim.clamp(min=SSIM_FLOOR)
    tangent = (SSIM_FLOOR - mean_ssim) / (SSIM_FLOOR * torch.log(torch.tensor(10.0, dtype=mean_ssim.dtype)))
    return -safe.log10() + torch.where(mean_ssim < SSIM_FLOOR, tangent, torch.zeros_like(mean_ssim))
