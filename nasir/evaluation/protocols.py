"""Protocols: how noise is put on a test image and how the denoiser sees it. Every score carries its protocol's name.

In this field PSNR moves more with the protocol than with the network, so a score without its protocol says little:

    whole     one noise field for each image, the denoiser sees the whole image
    overlap   64x64 patches at stride 48, each with its own noise; overlapping outputs are averaged

Under `overlap` the pixels that two or more patches cover are the mean of several independently noisy observations,
worth about half a dB that no camera gives.

Any denoiser can be scored: a callable from noisy images, float32, shape (N, C, H, W), on the CPU, and sigma in 8-bit
grey levels to restored images of the same shape:

    from nasir.evaluation import protocols
    rows = protocols.score(denoiser, images, sigma=30, protocol="overlap", seed=0)

Inputs are neither clipped nor rounded to 8 bits. Outputs are averaged where a protocol does so, then clipped to [0, 1]
once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nasir.data.noise import add_keyed_noise
from nasir.evaluation import metrics

Denoiser = Callable[[Tensor, float], Tensor]
"""Noisy images, shape (N, C, H, W), and sigma in 8-bit grey levels -> restored images of the same shape."""

PATCH = 64
"""Side of a patch, pixels."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How noisy test images are made and restored."""

    name: str
    description: str  # one line for tables
    stride: int | None  # pixels between patches, each with its own noise draw; None: whole images


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="whole",
            description="one noise field per image, restored as a whole",
            stride=None,
        ),
        Protocol(
            name="overlap",
            description="64x64 patches at stride 48, each with its own noise, overlapping outputs averaged",
            stride=48,
        ),
    )
}
"""The protocols by name."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How close one restored image is to the clean one; the two SSIMs are those of `nasir.evaluation.metrics`."""

    name: str
    psnr_db: float
    ssim_zero_padded: float
    ssim_valid: float


def score(
    denoiser: Denoiser, images: Mapping[str, Tensor], sigma: float, protocol: str, seed: int, batch: int = 16
) -> list[Score]:
    """Restore and score every image under one protocol.

    Args:
        denoiser: what is scored.
        images: clean images by name, each of shape (C, H, W), intensities in [0, 1]; sizes may differ. The name is part
            of the key of the image's noise.
        sigma: noise standard deviation in 8-bit grey levels.
        protocol: a key of `PROTOCOLS`.
        seed: another part of the noise's key.
        batch: patches that the denoiser gets at once, where a protocol has patches.

    Returns:
        One score for each image, in the order of `images`.

    Raises:
        ValueError: for an unknown protocol, an image that it cannot take, or a denoiser whose output has another shape
            or is not finite; the image is named.
    """
    return [
        measure(name, restore(denoiser, clean, name, sigma, protocol, seed, batch), clean)
        for name, clean in images.items()
    ]


def restore(
    denoiser: Denoiser, clean: Tensor, name: str, sigma: float, protocol: str, seed: int, batch: int = 16
) -> Tensor:
    """Make one image noisy and restore it as the protocol says; arguments and errors as for `score`.

    Returns:
        The restored image, shape (C, H, W), float32, on the CPU, clipped to [0, 1].
    """
    chosen = _find(protocol)
    _check_image(clean, name, chosen)
    clean = clean.cpu()
    if chosen.stride is None:
        noisy = add_keyed_noise(clean, name, sigma, seed)[None]
        restored = _denoise(denoiser, noisy, sigma, protocol, name)[0]
    else:
        restored = _restore_patches(denoiser, clean, name, sigma, chosen, chosen.stride, seed, batch)
    return restored.clamp(0, 1)


def measure(name: str, restored: Tensor, clean: Tensor) -> Score:
    """Score one restored image, shape (C, H, W), against the clean one, in float64."""
    restored, clean = restored.cpu().double()[None], clean.cpu().double()[None]
    try:
        similarity = metrics.ssim_map(restored, clean)
        return Score(
            name=name,
            psnr_db=metrics.psnr(restored, clean).item(),
            ssim_zero_padded=similarity.mean().item(),
            ssim_valid=metrics.valid_region(similarity).mean().item(),
        )
    except ValueError as error:
        raise ValueError(f"image {name!r} cannot be scored: {error}") from error


def starts(length: int, stride: int) -> list[int]:
    """First pixels of the patches along one side: 0, stride, 2 stride, ... below length - 64, then length - 64."""
    return [*range(0, length - PATCH, stride), length - PATCH]


def _restore_patches(
    denoiser: Denoiser, clean: Tensor, name: str, sigma: float, protocol: Protocol, stride: int, seed: int, batch: int
) -> Tensor:
    """Restore the patches of a grid, each with its own noise, and average where they overlap.

    A patch's noise is keyed by its row-major index, and sums run in that order in float64: the batch changes nothing
    but what the denoiser itself makes of it.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 patch, got {batch}.")
    height, width = clean.shape[-2:]
    corners = [(top, left) for top in starts(height, stride) for left in starts(width, stride)]
    windows = [(..., slice(top, top + PATCH), slice(left, left + PATCH)) for top, left in corners]
    total = torch.zeros(clean.shape, dtype=torch.float64)
    draws = torch.zeros((height, width), dtype=torch.float64)
    for first in range(0, len(windows), batch):
        chunk = windows[first : first + batch]
        noisy = torch.stack(
            [add_keyed_noise(clean[window], name, sigma, seed, patch=first + i) for i, window in enumerate(chunk)]
        )
        for window, restored in zip(chunk, _denoise(denoiser, noisy, sigma, protocol.name, name), strict=True):
            total[window] += restored
            draws[window] += 1
    return (total / draws).float()


def _denoise(denoiser: Denoiser, noisy: Tensor, sigma: float, protocol: str, name: str) -> Tensor:
    """Call the denoiser without gradients and bring its output, once checked, to the CPU in float32."""
    expected = tuple(noisy.shape)
    with torch.no_grad():
        restored = denoiser(noisy, sigma)
    if not isinstance(restored, Tensor) or tuple(restored.shape) != expected:
        got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
        raise ValueError(
            f"the denoiser must return a tensor of its input's shape {expected}, got {got} "
            f"on image {name!r} under protocol {protocol!r}."
        )
    restored = restored.detach().to("cpu", torch.float32)
    if not bool(restored.isfinite().all()):
        raise ValueError(
            f"the denoiser must return finite values, got NaN or infinity on image {name!r} under protocol "
            f"{protocol!r}; look at its weights and at how it treats values outside of [0, 1]."
        )
    return restored


def _find(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {list(PROTOCOLS)}, got {protocol!r}.")
    return PROTOCOLS[protocol]


def _check_image(clean: Tensor, name: str, protocol: Protocol) -> None:
    if clean.dim() != 3 or not clean.is_floating_point() or not (clean.min() >= 0 and clean.max() <= 1):
        raise ValueError(
            f"image {name!r} must be a float tensor of shape (C, H, W) in [0, 1], got {clean.dtype} of shape "
            f"{tuple(clean.shape)} between {clean.min():g} and {clean.max():g}; divide 8-bit images by 255."
        )
    height, width = clean.shape[-2:]
    if protocol.stride is not None and min(height, width) < PATCH:
        raise ValueError(
            f"protocol {protocol.name!r} needs images of at least {PATCH}x{PATCH} pixels, got {height}x{width} for "
            f"{name!r}; leave it out or score it under 'whole'."
        )
