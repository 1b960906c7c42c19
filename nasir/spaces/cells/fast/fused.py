"""The arithmetic of the fast supernet: convolution, batch normalisation and weighted sum, forward and backward by hand.

Batch normalisation is without scale and shift, as in a supernet. With yc = y - mean(y) and r = 1 / sqrt(var(y) + eps) a term
w * BN(y) is w * r * yc, and its gradients are (Ioffe and Szegedy, ICML 2015, section 3)

    dL/dw = r * sum(g * yc)
    dL/dy = w * r * (g - mean(g) - yc * r^2 * mean(g * yc)),      means over images, rows and columns,

so that y is all that has to be kept: the plain way keeps BN(y) and activations besides. Statistics are in float32 or
better, and over all processes where there are several.

Features are (N, C, H, W) in channels_last, worked on as rows (N * H * W, C). The channels of a tensor that belongs to several
edges stand edge by edge: those of edge e are e * C to (e + 1) * C - 1.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir.layers.normalisation import reduce_sum, world_size

EPS = 1e-5
"""Of every batch normalisation, torch's default."""


NARROW = 48
"""Channels up to which a grouped 1x1 convolution is faster as a product with a matrix that is mostly zero."""


class Moments(NamedTuple):
    """Batch statistics: mean and biased variance of each channel, shape (channels,)."""

    mean: Tensor
    variance: Tensor

    @property
    def rate(self) -> Tensor:
        """1 / sqrt(variance + eps)."""
        return torch.rsqrt(self.variance + EPS)


def rows_of(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N * H * W, C), dense, without a copy where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).contiguous()  # of one image `reshape` alone gives columns


