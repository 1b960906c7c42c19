"""Protocols: how noise is put on a test image and how the denoiser sees it. Every score carries its protocol's name.

In this field PSNR moves more with the protocol than with the network, so a score without its protocol says little:

    whole            one noise field for each image, the denoiser sees the whole image; the field's standard
    half             as whole, on images first reduced to half their size (Pillow's bicubic, 8 bits)
    adjacent         64x64 patches at stride 64, the last ones shifted inwards, each with its own noise; outputs averaged
    overlap          as adjacent at stride 48, what the released script of IR-NAS's authors does
    overlap-shared   as overlap with one noise field for each image, the one of whole
    patch-mean       the patches of adjacent cut from the noisy image of whole; scores are means over patches, PSNR in dB
    clipped8         as whole, with the noisy image clipped to [0, 1] and rounded to 8 bits first
    clearer          the middle of the image, cut to multiples of 64 pixels; noise clipped and truncated to 8 bits; self-ensemble:
                     what the released script of CLEARER's authors does
    clearer-patches  the same without the ensemble, on 64x64 patches side by side; scores are means over patches: a part of that
                     script that is switched off, and by all signs the row CLEARER-P of their table

Under `overlap` and `adjacent` the pixels that two or more patches cover are the mean of several independently noisy
observations, worth up to half a dB that no camera gives; `overlap-shared` is the control that isolates it.

Options follow a protocol's name, each after a plus, as in `clipped8+x8` or `whole+8bit+y`:

    +8bit   the output is rounded to 8 bits before it is scored
    +x8     the denoiser's output is the mean over the 8 rotations and reflections of its input (self-ensemble)
    +y      RGB images are scored on their luma alone (nasir.evaluation.colour.luma)

Any denoiser can be scored: a callable from noisy images, float32, shape (N, C, H, W), on the CPU, and sigma in 8-bit
grey levels to restored images of the same shape:

    from nasir.evaluation import protocols
    rows = protocols.score(denoiser, images, sigma=30, protocol="overlap", seed=0)

A pair of a clean and a degraded image (rain, a camera's noise, motion blur) is scored in the same way: noise of sigma,
usually 0, is added to the degraded one. At sigma 0 a redrawn noise is no noise, so that `overlap` and `overlap-shared` are
the same.

Inputs are neither clipped nor rounded unless said. Outputs are averaged where a protocol does so, then clipped to
[0, 1] once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nasir.data.noise import add_keyed_noise, truncate
from nasir.data.pictures.collection import Pair, Sample, pair_of
from nasir.evaluation import colour, metrics

Denoiser = Callable[[Tensor, float], Tensor]
"""Noisy images, shape (N, C, H, W), and sigma in 8-bit grey levels -> restored images of the same shape."""

PATCH = 64
"""Side of a patch, pixels."""

OPTIONS = {"8bit": "output rounded to 8 bits", "x8": "8-fold self-ensemble", "y": "scored on luma"}
"""What may follow a protocol's name after a plus, in this order, with what it means."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How noisy test images are made, restored and scored."""

    name: str  # with its options: "overlap", "clipped8+x8"
    description: str  # one line for tables
    stride: int | None = None  # pixels between patches; None: whole images
    is_redrawn: bool = False  # each patch has its own noise draw
    is_joined: bool = True  # patches are averaged into an image; else each is scored by itself
    is_halved: bool = False  # the clean image is reduced to half its size first
    is_clipped: bool = False  # the noisy image is clipped and rounded to 8 bits
    is_truncated: bool = False  # the noisy image is clipped and cut to 8 bits, half a level darker in the mean
    is_cropped: bool = False  # to the middle, to multiples of a patch
    is_rounded: bool = False  # option 8bit
    is_ensemble: bool = False  # option x8
    is_luma: bool = False  # option y


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="whole",
            description="one noise field per image, restored as a whole",
        ),
        Protocol(
            name="half",
            description="as whole, on images first reduced to half their size (bicubic, 8 bits)",
            is_halved=True,
        ),
        Protocol(
            name="adjacent",
            description="64x64 patches at stride 64, each with its own noise, overlapping outputs averaged",
            stride=PATCH,
            is_redrawn=True,
        ),
        Protocol(
            name="overlap",
            description="64x64 patches at stride 48, each with its own noise, overlapping outputs averaged",
            stride=48,
            is_redrawn=True,
        ),
        Protocol(
            name="overlap-shared",
            description="64x64 patches at stride 48 of one noise field per image, overlapping outputs averaged",
            stride=48,
        ),
        Protocol(
            name="patch-mean",
            description="64x64 patches at stride 64 of one noise field per image, mean over patches of their scores",
            stride=PATCH,
            is_joined=False,
        ),
        Protocol(
            name="clipped8",
            description="as whole, the noisy image clipped and rounded to 8 bits first",
            is_clipped=True,
        ),
        Protocol(
            name="clearer",
            description="middle, multiples of 64 pixels; noisy image clipped and truncated to 8 bits; 8-fold self-ensemble",
            is_cropped=True,
            is_truncated=True,
            is_ensemble=True,
        ),
        Protocol(
            name="clearer-patches",
            description="middle, multiples of 64 pixels; noisy image clipped and truncated to 8 bits; mean over 64x64 patches",
            stride=PATCH,
            is_joined=False,
            is_cropped=True,
            is_truncated=True,
        ),
    )
}
"""The protocols by name, without options."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How close one restored image is to the clean one; the two SSIMs are those of `nasir.evaluation.metrics`."""

    name: str
    psnr_db: float
    ssim_zero_padded: float
    ssim_valid: float


