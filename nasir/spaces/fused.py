"""The arithmetic of the fast supernet: convolution, batch normalisation and weighted sum, forward and backward by hand.

Batch normalisation is without scale and shift, as in a supernet. With yc = y - mean(y) and r = 1 / sqrt(var(y) + eps) a term
w * BN(y) is w * r * yc, and its gradients are (Ioffe and Szegedy, ICML 2015, section 3)

    dL/dw = r * sum(g * yc)
    dL/dy = w * r * (g - mean(g) - yc * r^2 * mean(g * yc)),      means over images, rows and columns,

so that yc is all that has to be kept: the plain way keeps y, BN(y) and activations besides. Statistics are in float32 or
better, and over all processes where there are several.

Features are (N, C, H, W) in channels_last, worked on as rows (N * H * W, C). The channels of a tensor that belongs to several
edges stand edge by edge: those of edge e are e * C to (e + 1) * C - 1.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir.spaces.normalisation import reduce_sum, world_size

EPS = 1e-5
"""Of every batch normalisation, torch's default."""

CHUNK = 2**18
"""Values that are worked on at once where a temporary is needed: it then stays in a CPU's second-level cache."""


class Moments(NamedTuple):
    """Batch statistics: mean and biased variance of each channel, shape (channels,)."""

    mean: Tensor
    variance: Tensor

    @property
    def rate(self) -> Tensor:
        """1 / sqrt(variance + eps)."""
        return torch.rsqrt(self.variance + EPS)


def rows_of(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N * H * W, C), without a copy where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def image_of(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `rows_of`, channels_last, with the images, height and width of `like`."""
    n, _, h, w = like.shape
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def spread(weights: Tensor, channels: int) -> Tensor:
    """Weights of edges, shape (edges,), for each of their channels, shape (edges * channels,)."""
    return weights.repeat_interleave(channels)


def centre(rows: Tensor, known: Moments | None = None) -> tuple[Tensor, Moments]:
    """Subtract the mean of each channel, in place, and give the statistics, or those that are `known` already."""
    if known is not None:
        return rows.sub_(known.mean), known
    count = len(rows) * world_size()
    mean = reduce_sum(sums(rows)) / count
    rows = rows.sub_(mean)
    return rows, Moments(mean, reduce_sum(products(rows, rows)) / count)


def d_normalised(g: Tensor, rows: Tensor, scale: Tensor, rate: Tensor, sum_g: Tensor, product: Tensor) -> Tensor:
    """dL/dy of scale * yc, with scale = w * r.

    Args:
        g: dL/d(scale * yc), shape (rows, channels).
        rows: yc, same shape.
        scale, rate: shape (channels,).
        sum_g, product: sums of g and of g * yc over the rows of all processes, shape (channels,).
    """
    count = len(rows) * world_size()
    d_rows = torch.addcmul(sum_g * scale / -count, g, scale)
    return d_rows.addcmul_(rows, scale * rate**2 * product / -count)


def products(one: Tensor, other: Tensor) -> Tensor:
    """Sums of one * other over rows, shape (channels,)."""
    parts = max(1, one.numel() // CHUNK) if not one.is_cuda else 1
    totals = [sums(torch.mul(a, b)) for a, b in zip(one.chunk(parts), other.chunk(parts), strict=True)]
    return torch.stack(totals).sum(0) if parts > 1 else totals[0]


def sums(rows: Tensor) -> Tensor:
    """Sums over rows, shape (channels,).

    Up to 16 rows are summed as one long row first: torch's sum of columns is several times slower where their number is no
    multiple of a vector's.
    """
    together = math.gcd(len(rows), 16) if rows.is_contiguous() else 1
    long = rows.view(len(rows) // together, -1).sum(0, dtype=_exact(rows))
    return long.view(together, -1).sum(0) if together > 1 else long


def _exact(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """A depthwise convolution that keeps the size; weight of shape (C, 1, k, k), k odd."""
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))


def d_depthwise(g: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `depthwise` with respect to x and weight.

    That of x is a convolution with the turned kernel. That of a 5x5 weight is put together from two 5x3 ones: oneDNN has
    a fast kernel for widths up to 3 and takes ten times as long for 5 (benchmarks/README.md).
    """
    d_x = depthwise(g, weight.flip(2, 3))
    if weight.shape[-1] == 3 or x.is_cuda:
        return d_x, _d_weight(g, x, weight, weight.shape[-1] // 2)
    narrow = weight[..., :3].contiguous()
    (g_right, g_left), (x_right, x_left) = _widen(g), _widen(x)
    left = _d_weight(g_left, x_right, narrow, 1)
    right = _d_weight(g_right, x_left, narrow, 1)
    return d_x, torch.cat((left, right[..., 1:]), -1)


def _widen(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with a column of zeros before it, and with one after it: two views of one memory, a pixel apart."""
    n, c, h, w = x.shape
    size = n * h * (w + 1) * c
    memory = x.new_empty(size + c)
    after = memory[:size].view(n, h, w + 1, c)
    after[:, :, 0] = 0
    after[:, :, 1:] = x.permute(0, 2, 3, 1)
    memory[size:] = 0
    return after.permute(0, 3, 1, 2), memory[c:].view(n, h, w + 1, c).permute(0, 3, 1, 2)


def _d_weight(g: Tensor, x: Tensor, weight: Tensor, columns: int) -> Tensor:
    padding = [weight.shape[-2] // 2, columns]
    return d_convolution(g, x, weight, padding, 1, len(weight), (False, True))[1]


def d_pointwise(g: Tensor, x: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Gradients of a grouped 1x1 convolution with respect to x and weight; that of x is one as well, and faster so."""
    turned = weight.view(groups, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
    d_x = F.conv2d(g, turned.contiguous(memory_format=torch.channels_last), groups=groups)
    return d_x, d_convolution(g, x, weight, [0, 0], 1, groups, (False, True))[1]


def d_convolution(
    g: Tensor, x: Tensor, weight: Tensor, padding: list[int], dilation: int, groups: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of a convolution of stride 1 with respect to x and weight; one that is not wanted is undefined.

    On a CPU they are float32 at least: oneDNN has no bfloat16 gradients of grouped convolutions of few channels.
    """
    if not x.is_cuda:
        g, x, weight = (tensor.to(_exact(tensor)) for tensor in (g, x, weight))
    d_x, d_weight, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, [1, 1], padding, [dilation] * 2, False, [0, 0], groups, [*wanted, False]
    )
    return d_x, d_weight


class NormActivate(torch.autograd.Function):
    """activation(BN(y)) of a fresh y, which is overwritten; also gives mean and variance, which have no gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
        rows, moments = centre(rows_of(y.detach()))
        ctx.slope = slope
        ctx.mark_non_differentiable(*moments)
        ctx.save_for_backward(rows, *moments)
        return image_of(F.leaky_relu_(rows * moments.rate.to(rows.dtype), slope), y), *moments

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows, *moments = ctx.saved_tensors
        g = rows_of(gradients[0])
        d_rows = d_activated(g * Moments(*moments).rate.to(g.dtype), rows, Moments(*moments), ctx.slope)
        return image_of(d_rows, gradients[0]), None


def d_activated(g: Tensor, rows: Tensor, moments: Moments, slope: float) -> Tensor:
    """Gradient with respect to y, from g, that of r * activation(yc) times r; `rows` is yc, shape (rows, channels)."""
    g = torch.ops.aten.leaky_relu_backward(g, rows, slope, False)
    sum_g, product = reduce_sum(torch.stack((sums(g), products(g, rows))))
    return d_normalised(g, rows, torch.ones_like(moments.rate), moments.rate, sum_g, product)
