"""The denoiser inside the simulated camera: a median, then a bilateral filter, on luminance and chroma apart.

Jaroensri et al. 2019, step 7 of their chain, with U and V on their scale, where both span [-1, 1].
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from nasir.data.camera.grid import BINS, bilateral_grid

_TRUNCATE = 3  # the bilateral sum ends at this many sigma_s


def denoise(
    colour: Tensor,
    *,
    luminance_sigma_s: Tensor,
    luminance_sigma_r: Tensor,
    chroma_sigma_s: Tensor,
    chroma_sigma_r: Tensor,
) -> Tensor:
    """Median and bilateral denoising in YUV, the median first, clipped to [0, 1].

    Luminance is filtered under the guide sqrt(Y) by a direct sum, chroma under the filtered luminance by a bilateral grid.
    Deviation: the paper filters luminance on the grid as well, whose interpolation widens a narrow range kernel; here the
    range kernel of luminance is the Gaussian itself.

    Args:
        colour: linear RGB in [0, 1], shape (N, 3, H, W).
        luminance_sigma_s: spatial deviation for luminance in pixels, shape (N,).
        luminance_sigma_r: range deviation for luminance in grid bins of 1/32, shape (N,).
        chroma_sigma_s: as above, for chroma.
        chroma_sigma_r: as above, for chroma.
    """
    yuv = median_plus(to_yuv(colour))
    luminance, chroma = yuv[:, :1].clamp(0, 1), yuv[:, 1:]
    luminance = bilateral(luminance, luminance.sqrt(), luminance_sigma_s, luminance_sigma_r / BINS).clamp(0, 1)
    chroma = bilateral_grid(chroma, luminance, chroma_sigma_s, chroma_sigma_r)
    return to_rgb(torch.cat([luminance, chroma], dim=1)).clamp(0, 1)


def to_yuv(colour: Tensor) -> Tensor:
    """Y = 0.299 R + 0.587 G + 0.114 B, U = (B - Y) / 0.886, V = (R - Y) / 0.701; shape (N, 3, H, W)."""
    red, green, blue = colour.unbind(dim=1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luminance, (blue - luminance) / 0.886, (red - luminance) / 0.701], dim=1)


def to_rgb(yuv: Tensor) -> Tensor:
    """The inverse of `to_yuv`."""
    luminance, u, v = yuv.unbind(dim=1)
    red, blue = luminance + 0.701 * v, luminance + 0.886 * u
    return torch.stack([red, (luminance - 0.299 * red - 0.114 * blue) / 0.587, blue], dim=1)


def median_plus(planes: Tensor) -> Tensor:
    """The median of each value and its four neighbours, plane by plane; a border value stands in for what lies outside.

    Args:
        planes: shape (N, C, H, W), any range.
    """
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    above, below = padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1]
    left, right = padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:]
    # the smallest and the largest of the four cannot be the median of the five: it is that of the other two and the centre
    low = torch.maximum(torch.minimum(above, below), torch.minimum(left, right))
    high = torch.minimum(torch.maximum(above, below), torch.maximum(left, right))
    return torch.maximum(torch.minimum(low, high), torch.minimum(planes, torch.maximum(low, high)))


def bilateral(values: Tensor, guide: Tensor, sigma_s: Tensor, sigma_r: Tensor) -> Tensor:
    """Average each value with its neighbours q of p by exp(-|p - q|^2 / 2 sigma_s^2 - (g_p - g_q)^2 / 2 sigma_r^2).

    A direct sum over |p - q| <= 3 sigma_s inside the image; its cost grows with sigma_s^2, so it is meant for a few pixels.

    Args:
        values: what is averaged, shape (N, C, H, W).
        guide: what is compared, shape (N, 1, H, W).
        sigma_s: spatial deviation in pixels, shape (N,); above 0.
        sigma_r: range deviation in units of `guide`, shape (N,); above 0.

    Raises:
        ValueError: if a deviation is not above 0.
    """
    for name, sigma in (("sigma_s", sigma_s), ("sigma_r", sigma_r)):
        if not bool((sigma > 0).all()):
            raise ValueError(f"{name} must be above 0, got {sigma.min():g}; leave the filter out instead.")
    spread = sigma_s.double()
    sharpness = (-0.5 / sigma_r.double() ** 2).to(values.dtype).view(-1, 1, 1, 1)
    total, weights = values.clone(), torch.ones_like(guide)  # the pixel itself, with weight 1
    for dy, dx in _half_disc(_TRUNCATE * float(spread.max())):
        square = dy * dy + dx * dx
        nearness = torch.exp(-0.5 * square / spread**2) * (square <= (_TRUNCATE * spread) ** 2)
        here, there = _overlap(guide.shape, dy, dx)
        difference = guide[here] - guide[there]
        weight = difference.square_().mul_(sharpness).exp_().mul_(nearness.to(values.dtype).view(-1, 1, 1, 1))
        total[here] += weight * values[there]
        total[there] += weight * values[here]
        weights[here] += weight
        weights[there] += weight
    return total / weights


def _half_disc(radius: float) -> list[tuple[int, int]]:
    """One of each pair of opposite offsets (dy, dx) no longer than `radius`, without (0, 0)."""
    reach = math.floor(radius)
    offsets = [(dy, dx) for dy in range(reach + 1) for dx in range(-reach, reach + 1) if (dy, dx) > (0, 0)]
    return [(dy, dx) for dy, dx in offsets if dy * dy + dx * dx <= radius**2]


def _overlap(shape: torch.Size, dy: int, dx: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where p and where p + (dy, dx) lie when both are inside the image; dy is 0 or more."""
    height, width = shape[2:]
    whole = slice(None)
    here = (whole, whole, slice(0, max(height - dy, 0)), slice(max(-dx, 0), max(width - max(dx, 0), 0)))
    there = (whole, whole, slice(dy, height), slice(max(dx, 0), max(width + min(dx, 0), 0)))
    return here, there
