"""Scores on V: `whole` with keyed noise, so that every call sees the same noisy images."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nasir.data.noise import stored
from nasir.data.pictures.collection import Sample
from nasir.evaluation import protocols


def validate(
    network: nn.Module, images: Mapping[str, Sample], sigmas: Sequence[float], seed: int, noise: str = "float"
) -> dict[str, float]:
    """Mean scores over images and noise levels.

    Args:
        network: put into evaluation mode for the call and back into training mode after it.
        images: name -> clean, shape (C, H, W), in [0, 1], or a pair of clean and degraded.
        sigmas: noise levels, 8-bit grey levels.
        seed: of the keyed noise.
        noise: of the noisy images, as `nasir.data.noise.stored` takes it.

    Returns:
        `psnr_db`, `ssim` (zero-padded) and `score` = ssim + psnr / 100, by which the authors' code keeps a supernet.
    """
    device = next(network.parameters()).device

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        restored: Tensor = network(stored(noisy, noise).to(device))
        return restored

    network.eval()
    with torch.no_grad():
        rows = [row for s in sigmas for row in protocols.score(denoise, images, s, "whole", seed)]
    network.train()
    psnr_db = sum(row.psnr_db for row in rows) / len(rows)
    ssim = sum(row.ssim_zero_padded for row in rows) / len(rows)
    return {"psnr_db": psnr_db, "ssim": ssim, "score": ssim + psnr_db / 100}
