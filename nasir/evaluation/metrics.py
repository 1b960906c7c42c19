"""PSNR and SSIM for images in [0, 1], one value for each image of a batch.

SSIM comes in two definitions that differ by 0.004 to 0.009 on natural images, and every score says which one it is:

    ssim_zero_padded   outside of the image is 0, mean over all pixels: what the authors of IR-NAS report
    ssim_valid         only windows that lie inside the image: the standard one

Several channels are scored one by one and averaged. All pixels count: there is no border shave and no colour
conversion.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

RADIUS = 5
"""The SSIM window has 2 * RADIUS + 1 = 11 pixels on a side."""

WINDOW_SIGMA = 1.5
"""Standard deviation of the Gaussian window, pixels."""

C1 = 0.01**2
C2 = 0.03**2

BLOCK = 8
"""Pixels in a row that one product with the band matrix of the window blurs."""

TILE = 2**18
"""Pixels that are worked on at once, in about 160 bytes each (float64): they bound the memory of large images and batches."""


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: -10 log10(mean of (restored - clean)^2), for a data range of 1.

    Args:
        restored: images, shape (N, C, H, W), intensities on the scale [0, 1]; clip them first if they are to be
            compared.
        clean: the references, same shape.

    Returns:
        One value for each image, shape (N,), float64 (the sums are made in float64 too); infinite for equal images.

    Raises:
        ValueError: if the shapes differ, or `clean` is on the 8-bit scale.
    """
    _check_pair(restored, clean)
    if not float(clean.amax()) <= 1:
        raise ValueError(f"clean must lie in [0, 1], got a maximum of {clean.amax():g}; divide 8-bit images by 255.")
    rows = [
        (restored[:, :, first:last].double() - clean[:, :, first:last].double()).square_().mean(dim=-1)
        for first, last in _strips(restored)
    ]
    return -10 * torch.log10(torch.cat(rows, dim=2).mean(dim=(1, 2)))