def find(protocol: str) -> Protocol:
    """The protocol of a name such as "overlap" or "clipped8+x8"; an unknown one is refused with the known ones.

    >>> find("whole+y+8bit").name
    'whole+8bit+y'
    >>> find("overlap").stride
    48
    >>> find("quarter")
    Traceback (most recent call last):
    ValueError: protocol must be one of ['whole', 'half', ..., got 'quarter'.

    Raises:
        ValueError: for another base, or an option that is unknown or stands there twice.
    """
    base, *options = protocol.split("+")
    if base not in PROTOCOLS or len(set(options)) < len(options) or not set(options) <= OPTIONS.keys():
        raise ValueError(
            f"protocol must be one of {list(PROTOCOLS)}, followed by any of {[f'+{o}' for o in OPTIONS]} once each, "
            f"got {protocol!r}."
        )
    chosen = PROTOCOLS[base]
    used = [option for option in OPTIONS if option in options]
    return replace(
        chosen,
        name="+".join([base, *used]),
        description="; ".join([chosen.description, *(OPTIONS[option] for option in used)]),
        is_rounded="8bit" in used,
        is_ensemble=chosen.is_ensemble or "x8" in used,
        is_luma="y" in used,
    )


def score(
    denoiser: Denoiser, images: Mapping[str, Sample], sigma: float, protocol: str, seed: int, batch: int = 16
) -> list[Score]:
    """Restore and score every image under one protocol.

    >>> images = {"dark": torch.full((1, 64, 64), 0.4), "bright": torch.full((1, 64, 64), 0.6)}
    >>> scores = score(lambda noisy, sigma: noisy, images, sigma=25.5, protocol="whole", seed=0)
    >>> [(one.name, round(one.psnr_db)) for one in scores]  # noise of a tenth: 20 dB
    [('dark', 20), ('bright', 20)]
    >>> score(lambda noisy, sigma: noisy[..., 1:], images, sigma=50, protocol="whole", seed=0)
    Traceback (most recent call last):
    ValueError: the denoiser must return a tensor of its input's shape (1, 1, 64, 64), got (1, 1, 64, 63) on image 'dark' ...

    Args:
        denoiser: what is scored.
        images: clean images, or pairs, by name, each of shape (C, H, W), intensities in [0, 1]; sizes may differ. The
            name is part of the key of the image's noise.
        sigma: noise standard deviation in 8-bit grey levels.
        protocol: a key of `PROTOCOLS`, options after it.
        seed: another part of the noise's key.
        batch: patches that the denoiser gets at once, where a protocol has patches.

    Returns:
        One score for each image, in the order of `images`.

    Raises:
        ValueError: for an unknown protocol, an image that it cannot take, or a denoiser whose output has another shape
            or is not finite; the image is named.
    """
    if not isinstance(images, Mapping):
        raise ValueError(
            f"images must be a mapping of names to images, got a {type(images).__name__}; name them, as in {{'a': image}}."
        )
    return [score_image(denoiser, sample, name, sigma, protocol, seed, batch) for name, sample in images.items()]


