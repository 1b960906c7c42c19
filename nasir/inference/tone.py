"""The tone curve that a degradation brings along, told from the texture of a whole picture and undone before a network sees it.

Rain that is drawn into photographs comes in a few kinds, and each has its own look (direction, length and density of streaks)
and its own tone: of Rain800, the middle levels are 0.13 darker in one kind and 0.13 brighter in another. A network that sees
some ten or some fifty pixels cannot know which; the texture of the picture as a whole tells it.

The texture is the power spectrum of windows of 64x64, in rings and sectors; of all windows the lower quartile and the median,
which scenes change less than rain does. A linear classifier says how likely each kind is, and the curve is the mean of the
kinds' curves, weighted with that. What is estimated is one curve for a picture, so that its tiles fit as before.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WINDOW = 64
"""Side of a window, pixels."""

APART = 32
"""Pixels from one window to the next, in a picture with fewer than MOST of them along a side."""

MOST = 16
"""Windows along a side, spread evenly over a large picture."""

LEVELS = 16
"""Parts of [0, 1] that a curve has a value for, at the middle of each."""

RINGS = ((2, 5, 8), (5, 9, 16), (9, 14, 16), (14, 20, 16), (20, 28, 16), (28, 33, 16))
"""From and below which radius, in cycles per window, and in how many sectors of the half plane."""

SHARES = (0.25, 0.5)
"""Of the windows, those below whose power a feature lies."""

FLOOR = 1e-4
"""Added to a window's power before its logarithm."""

FEATURES = len(SHARES) * sum(sectors for _, _, sectors in RINGS)
"""Numbers that tell a picture's texture."""

LEAST = 1e-6
"""From one level that a curve reaches to the next, so that where it is level an intensity leads to its lowest clean one."""

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601's weights of red, green and blue."""

ROWS = 256
"""Of a picture that are changed at a time."""

MOST_KINDS = 1000
"""That an estimate may have."""

PREFIX = "tone."
"""Before the names of the tensors in a file of weights."""


@dataclass(frozen=True, kw_only=True)
class Tone:
    """What tells a picture's tone curve from its texture; everything float32, on the CPU."""

    weight: Tensor  # (kinds, FEATURES): of a kind's logit
    bias: Tensor  # (kinds,)
    curves: Tensor  # (kinds, LEVELS): what is added to a clean intensity

    @property
    def numbers(self) -> int:
        """Of all tensors."""
        return sum(tensor.numel() for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}

    def estimate(self, image: Tensor) -> Tensor:
        """What is added to clean intensities at LEVELS' middles, shape (LEVELS,), of a degraded image, shape (3, H, W)."""
        logits = self.weight @ texture(image) + self.bias
        return logits.softmax(0) @ self.curves

    def undo(self, images: Tensor) -> Tensor:
        """Degraded images, shape (N, 3, H, W), [0, 1], with the estimated curve of each taken back; a new tensor."""
        undone = torch.empty_like(images)
        for image, out in zip(images, undone, strict=True):
            take_back(image, self.estimate(image), out)
        return undone


def shapes(kinds: int) -> dict[str, tuple[int, ...]]:
    """Of the tensors of a `Tone` with so many kinds, by their names in a file of weights."""
    return {PREFIX + "weight": (kinds, FEATURES), PREFIX + "bias": (kinds,), PREFIX + "curves": (kinds, LEVELS)}


def texture(image: Tensor) -> Tensor:
    """What the power spectra of an image's windows are like, shape (FEATURES,), float32.

    A side shorter than a window is mirrored until it is as long.

    Args:
        image: shape (3, H, W), intensities in [0, 1].
    """
    windows = _windows(image)
    hann = torch.hann_window(WINDOW, periodic=False)
    spectra = torch.fft.rfft2((windows - windows.mean((-2, -1), keepdim=True)) * (hann[:, None] * hann))
    power = (spectra.real.square() + spectra.imag.square() + FLOOR).log().flatten(1)
    # quantiles, then means: the other order tells kinds apart less well
    typical = torch.quantile(power, torch.tensor(SHARES), dim=0)
    return (typical @ bins().T).flatten()


def take_back(image: Tensor, curve: Tensor, out: Tensor) -> None:
    """Undo a tone curve in place of `out`: each intensity becomes the clean one that the curve leads to it from.

    Args:
        image: any shape (C, H, W), intensities; those beyond the curve's ends become 0 or 1.
        curve: shape (LEVELS,): what it adds to clean intensities; where it is not rising it is taken as level.
        out: shape of `image`.
    """
    clean = knots()
    added = curve.double().cpu().numpy()
    reached = np.maximum.accumulate(clean + added[[0, *range(LEVELS), -1]])
    reached += np.arange(len(reached)) * LEAST
    for first in range(0, image.shape[1], ROWS):
        part = image[:, first : first + ROWS].cpu().numpy()
        found = np.interp(part, reached, clean).astype(np.float32)
        out[:, first : first + ROWS] = torch.from_numpy(found)


def knots() -> NDArray[np.float64]:
    """The clean intensities that a curve has values for, with its ends, shape (LEVELS + 2,)."""
    return np.concatenate([[0], (np.arange(LEVELS) + 0.5) / LEVELS, [1]])


def curve_of(clean: NDArray[np.uint8], degraded: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a degradation adds on average to clean intensities of each level, shape (LEVELS,).

    Levels that hardly occur have the value between those of their neighbours.

    Args:
        clean, degraded: 8-bit grey levels of one shape.
    """
    level = (clean.ravel() // (256 // LEVELS)).astype(np.intp)
    count = np.bincount(level, minlength=LEVELS)
    added = np.bincount(level, weights=degraded.ravel().astype(np.float64) - clean.ravel(), minlength=LEVELS) / 255
    common = np.flatnonzero(count >= max(1, clean.size // 5000))
    return np.interp(np.arange(LEVELS), common, added[common] / count[common])


def _windows(image: Tensor) -> Tensor:
    """Of the luma, shape (count, WINDOW, WINDOW), on the CPU."""
    luma = torch.einsum("chw,c->hw", image.float().cpu(), torch.tensor(LUMA))
    while min(luma.shape) < WINDOW:
        luma = torch.cat([luma, luma.flip(0)]) if luma.shape[0] < WINDOW else luma
        luma = torch.cat([luma, luma.flip(1)], dim=1) if luma.shape[1] < WINDOW else luma
    tops, lefts = (_starts(length) for length in luma.shape)
    return torch.stack([luma[top : top + WINDOW, left : left + WINDOW] for top in tops for left in lefts])


def _starts(length: int) -> list[int]:
    """Where windows begin along a side."""
    count = min(MOST, -(-(length - WINDOW) // APART) + 1)
    return [round(start) for start in np.linspace(0, length - WINDOW, count)]


@cache
def bins() -> Tensor:
    """Shares of the frequencies of `rfft2` in each sector of each ring, shape (sectors, WINDOW * (WINDOW // 2 + 1))."""
    down = np.fft.fftfreq(WINDOW, 1 / WINDOW)[:, None]
    right = np.arange(WINDOW // 2 + 1)[None]
    radius, angle = np.hypot(down, right), np.mod(np.arctan2(down, right), np.pi)
    rows = []
    for least, most, sectors in RINGS:
        sector = np.minimum((angle / np.pi * sectors).astype(int), sectors - 1)
        for number in range(sectors):
            inside = ((radius >= least) & (radius < most) & (sector == number)).ravel()
            rows.append(inside / inside.sum())
    return torch.tensor(np.array(rows), dtype=torch.float32)
