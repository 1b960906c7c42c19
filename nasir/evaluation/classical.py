"""Classical denoisers from kept libraries, with the signature of every denoiser: (noisy, sigma) -> restored.

The one free parameter of total variation and non-local means is given as a factor of the noise level, so that one list
of candidates serves every sigma, and is chosen on validation images: a fair opponent is a tuned one. The input is not
clipped; the protocol clips the output.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from nasir.data.pictures.collection import Sample
from nasir.evaluation import protocols
from nasir.evaluation.protocols import Denoiser

LARGE = 2**24
"""Pixels of an image from which on it is restored in tiles, as these methods take some 100 bytes for each."""

TILE = 2048
"""Side of such a tile, pixels; the last ones may be smaller."""

MARGIN = 64
"""Pixels around a tile that it is restored with: non-local means look 8 far, total variation hardly further than these."""

TV_ITERATIONS = 100
"""Steps of Chambolle's algorithm; 400 move the PSNR at the best weight by less than 0.01 dB."""


NLM_DISTANCE = 6
"""Pixels, in rows and in columns, within which non-local means look for patches."""


def identity(noisy: Tensor, sigma: float) -> Tensor:
    """Do nothing: the row of the noisy input, clipped by the protocol as every output is."""
    return noisy


def total_variation(factor: float) -> Denoiser:
    """Total-variation denoising: minimise |u - y|^2 / 2 + weight TV(u), with weight = factor * sigma / 255.

    Chambolle's projection algorithm (JMIV 2004) with a fixed number of steps: scikit-image's default rule stops at the
    first small change of the energy, which is not monotone, and may end after a few steps, more than 1 dB short.
    """

    def restore(image: np.ndarray, level: float) -> np.ndarray:
        return denoise_tv_chambolle(image, weight=factor * level, eps=0, max_num_iter=TV_ITERATIONS, channel_axis=0)

    return _denoiser(restore)


def non_local_means(factor: float) -> Denoiser:
    """Non-local means with h = factor * sigma / 255: 5x5 patches at distances up to `NLM_DISTANCE`, known noise variance.

    scikit-image's fast variant (Darbon et al., ISBI 2008), which weighs all pixels of a patch alike.
    """

    def restore(image: np.ndarray, level: float) -> np.ndarray:
        last = np.moveaxis(image, 0, -1)
        restored = denoise_nl_means(
            last,
            patch_size=5,
            patch_distance=NLM_DISTANCE,
            h=factor * level,
            sigma=level,
            fast_mode=True,
            channel_axis=-1,
        )
        # scikit-image drops a channel axis of length 1 (and with channel_axis=0 it then swaps height and width)
        return np.moveaxis(restored.reshape(last.shape), -1, 0)

    return _denoiser(restore)


def bm3d() -> Denoiser:
    """Block matching and 3-D filtering (Dabov et al., IEEE TIP 2007) through the package bm3d, default profile.

    The package (Makinen, Azzari and Foi, IEEE TIP 2020; Tampere University) may be used for non-commercial purposes
    only, which is why it is an extra of its own: pip install 'nasir[bm3d]'. RGB images are restored in its opponent
    colours.

    Raises:
        ValueError: if the package is not installed; or, when called, for images with neither 1 nor 3 channels.
    """
    try:
        import bm3d as package
    except ImportError as error:
        raise ValueError(
            "BM3D needs the package bm3d, got none; its licence allows non-commercial use only. If that fits: "
            "pip install bm3d (make tables BM3D=1 does it)."
        ) from error

    def restore(image: np.ndarray, level: float) -> np.ndarray:
        if len(image) not in (1, 3):
            raise ValueError(f"BM3D takes grey or RGB images (1 or 3 channels), got {len(image)}.")
        if len(image) == 3:
            return np.moveaxis(package.bm3d_rgb(np.moveaxis(image, 0, -1), level), -1, 0)
        return package.bm3d(image[0], level)[None]

    return _denoiser(restore)


def choose(
    make: Callable[[float], Denoiser], factors: Sequence[float], images: Mapping[str, Sample], sigma: float, seed: int
) -> float:
    """The factor whose denoiser `make(factor)` has the highest mean PSNR on `images` under protocol `whole`.

    Args:
        make: `total_variation` or `non_local_means`.
        factors: the candidates; of equal ones the first is taken.
        images: clean validation images by name, shape (C, H, W), in [0, 1]; never test images.
        sigma: noise standard deviation in 8-bit grey levels.
        seed: part of the noise's key.

    Raises:
        ValueError: if there is no candidate or no image.
    """
    if not factors or not images:
        raise ValueError(
            f"choosing needs at least one factor and one validation image, got {len(factors)} and {len(images)}."
        )

    def mean_psnr(factor: float) -> float:
        scores = protocols.score(make(factor), images, sigma, "whole", seed)
        return fmean(score.psnr_db for score in scores)

    return max(factors, key=mean_psnr)


def tune(
    method: str, factors: Sequence[float], images: Mapping[str, Sample], sigma: float, seed: int
) -> tuple[Denoiser, dict[str, float]]:
    """The denoiser "tv" or "nlm" at the factor that `choose` takes, and its setting by name, on the scale [0, 1]."""
    make, setting = {"tv": (total_variation, "weight"), "nlm": (non_local_means, "h")}[method]
    factor = choose(make, factors, images, sigma, seed)
    return make(factor), {setting: factor * sigma / 255}


def _denoiser(restore: Callable[[np.ndarray, float], np.ndarray]) -> Denoiser:
    """A denoiser that hands images of shape (C, H, W) one by one to `restore`, with the noise level on their scale."""

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        if sigma == 0:  # the methods divide by the noise level
            return noisy
        whole = noisy.shape[-2] * noisy.shape[-1] <= LARGE
        restored = [(restore if whole else _in_tiles(restore))(image, sigma / 255) for image in noisy.cpu().numpy()]
        return torch.from_numpy(np.stack(restored)).to(noisy)

    return denoise


def _in_tiles(restore: Callable[[np.ndarray, float], np.ndarray]) -> Callable[[np.ndarray, float], np.ndarray]:
    """The same for a large image, tile by tile, each seen with a `MARGIN`."""

    def restore_tiles(image: np.ndarray, level: float) -> np.ndarray:
        restored = np.empty_like(image)
        for top in range(0, image.shape[-2], TILE):
            for left in range(0, image.shape[-1], TILE):
                above, before = min(top, MARGIN), min(left, MARGIN)
                seen = image[:, top - above : top + TILE + MARGIN, left - before : left + TILE + MARGIN]
                tile = restored[:, top : top + TILE, left : left + TILE]
                height, width = tile.shape[-2:]
                tile[...] = restore(seen, level)[:, above : above + height, before : before + width]
        return restored

    return restore_tiles