def score_image(
    denoiser: Denoiser, sample: Sample, name: str, sigma: float, protocol: str, seed: int, batch: int = 16
) -> Score:
    """Restore and score one image; arguments and errors as for `score`.

    >>> pair = Pair(clean=torch.full((1, 16, 16), 0.5), degraded=torch.full((1, 16, 16), 0.6))
    >>> score_image(lambda noisy, sigma: noisy, pair, "a", sigma=0, protocol="whole", seed=0).psnr_db  # 1 / 0.1**2
    19.99999...
    """
    chosen = find(protocol)
    clean, degraded = _prepare(sample, name, chosen)
    if chosen.is_joined:
        return measure(name, _restore(denoiser, degraded, name, sigma, chosen, seed, batch), clean, chosen.is_luma)
    scores = [
        measure(name, _finish(patch, chosen), clean[window], chosen.is_luma)
        for window, patch in _restore_patches(denoiser, degraded, name, sigma, chosen, seed, batch)
    ]
    return Score(
        name=name,
        psnr_db=fmean(score.psnr_db for score in scores),
        ssim_zero_padded=fmean(score.ssim_zero_padded for score in scores),
        ssim_valid=fmean(score.ssim_valid for score in scores),
    )


def reference(sample: Sample, name: str, protocol: str) -> Tensor:
    """The image that a protocol's restored image is compared with: the clean one, under `half` reduced to half its size.

    >>> tuple(reference(torch.zeros(1, 90, 130), "a", "half").shape)
    (1, 45, 65)
    >>> tuple(reference(torch.zeros(1, 90, 130), "a", "clearer").shape)  # the middle, multiples of 64
    (1, 64, 128)

    Returns:
        Shape (C, H, W), or (C, H // 2, W // 2), on the CPU; under `clearer` the middle of it.

    Raises:
        ValueError: for an unknown protocol or an image that it cannot take.
    """
    return _prepare(sample, name, find(protocol)).clean


def restore(
    denoiser: Denoiser, sample: Sample, name: str, sigma: float, protocol: str, seed: int, batch: int = 16
) -> Tensor:
    """Make one image noisy and restore it as the protocol says; arguments and errors as for `score`.

    >>> clean = torch.full((1, 64, 70), 0.5)
    >>> restored = restore(lambda noisy, sigma: noisy / 2, clean, "a", sigma=0, protocol="overlap", seed=0)
    >>> tuple(restored.shape), bool((restored == 0.25).all())
    ((1, 64, 70), True)

    Returns:
        The restored image, of the shape of `reference`, float32, on the CPU, clipped to [0, 1]. Under `patch-mean`,
        which never joins its patches, they are averaged as under `adjacent`.
    """
    chosen = find(protocol)
    return _restore(denoiser, _prepare(sample, name, chosen).degraded, name, sigma, chosen, seed, batch)


def measure(name: str, restored: Tensor, clean: Tensor, is_luma: bool = False) -> Score:
    """Score one restored image, shape (C, H, W), against the clean one, in float64; or their luma, for RGB images.

    >>> clean = torch.zeros(1, 16, 16)
    >>> measure("a", clean, clean)
    Score(name='a', psnr_db=inf, ssim_zero_padded=1.0, ssim_valid=1.0)

    Raises:
        ValueError: for images that have two shapes, or are too small for SSIM; `name` is named.
    """
    restored, clean = restored.cpu().double()[None], clean.cpu().double()[None]
    try:
        if is_luma:
            restored, clean = colour.luma(restored), colour.luma(clean)
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
    """First pixels of the patches along one side: 0, stride, 2 stride, ... below length - 64, then length - 64.

    >>> starts(200, 48)
    [0, 48, 96, 136]
    """
    return [*range(0, length - PATCH, stride), length - PATCH]