def image_of(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `rows_of`, channels_last, with the images, height and width of `like`."""
    n, _, h, w = like.shape
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def long(rows: Tensor, most: int = 16) -> Tensor:
    """Dense rows (R, C) as long rows of up to `most` of them, (R / k, k * C), in the same memory.

    torch's loops run along a row and start anew with each: with ten channels they are up to five times slower than with 160.
    """
    together = math.gcd(len(rows), most)
    return rows.view(len(rows) // together, -1)  # never a copy: what is written into it must arrive


def tiled(values: Tensor, wide: Tensor) -> Tensor:
    """Values of channels, shape (C,), for `long` rows."""
    return values.expand(wide.shape[1] // values.shape[0], -1).reshape(-1)  # `repeat` takes three times as many calls


def add_scaled(total: Tensor, ys: Sequence[Tensor], scale: Tensor) -> None:
    """total += y * scale for each of ys, in place; scale of shape (len(ys), C)."""
    wide = long(total)
    tiles = scale.repeat(1, wide.shape[1] // scale.shape[1])
    for y, tile in zip(ys, tiles.unbind(), strict=True):
        wide.addcmul_(long(y), tile)


def add_constant(total: Tensor, values: Tensor) -> None:
    """total += values, in place; values of shape (C,)."""
    wide = long(total)
    wide.add_(tiled(values, wide))


def moments_of(ys: Sequence[Tensor]) -> Moments:
    """Mean and variance of each channel of each of ys over the rows of all processes, shape (len(ys), C).

    They are put together from those of groups of rows, exactly: the variance is the mean of the groups' variances plus the
    variance of their means. On a CPU torch's own kernel of batch normalisation gives the groups', each 64th row being one
    group, so that it works on `long` rows.
    """
    parts = [_moments_of_groups(_to_exact(y)) for y in ys]
    means, variances = (torch.stack(part).view(len(ys), -1, ys[0].shape[1]) for part in zip(*parts, strict=True))
    mean = reduce_sum(means.mean(1)) / world_size()
    variance = reduce_sum((variances + (means - mean.unsqueeze(1)).square()).mean(1)) / world_size()
    return Moments(mean, variance)


def _moments_of_groups(rows: Tensor) -> tuple[Tensor, Tensor]:
    if rows.is_cuda:
        variances, means = torch.var_mean(rows, 0, correction=0)
    else:
        means, variances = torch.ops.aten.batch_norm_update_stats(_grouped(rows), None, None, 0.0)
    return means, variances


def centre(rows: Tensor, known: Moments | None = None) -> tuple[Tensor, Moments]:
    """Subtract the mean of each channel, in place, and give the statistics, or those that are `known` already."""
    moments = known or Moments(*(part[0] for part in moments_of([rows])))
    add_constant(rows, -moments.mean)
    return rows, moments


def projections(g: Tensor, ys: Sequence[Tensor], means: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of g, shape (C,), and of g * (y - mean) for each of ys, shape (len(ys), C), over this process's rows."""
    g, ys = _to_exact(g), [_to_exact(y) for y in ys]
    if g.is_cuda:
        return sums(g), torch.stack([sums(g * (y - mean)) for y, mean in zip(ys, means, strict=True)])
    one = _grouped(g)
    tiles = means.to(g.dtype).repeat(1, one.shape[1] // means.shape[1])
    rates = torch.ones_like(tiles[0])
    found = [
        torch.ops.aten.native_batch_norm_backward(
            one, _grouped(y), None, tile, rates, tile, rates, False, 0.0, [False, True, number == 0]
        )
        for number, (y, tile) in enumerate(zip(ys, tiles.unbind(), strict=True))
    ]
    products = torch.stack([product for _, product, _ in found]).view(len(ys), -1, means.shape[1]).sum(1)
    return found[0][2].view(-1, means.shape[1]).sum(0), products


def _grouped(rows: Tensor) -> Tensor:
    """Long rows as a channels_last image of one column, whose channels are those of each row of a group."""
    wide = long(rows, 64)
    return wide.view(1, len(wide), 1, -1).permute(0, 3, 1, 2)


def d_normalised(
    g: Tensor, moments: Moments, scale: Tensor, sum_g: Tensor, products: Tensor
) -> Callable[[int, Tensor], Tensor]:
    """dL/dy of scale * (y - mean), with scale = w * r, for several y that add up.

    Args:
        g: dL/d(their sum), shape (rows, C).
        moments, scale, products: of each y, shape (ys, C); `products` are the sums of g * (y - mean) over all processes.
        sum_g: of g, over all processes, shape (1, C).

    Returns:
        What takes a number and the y of that number, shape (rows, C), and gives dL/dy.
    """
    count = len(g) * world_size()
    slope = scale * moments.rate.square() * products / -count
    shift = sum_g * scale / -count - moments.mean * slope
    wide = long(g)
    tiles = torch.stack((shift, scale, slope)).repeat(1, 1, wide.shape[1] // g.shape[1])

    def through(number: int, y: Tensor) -> Tensor:
        constant, of_g, of_y = tiles[:, number]
        return torch.addcmul(constant, wide, of_g).addcmul_(long(y), of_y).view_as(g)

    return through


def sums(rows: Tensor) -> Tensor:
    """Sums over rows, shape (channels,)."""
    return long(rows).sum(0, dtype=_exact(rows)).view(-1, rows.shape[1]).sum(0)


def _exact(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _to_exact(x: Tensor) -> Tensor:
    return x.to(_exact(x))


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


def pointwise(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A grouped 1x1 convolution, weight of shape (groups * C, C, 1, 1); of few channels it is faster as a matrix product."""
    if x.is_cuda or len(weight) > NARROW or x.dtype != _exact(x):
        return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), groups=groups)
    blocks = weight.view(groups, -1, weight.shape[1])
    return image_of(rows_of(x) @ torch.block_diag(*blocks).t(), x)


def d_pointwise(g: Tensor, x: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Gradients of `pointwise` with respect to x and weight; that of x is one as well."""
    turned = weight.view(groups, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
    d_x = pointwise(g, turned, groups)
    if x.is_cuda:
        return d_x, d_convolution(g, x, weight, [0, 0], 1, groups, (False, True))[1]
    one, other = (_to_exact(rows_of(tensor)) for tensor in (g, x))
    channels = weight.shape[1]
    if len(weight) > NARROW:  # group by group
        one, other = (rows.view(len(rows), groups, channels) for rows in (one, other))
        return d_x, torch.bmm(one.permute(1, 2, 0), other.transpose(0, 1)).view_as(weight)
    parts = math.gcd(
        len(one), 16
    )  # all groups with all, in parts that both threads can take; blocks on the diagonal count
    one, other = (rows.view(parts, -1, len(weight)) for rows in (one, other))
    products = torch.bmm(one.transpose(1, 2), other).sum(0).view(groups, channels, groups, channels)
    return d_x, products.diagonal(dim1=0, dim2=2).permute(2, 0, 1).reshape(weight.shape)


def d_convolution(
    g: Tensor, x: Tensor, weight: Tensor, padding: list[int], dilation: int, groups: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of a convolution of stride 1 with respect to x and weight; one that is not wanted is undefined.

    On a CPU they are float32 at least: oneDNN has no bfloat16 gradients of grouped convolutions of few channels.
    """
    if not x.is_cuda:
        g, x, weight = (_to_exact(tensor) for tensor in (g, x, weight))
    d_x, d_weight, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, [1, 1], padding, [dilation] * 2, False, [0, 0], groups, [*wanted, False]
    )
    return d_x, d_weight


class DilatedDepthwise(torch.autograd.Function):
    """A depthwise convolution of odd side and any dilation that keeps the size, as a sum of shifted images.

    oneDNN takes a slow path for the gradient of a dilated one: for 80 channels at dilation 16 as long as for five dense
    convolutions of 5x5.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _shift_and_add(x, weight, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        x, g = (image_of(rows_of(tensor), tensor) for tensor in (x, gradients[0]))
        height, width = weight.shape[-2:]
        d_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format)
        for i, j in itertools.product(range(height), range(width)):
            seen, given = _overlap(x, g, i - height // 2, j - width // 2, ctx.dilation)
            d_weight[:, 0, i, j] = (seen * given).sum((0, 1), dtype=_exact(g)).view(-1, len(weight)).sum(0)
        return _shift_and_add(g, weight.flip(2, 3), ctx.dilation), d_weight, None


def _shift_and_add(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """The convolution of `DilatedDepthwise`."""
    height, width = weight.shape[-2:]
    rows = rows_of(x)
    x, total = image_of(rows, x), image_of(torch.zeros_like(rows), x)
    for i, j in itertools.product(range(height), range(width)):
        seen, given = _overlap(x, total, i - height // 2, j - width // 2, dilation)
        scale = weight[:, 0, i, j]
        given.addcmul_(seen, scale.expand(seen.shape[-1] // len(scale), -1).reshape(-1))
    return total


def _overlap(x: Tensor, y: Tensor, down: int, right: int, dilation: int) -> tuple[Tensor, Tensor]:
    """What a tap at (down, right) reads of x and gives to y: views of shape (N, rows, columns * C)."""
    views = []
    for image, sign in ((x, 1), (y, -1)):
        window = image.permute(0, 2, 3, 1)
        for axis, shift in ((1, sign * down * dilation), (2, sign * right * dilation)):
            length = max(0, window.shape[axis] - abs(shift))
            window = window.narrow(axis, min(max(shift, 0), window.shape[axis] - length), length)
        n, height, width, channels = window.shape
        views.append(window.view(n, height, width * channels))
    return views[0], views[1]


class NormActivate(torch.autograd.Function):
    """activation(BN(y)) of a fresh y, which is overwritten (BN(y) at slope 1); and mean and variance, without gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
        rows, moments = centre(rows_of(y.detach()))
        ctx.slope = slope
        ctx.mark_non_differentiable(*moments)
        ctx.save_for_backward(rows, *moments)
        wide = long(rows)
        result = (wide * tiled(moments.rate, wide).to(rows.dtype)).view_as(rows)
        return image_of(result if slope == 1 else F.leaky_relu_(result, slope), y), *moments

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows, mean, variance = ctx.saved_tensors
        moments = Moments(mean, variance)
        d_rows = d_activated(rows_of(gradients[0]), rows, moments, ctx.slope, moments.rate)
        return image_of(d_rows, gradients[0]).to(rows.dtype), None


def d_activated(g: Tensor, rows: Tensor, moments: Moments, slope: float, scale: Tensor) -> Tensor:
    """Gradient with respect to y, from g, that of scale * activation(yc); `rows` is yc, shape (rows, channels)."""
    if slope != 1:
        g = torch.ops.aten.leaky_relu_backward(g, rows, slope, False)
    centred = Moments(torch.zeros_like(moments.mean)[None], moments.variance[None])
    sum_g, products = projections(g, [rows], centred.mean)
    sum_g, products = reduce_sum(torch.cat((sum_g[None], products))).split(1)
    return d_normalised(g, centred, scale[None], sum_g, products)(0, rows)
