"""The bilateral grid: a bilateral filter whose cost does not grow with its reach.

Chen, Paris and Durand, "Real-time Edge-aware Image Processing with the Bilateral Grid", SIGGRAPH 2007: values are splatted
with linear weights into a coarse volume of two spatial axes and one of the guide, blurred there, and sliced back.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BINS = 32
"""Bins of the guide's range [0, 1]: range deviations of the camera's denoiser are given in them."""

_HATS = 1 / 3  # variance that splatting and slicing with linear weights add, in squared cells: 1/6 each for fine steps


def bilateral_grid(values: Tensor, guide: Tensor, sigma_s: Tensor, sigma_r: Tensor) -> Tensor:
    """Average each value with neighbours that are near in space (sigma_s) and in the guide (sigma_r).

    Spatial cells are s = 2^floor(log2 sigma_s) pixels wide (1 below 2 pixels), so the blur inside the grid has a deviation
    of sqrt((sigma_s / s)^2 - (1 - s^-2) / 3) cells: with what splat and slice blur, sigma_s pixels. Along the guide the
    Gaussian is sampled at the bins with sigma_r itself: interpolation widens it to about sqrt(sigma_r^2 + 1/3) bins, and two
    pixels of one bin are averaged however small sigma_r is. Outside the image nothing is averaged. The paper's own grid is a
    compiled filter that was not published; of it only the number of bins is known.

    Args:
        values: shape (N, C, H, W), any range.
        guide: shape (N, 1, H, W), in [0, 1].
        sigma_s: spatial deviation in pixels, shape (N,); at least 1.
        sigma_r: range deviation in bins of 1/32, shape (N,); above 0.

    Raises:
        ValueError: if a deviation is too small, or the guide leaves [0, 1].
    """
    if not (bool((sigma_s >= 1).all()) and bool((sigma_r > 0).all())):
        raise ValueError(
            f"sigma_s must be 1 pixel or more and sigma_r above 0, got {sigma_s.min():g} and {sigma_r.min():g}; "
            "bilateral takes smaller ones."
        )
    low, high = (float(value) for value in torch.aminmax(guide))
    if not (low >= 0 and high <= 1):
        raise ValueError(f"guide must lie in [0, 1], got values from {low:g} to {high:g}; clip it first.")
    steps = torch.exp2(torch.floor(torch.log2(sigma_s.double())))
    filtered = torch.empty_like(values)
    for step in steps.unique().tolist():  # images whose cells have one size make one batch
        chosen = torch.nonzero(steps == step).flatten()
        filtered[chosen] = _filter(values[chosen], guide[chosen], sigma_s[chosen], sigma_r[chosen], int(step))
    return filtered


def _filter(values: Tensor, guide: Tensor, sigma_s: Tensor, sigma_r: Tensor, step: int) -> Tensor:
    count, channels, height, width = values.shape
    rows, columns = ((side - 1) // step + 2 for side in (height, width))
    corners = list(_corners(guide, step, rows, columns))
    homogeneous = torch.cat([values, torch.ones_like(guide)], dim=1).flatten(2)
    grid = values.new_zeros(count, channels + 1, (BINS + 1) * rows * columns)
    for cell, weight in corners:
        grid.scatter_add_(2, cell.expand_as(homogeneous), homogeneous * weight)

    grid = grid.view(count, channels + 1, BINS + 1, rows, columns)
    spread = ((sigma_s.double() / step) ** 2 - _HATS * (1 - step**-2)).sqrt()
    along_y, along_x = _gaussian(rows, spread, grid.dtype), _gaussian(columns, spread, grid.dtype)
    grid = along_y[:, None, None] @ grid @ along_x[:, None, None]
    along_range = _gaussian(BINS + 1, sigma_r.double(), grid.dtype)
    grid = along_range[:, None] @ grid.flatten(3)

    flat, sliced = grid.flatten(2), torch.zeros_like(homogeneous)
    for cell, weight in corners:
        sliced += flat.gather(2, cell.expand_as(homogeneous)) * weight
    return (sliced[:, :-1] / sliced[:, -1:]).view_as(values)


def _corners(guide: Tensor, step: int, rows: int, columns: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The eight cells around each pixel: their number in the flat grid and their linear weight, shape (N, 1, H W)."""
    height, width = guide.shape[2:]
    level = guide * BINS
    bottom = level.floor().clamp(max=BINS - 1)
    above = level - bottom
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    down, right = (y % step / step).to(guide.dtype), (x % step / step).to(guide.dtype)
    base = (bottom.long() * rows + y // step) * columns + x // step
    for dy, by_y in ((0, 1 - down), (1, down)):
        for dx, by_x in ((0, 1 - right), (1, right)):
            for bin_above, by_range in ((0, 1 - above), (1, above)):
                cell = base + (bin_above * rows + dy) * columns + dx
                yield cell.flatten(2), (by_range * (by_y * by_x)).flatten(2)


def _gaussian(length: int, sigma: Tensor, dtype: torch.dtype) -> Tensor:
    """A blur as a matrix for each image: exp(-(i - j)^2 / 2 sigma^2), shape (N, length, length). Not normalised.

    Weights under 1e-6 are 0: their products would be denormal numbers, which made the matrix product eight times slower.
    """
    place = torch.arange(length, dtype=torch.float64)
    square = (place[:, None] - place[None]) ** 2
    weight = torch.exp(-0.5 * square / sigma.view(-1, 1, 1) ** 2)
    return torch.where(weight < 1e-6, 0.0, weight).to(dtype)