def _prepare(sample: Sample, name: str, protocol: Protocol) -> Pair:
    """The images on the CPU, once checked, at the size that the protocol restores."""
    pair = pair_of(sample)
    for image in pair:
        _check_image(image, name, protocol)
    if pair.clean.shape != pair.degraded.shape:
        raise ValueError(
            f"the images of {name!r} must have one shape, got {tuple(pair.clean.shape)} and {tuple(pair.degraded.shape)}."
        )
    change = _halve if protocol.is_halved else _crop if protocol.is_cropped else Tensor.cpu
    return Pair(*(change(image.cpu()) for image in pair))


def _crop(image: Tensor) -> Tensor:
    """The middle of an image, shape (C, H, W), cut to multiples of a patch; of an odd rest more is cut below and on the right."""
    height, width = image.shape[-2:]
    top, left = height % PATCH // 2, width % PATCH // 2
    return image[..., top : top + height // PATCH * PATCH, left : left + width // PATCH * PATCH]


def _restore(
    denoiser: Denoiser, degraded: Tensor, name: str, sigma: float, protocol: Protocol, seed: int, batch: int
) -> Tensor:
    """Restore a prepared image; the patches of a grid are averaged."""
    if protocol.stride is None:
        noisy = _add_noise(degraded, name, sigma, protocol, seed)
        return _finish(_denoise(denoiser, noisy[None], sigma, protocol, name)[0], protocol)
    total = torch.zeros(degraded.shape, dtype=torch.float64)
    draws = torch.zeros(degraded.shape[-2:], dtype=torch.float64)
    for window, restored in _restore_patches(denoiser, degraded, name, sigma, protocol, seed, batch):
        total[window] += restored
        draws[window] += 1
    return _finish((total / draws).float(), protocol)


def _restore_patches(
    denoiser: Denoiser, degraded: Tensor, name: str, sigma: float, protocol: Protocol, seed: int, batch: int
) -> Iterator[tuple[Any, Tensor]]:
    """Restore the patches of a grid, row by row; gives each with its window.

    A patch's own noise is keyed by its row-major index: the batch changes nothing but what the denoiser makes of it.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 patch, got {batch}.")
    assert protocol.stride is not None
    rows, columns = (starts(length, protocol.stride) for length in degraded.shape[-2:])
    windows = [(..., slice(top, top + PATCH), slice(left, left + PATCH)) for top in rows for left in columns]
    shared = None if protocol.is_redrawn else _add_noise(degraded, name, sigma, protocol, seed)
    for first in range(0, len(windows), batch):
        chunk = windows[first : first + batch]
        noisy = [
            _add_noise(degraded[window], name, sigma, protocol, seed, patch=first + i)
            if shared is None
            else shared[window]
            for i, window in enumerate(chunk)
        ]
        yield from zip(chunk, _denoise(denoiser, torch.stack(noisy), sigma, protocol, name), strict=True)


def _add_noise(
    degraded: Tensor, name: str, sigma: float, protocol: Protocol, seed: int, patch: int | None = None
) -> Tensor:
    noisy = add_keyed_noise(degraded, name, sigma, seed, patch)
    if protocol.is_truncated:
        return truncate(noisy)
    return _to_eight_bits(noisy) if protocol.is_clipped else noisy


def _finish(restored: Tensor, protocol: Protocol) -> Tensor:
    """Clip, and round where the protocol says so."""
    return _to_eight_bits(restored) if protocol.is_rounded else restored.clamp(0, 1)


def _to_eight_bits(image: Tensor) -> Tensor:
    return image.clamp(0, 1).mul(255).round().div(255)


def _halve(clean: Tensor) -> Tensor:
    """Reduce an image, shape (C, H, W), to (C, H // 2, W // 2) by Pillow's bicubic filter on 8-bit channels."""
    height, width = clean.shape[-2:]
    levels = clean.mul(255).round().to(torch.uint8).numpy()
    halves = [
        Image.fromarray(channel).resize((width // 2, height // 2), Image.Resampling.BICUBIC) for channel in levels
    ]
    return torch.from_numpy(np.stack([np.asarray(half) for half in halves])).float().div(255)


def _denoise(denoiser: Denoiser, noisy: Tensor, sigma: float, protocol: Protocol, name: str) -> Tensor:
    """Call the denoiser on a batch, or under the option x8 on its 8 rotations and reflections, whose mean it gives."""
    if not protocol.is_ensemble:
        return _call(denoiser, noisy, sigma, protocol, name)
    total = torch.zeros(noisy.shape, dtype=torch.float64)
    for turns in range(4):
        for is_flipped in (False, True):
            turned = torch.rot90(noisy.flip(-1) if is_flipped else noisy, turns, (-2, -1)).contiguous()
            back = torch.rot90(_call(denoiser, turned, sigma, protocol, name), -turns, (-2, -1))
            total += back.flip(-1) if is_flipped else back
    return (total / 8).float()


def _call(denoiser: Denoiser, noisy: Tensor, sigma: float, protocol: Protocol, name: str) -> Tensor:
    """Call the denoiser without gradients and bring its output, once checked, to the CPU in float32."""
    expected = tuple(noisy.shape)
    with torch.no_grad():
        restored = denoiser(noisy, sigma)
    if not isinstance(restored, Tensor) or tuple(restored.shape) != expected:
        got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
        raise ValueError(
            f"the denoiser must return a tensor of its input's shape {expected}, got {got} "
            f"on image {name!r} under protocol {protocol.name!r}."
        )
    restored = restored.detach().to("cpu", torch.float32)
    if not bool(restored.isfinite().all()):
        raise ValueError(
            f"the denoiser must return finite values, got NaN or infinity on image {name!r} under protocol "
            f"{protocol.name!r}; look at its weights and at how it treats values outside of [0, 1]."
        )
    return restored


def _check_image(clean: object, name: str, protocol: Protocol) -> None:
    if not isinstance(clean, Tensor) or clean.numel() == 0:
        got = f"an empty one, {tuple(clean.shape)}" if isinstance(clean, Tensor) else f"a {type(clean).__name__}"
        raise ValueError(
            f"image {name!r} must be a float tensor of shape (C, H, W) in [0, 1], or a Pair of them, got {got}; make an array "
            "of grey levels one by torch.from_numpy(levels)[None] / 255."
        )
    if clean.dim() != 3 or not clean.is_floating_point() or not (clean.min() >= 0 and clean.max() <= 1):
        raise ValueError(
            f"image {name!r} must be a float tensor of shape (C, H, W) in [0, 1], got {clean.dtype} of shape "
            f"{tuple(clean.shape)} between {clean.min():g} and {clean.max():g}; divide 8-bit images by 255."
        )
    channels, height, width = clean.shape
    if (protocol.stride is not None or protocol.is_cropped) and min(height, width) < PATCH:
        raise ValueError(
            f"protocol {protocol.name!r} needs images of at least {PATCH}x{PATCH} pixels, got {height}x{width} for "
            f"{name!r}; leave it out or score it under 'whole'."
        )
    least = 2 * (2 * metrics.RADIUS + 1)
    if protocol.is_halved and min(height, width) < least:
        raise ValueError(
            f"protocol {protocol.name!r} needs images of at least {least}x{least} pixels (SSIM has an 11x11 window), got "
            f"{height}x{width} for {name!r}; leave it out or score it under 'whole'."
        )
    if protocol.is_luma and channels != 3:
        raise ValueError(f"the option +y needs RGB images (3 channels), got {channels} for {name!r}; leave +y out.")
