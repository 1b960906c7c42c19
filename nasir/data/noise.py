"""White Gaussian noise: y = x + (sigma / 255) n, with n ~ N(0, 1).

    keyed noise      n is a function of (image name, sigma, seed, patch index): test images need not be stored
    training noise   n is drawn from a torch.Generator, whose state the checkpoint holds

Noisy images are clipped and cut to 8 bits only where that is asked for (`stored`): it biases the noise.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PIECE = 2**20
"""Values that are drawn and added at once in float64: they bound the memory of a large image."""


def keyed(*parts: str | int | None) -> np.random.Generator:
    """A generator whose output depends on a key alone: Philox under the first 128 bits of the SHA-256 of the JSON list `parts`.

    `field` says why; no two different lists share a key.
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def field(shape: Sequence[int], name: str, sigma: float, seed: int, patch: int | None = None) -> np.ndarray:
    """Draw the standard normal field n that belongs to one image, or to one patch of it.

    The generator is NumPy's Philox, a counter-based one: its output depends on the key alone, so that the field is the
    same bit for bit in any process, in any thread and in any order of drawing. The key is the first 128 bits of the
    SHA-256 of the JSON list `[name, "%g" of sigma, seed, patch]`, which no two different keys share. The draw is made
    in float64 and rounded once to float32, which hides the last bit that the logarithm of one C library may compute
    differently from another's (1 draw in 4,000 lies in the tail that needs it).

    Args:
        shape: shape of the field, usually (C, H, W).
        name: the image's name, as in the manifest.
        sigma: noise standard deviation in 8-bit grey levels; part of the key, the field itself has deviation 1.
        seed: the run's seed.
        patch: row-major index of the patch where a protocol draws for each patch, None for a whole image.

    Returns:
        float32, of the given shape.

    Raises:
        ValueError: if `sigma` is negative or not finite.
    """
    _check_sigma(sigma)
    generator = keyed(name, f"{float(sigma):g}", seed, patch)
    drawn = np.empty(tuple(shape), dtype=np.float32)
    flat = drawn.reshape(-1)
    for first in range(0, flat.size, PIECE):
        flat[first : first + PIECE] = generator.standard_normal(len(flat[first : first + PIECE]))
    return drawn


def add_keyed_noise(clean: Tensor, name: str, sigma: float, seed: int, patch: int | None = None) -> Tensor:
    """Add the noise that belongs to one image: y = x + (sigma / 255) n, with n from `field`.

    Computed on the CPU in float64 and rounded once to float32, so that no device and no number of threads changes a
    bit.

    Args:
        clean: one image or patch, shape (C, H, W), intensities in [0, 1].
        name: the image's name, as in the manifest.
        sigma: noise standard deviation in 8-bit grey levels (50 means 50/255).
        seed: the run's seed.
        patch: index of the patch, None for a whole image.

    Returns:
        The noisy image, float32, same shape and device. Not clipped.

    Raises:
        ValueError: if `clean` is not a float image in [0, 1], or `sigma` is negative.
    """
    _check_clean(clean)
    noise = field(clean.shape, name, sigma, seed, patch).reshape(-1)
    pixels = clean.detach().cpu().numpy().reshape(-1)
    noisy = np.empty_like(noise)
    for first in range(0, noise.size, PIECE):
        piece = slice(first, first + PIECE)
        noisy[piece] = pixels[piece].astype(np.float64) + sigma / 255 * noise[piece].astype(np.float64)
    return torch.from_numpy(noisy.reshape(clean.shape)).to(clean.device)


ROUNDING = 1e-4
"""What float32 may lack to a whole grey level that is to be cut to itself."""


def truncate(noisy: Tensor) -> Tensor:
    """Clip to [0, 1] and cut to 8 bits, as the released code of CLEARER does: half a grey level darker in the mean."""
    return noisy.clamp(0, 1).mul(255).add(ROUNDING).floor().div(255)


def stored(noisy: Tensor, noise: str) -> Tensor:
    """Noisy images as a training is to see them.

    Args:
        noisy: of any shape, in [0, 1] plus noise.
        noise: float, as they are; truncated8, as `truncate` gives them (`nasir.config.training.NOISES`).
    """
    return truncate(noisy) if noise == "truncated8" else noisy


def add_noise(clean: Tensor, sigma: Tensor | float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise to training patches: y = x + (sigma / 255) n, with n ~ N(0, 1).

    Args:
        clean: images, shape (N, C, H, W), intensities in [0, 1].
        sigma: noise standard deviation in 8-bit grey levels, one number or one for each image, shape (N,).
        generator: the only source of randomness; same state, same noise. Noise is drawn on the generator's device.

    Returns:
        Noisy images, same shape, dtype and device. Not clipped.

    Raises:
        ValueError: if `clean` is not a float image in [0, 1], or `sigma` is negative or of another shape. On a CUDA device
            the range of `clean` is not looked at: training would wait for it in every step.
    """
    if not clean.is_cuda:
        _check_clean(clean)
    levels = torch.as_tensor(sigma, dtype=clean.dtype)
    if levels.shape not in (torch.Size([]), clean.shape[:1]):
        raise ValueError(
            f"sigma must be one number or have shape ({len(clean)},), one for each image, got {tuple(levels.shape)}."
        )
    _check_sigma(float(levels.min()))
    # what is drawn for a GPU is sent from pinned memory, without waiting for the step that still runs there
    is_pinned = clean.is_cuda and generator.device.type == "cpu"
    noise = torch.randn(
        clean.shape, generator=generator, device=generator.device, dtype=clean.dtype, pin_memory=is_pinned
    )
    levels, noise = (tensor.to(clean.device, non_blocking=True) for tensor in (levels, noise))
    return clean + levels.view(-1, 1, 1, 1) / 255 * noise


def digest(noisy: Tensor) -> str:
    """SHA-256 of an image's float32 values, little-endian and row by row, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(noisy.detach().cpu().numpy(), dtype="<f4").data).hexdigest()


def _check_clean(clean: Tensor) -> None:
    if not clean.is_floating_point():
        raise ValueError(f"clean must hold floats in [0, 1], got {clean.dtype}; convert it and divide by 255.")
    low, high = (float(value) for value in torch.aminmax(clean))
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"clean must lie in [0, 1], got values from {low:g} to {high:g}; divide 8-bit images by 255 first."
        )


def _check_sigma(sigma: float) -> None:
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be 0 or more, in 8-bit grey levels (50 means 50/255), got {sigma:g}.")