def ssim_zero_padded(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean SSIM over all pixels, images continued by zeros: the mean of `ssim_map`, shape (N,)."""
    return _mean_of_each(ssim_map(restored, clean))


def ssim_valid(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean SSIM over the pixels whose window lies inside the image, shape (N,).

    Equal to scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=1)`. Images below 11 pixels on a side have no such pixel and are refused.
    """
    return _mean_of_each(valid_region(ssim_map(restored, clean)))


def ssim_map(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity at each pixel (Wang et al., IEEE TIP 2004, equation 13), images continued by zeros.

    (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)), with the means m, the variances s^2
    and the covariance s_xy (population form: E[xy] - E[x] E[y]) under an 11x11 Gaussian window of standard deviation
    1.5, and C1 = 0.01^2, C2 = 0.03^2 for a data range of 1. Computed from the sum s = x + y and the difference
    d = x - y, which need four windowed means in place of five: with a = E[s]^2 and b = E[d]^2 the first factor is
    (a - b + 2 C1) / (a + b + 2 C1); with their variances for a and b the second one is
    (a - b + 2 C2) / (a + b + 2 C2). Differentiable, twice too.

    Args:
        restored: images, shape (N, C, H, W), intensities on the scale [0, 1].
        clean: the references, same shape and dtype.

    Returns:
        Values in [-1, 1], shape (N, C, H, W), computed in the dtype of the images: float32 is good for a loss (the
        variances lose about 1e-4 of C2 to rounding), scores pass float64.

    Raises:
        ValueError: if shapes or dtypes differ.
    """
    _check_pair(restored, clean)
    if restored.dtype != clean.dtype:
        raise ValueError(f"restored and clean must have one dtype, got {restored.dtype} and {clean.dtype}.")
    return _map_in_tiles(restored, clean)


def valid_region(similarity: Tensor) -> Tensor:
    """The part of an `ssim_map` where the window lies inside the image: 5 pixels less on each side."""
    height, width = similarity.shape[-2:]
    if min(height, width) <= 2 * RADIUS:
        raise ValueError(
            f"the valid SSIM needs images of at least {2 * RADIUS + 1}x{2 * RADIUS + 1} pixels, got {height}x{width}; "
            "leave the image out or use ssim_zero_padded."
        )
    return similarity[..., RADIUS:-RADIUS, RADIUS:-RADIUS]


def _map_in_tiles(x: Tensor, y: Tensor) -> Tensor:
    """The SSIM map, some images at a time; one large image in strips of rows that see `RADIUS` rows beyond their own."""
    images = len(x)
    if x.numel() <= TILE:
        return _map(x, y)
    if images > 1:
        count = max(1, TILE // x[0].numel())
        return torch.cat([_map_in_tiles(*pair) for pair in zip(x.split(count), y.split(count), strict=True)])
    similarity = torch.empty_like(x)
    for first, last in _strips(x):
        seen = slice(max(0, first - RADIUS), last + RADIUS)
        strip = _map(x[:, :, seen], y[:, :, seen])
        similarity[:, :, first:last] = strip.narrow(2, first - seen.start, last - first)
    return similarity


def _strips(images: Tensor) -> list[tuple[int, int]]:
    """The rows of images, shape (N, C, H, W), in parts of about one size, worked on one by one: (first, last + 1) of each."""
    height = images.shape[2]
    count = -(-height // max(2 * RADIUS, TILE // (images.numel() // height)))
    return [(height * part // count, height * (part + 1) // count) for part in range(count)]


def _map(x: Tensor, y: Tensor) -> Tensor:
    """The SSIM map of one tile; what is changed in place is not needed by the derivatives."""
    mean_s, mean_d, mean_ss, mean_dd = _Means.apply(x, y)
    square_s, square_d = mean_s.square(), mean_d.square()
    variance_s, variance_d = mean_ss - square_s, mean_dd - square_d
    square_s += 2 * C1
    variance_s += 2 * C2
    above = (square_s - square_d) * (variance_s - variance_d)
    return above / (square_s.add_(square_d) * variance_s.add_(variance_d))


class _Means(torch.autograd.Function):
    """Windowed means of s = x + y, d = x - y, s^2 and d^2: shape (4, N, C, H, W) from two of shape (N, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        canvas = _Canvas(x, 4 * x.shape[0] * x.shape[1], *x.shape[2:])
        s, d, ss, dd = canvas.images.view(4, *x.shape)
        torch.add(x, y, out=s)
        torch.sub(x, y, out=d)
        torch.mul(s, s, out=ss)
        torch.mul(d, d, out=dd)
        means = canvas.blur().view(4, *x.shape)
        return means.contiguous() if any(ctx.needs_input_grad) else means  # what is kept must not keep the canvas

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        by_s, by_d, by_ss, by_dd = _Blur.apply(gradients[0])
        total_s = by_s + 2 * (x + y) * by_ss
        total_d = by_d + 2 * (x - y) * by_dd
        return total_s + total_d, total_s - total_d


class _Blur(torch.autograd.Function):
    """The Gaussian window over images continued by zeros; a symmetric operator, hence its own adjoint."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        canvas = _Canvas(images, images[..., 0, 0].numel(), *images.shape[-2:])
        canvas.images.view(images.shape).copy_(images)
        return canvas.blur().view(images.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Blur.apply(gradients[0])


class _Canvas:
    """Images below each other with zeros around them, to be blurred by two products with a band matrix.

    Each image has blocks of rows of its own and a block of zeros below, so that no product mixes two images. All memory
    is taken at once: an allocator keeps one large piece for the next call sooner than many small ones.
    """

    def __init__(self, like: Tensor, count: int, height: int, width: int) -> None:
        rows, columns = BLOCK * (-(-height // BLOCK) + 1), BLOCK * -(-width // BLOCK)
        self.memory = like.new_empty(2, count * rows + 2 * RADIUS, columns + 2 * RADIUS)
        self.shape = (count, rows, columns)
        canvas = self.memory[0]
        slots = canvas[RADIUS:-RADIUS].view(count, rows, -1)
        self.images = slots[:, :height, RADIUS : RADIUS + width]
        """To be filled, shape (count, height, width)."""
        left, right = slots[..., :RADIUS], slots[..., RADIUS + width :]
        for border in (canvas[:RADIUS], canvas[-RADIUS:], slots[:, height:], left, right):
            border.zero_()

    def blur(self) -> Tensor:
        """The blurred images, shape (count, height, width); the canvas is used up."""
        height, width = self.images.shape[1:]
        blurred = _filter_rows(_filter_rows(self.memory[0], self.memory[1]), self.memory[0])
        return blurred.view(self.shape)[:, :height, :width]


def _filter_rows(picture: Tensor, memory: Tensor) -> Tensor:
    """The window along the last axis, where it lies inside, then transposed: (H, W) gives (W - 2 RADIUS, H).

    Each `BLOCK` outputs are a band matrix, shape (BLOCK, BLOCK + 2 RADIUS), times the inputs that they see.
    """
    blocks = picture.unfold(1, BLOCK + 2 * RADIUS, BLOCK).permute(1, 2, 0)
    shape = (len(blocks), BLOCK, len(picture))
    result = memory.flatten()[: shape[0] * shape[1] * shape[2]].view(shape)
    torch.bmm(_band(picture.dtype, picture.device).expand(len(blocks), -1, -1), blocks, out=result)
    return result.flatten(0, 1)


@cache
def _band(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The window in each row, one column further to the right than in the row above."""
    offsets = torch.arange(BLOCK + 2 * RADIUS, dtype=torch.float64) - torch.arange(BLOCK)[:, None] - RADIUS
    weights = torch.exp(-offsets.square() / (2 * WINDOW_SIGMA**2)).where(offsets.abs() <= RADIUS, 0)
    return (weights / weights.sum(dim=1, keepdim=True)).to(device, dtype)


def _mean_of_each(images: Tensor) -> Tensor:
    """The mean of each image, shape (N,); row by row first, so that it does not depend on the number of threads."""
    return images.mean(dim=-1).mean(dim=(1, 2))


def _check_pair(restored: Tensor, clean: Tensor) -> None:
    if restored.shape != clean.shape or restored.dim() != 4 or restored.numel() == 0:
        raise ValueError(
            "restored and clean must both have one shape (N, C, H, W), "
            f"got {tuple(restored.shape)} and {tuple(clean.shape)}; each side must be at least 1."
        )
    if not (restored.is_floating_point() and clean.is_floating_point()):
        raise ValueError(f"restored and clean must hold floats in [0, 1], got {restored.dtype} and {clean.dtype}.")
