"""Deformable convolution v2 in plain torch.

Deformable ConvNets v2 (Zhu et al., CVPR 2019), equation 1:

    y(p) = sum over k of w_k * x(p + p_k + dp_k(p)) * m_k(p)

p_k are the nine taps of a 3x3 kernel, dp_k a learned offset and m_k in [0, 1] a learned weight for each tap and pixel. x is
bilinear between pixels and zero outside of the image.

How it is computed: all channels of a pixel are a row of a table, so a sample is a weighted sum of the rows of four neighbours: an
embedding bag. The sampled values of a few images exist at a time and are sampled again for the gradients instead of kept.
"""

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TAPS = 9  # of a 3x3 kernel

BORDER = 2  # pixels of zeros around an image; a sample further out is put into the border and reads zeros

STRIP_VALUES = 2**19
"""On a CPU so many sampled values exist at a time, or one image's for the gradients; they then stay in its cache. A GPU has
64 times as many."""

RADIX_SORT = 2**15
"""From so many integers on, torch sorts by their digits on a CPU: several times faster."""


def deformable_conv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Equation 1 with stride 1, one group and zero padding.

    Computes in float32, or float64 if x is float64, also under autocast. Differentiable once. At whole pixels, where bilinear
    interpolation has a kink, the gradient of an offset is the one to the right or downwards.

    Args:
        x: features, shape (N, C, H, W).
        offset: dp in pixels, shape (N, 18, H, W); channels 2k and 2k + 1 are the row and column offsets of tap k,
            taps counted row by row.
        mask: m, shape (N, 9, H, W).
        weight: w, shape (O, C, 3, 3).

    Returns:
        Shape (N, O, H, W), channels_last if x is.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    result: Tensor = _Deformable.apply(*(t.to(dtype) for t in (x, offset, mask, weight)))
    return result


class _Deformable(torch.autograd.Function):
    """Equation 1 and its gradients, a group of images or a strip of one image at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, offset, mask, weight)
        (n, c, h, w), outputs = x.shape, weight.shape[0]
        offset, mask, rows = offset.flatten(2), mask.flatten(2), _rows(weight)
        result = x.new_empty(n, outputs, h * w)
        group, pixels = _sizes(x)
        home = _home(h, w, x.device)
        with torch.autocast(x.device.type, enabled=False):
            for first in range(0, n, group):
                images = slice(first, min(first + group, n))
                table = _table(x[images])
                for start in range(0, h * w, pixels):
                    strip = slice(start, start + pixels)
                    samples = _Samples(
                        table, offset[images, :, strip], mask[images, :, strip], home[..., strip, :], h, w
                    )
                    sampled = samples.values().view(images.stop - first, -1, TAPS * c)
                    for part, into in zip(sampled, result[images, :, strip], strict=True):
                        torch.mm(rows, part.t(), out=into)
        return result.view(n, outputs, h, w).contiguous(memory_format=_memory_format(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, offset, mask, weight = ctx.saved_tensors
        (n, c, h, w), outputs = x.shape, weight.shape[0]
        offset, mask, rows = offset.flatten(2), mask.flatten(2), _rows(weight)
        of_x, of_weight = torch.empty_like(x), torch.zeros_like(rows)
        of_offset, of_mask = x.new_empty(n, TAPS, 2, h * w), x.new_empty(n, TAPS, h * w)
        group, _ = _sizes(x)
        home = _home(h, w, x.device)
        with torch.autocast(x.device.type, enabled=False):
            for first in range(0, n, group):
                images = slice(first, min(first + group, n))
                samples = _Samples(_table(x[images]), offset[images], mask[images], home, h, w)
                values = samples.values().view(-1, h * w, TAPS * c)
                for part, of_y in zip(values, gradient[images].reshape(-1, outputs, h * w), strict=True):
                    of_weight.addmm_(of_y, part)
                    torch.mm(of_y.t(), rows, out=part)  # from here on `values` holds the gradient of the sampled values
                values = values.view(-1, c)
                for place, of_place in zip(
                    (of_offset[images, :, 0], of_offset[images, :, 1], of_mask[images]),
                    samples.gradients(values),
                    strict=True,
                ):
                    place.copy_(of_place.view(-1, h * w, TAPS).transpose(1, 2))
                of_x[images] = samples.gradient_of_x(values, h, w)
        return (
            of_x,
            of_offset.view(n, 2 * TAPS, h, w),
            of_mask.view(n, TAPS, h, w),
            of_weight.view(outputs, 3, 3, c).permute(0, 3, 1, 2),
        )


class _Samples:
    """S samples, nine for each pixel: where they read a table and with which weights."""

    def __init__(self, table: Tensor, offset: Tensor, mask: Tensor, home: Tensor, h: int, w: int) -> None:
        """`offset` has the shape (images, 18, pixels), `mask` (images, 9, pixels), `home` (2, 1, pixels, 9)."""
        images, _, pixels = mask.shape
        offset = offset.view(images, TAPS, 2, pixels).permute(2, 0, 3, 1).contiguous()
        whole = offset.floor()
        # clamped as integers: also an offset that is not a number then reads inside the table; its weights say that it is none
        row, column = whole.to(torch.int32).add_(home)
        row.clamp_(-BORDER, h)
        column.clamp_(-BORDER, w)
        width, size = w + 2 * BORDER, (h + 2 * BORDER) * (w + 2 * BORDER)
        image = torch.arange(images, dtype=torch.int32, device=mask.device).view(-1, 1, 1)
        self.positions = images * size
        self.table = table
        self.corner = row.mul_(width).add_(column).add_(image * size + BORDER * (width + 1)).view(-1)
        self.down, self.right = offset.sub_(whole).view(2, -1)
        self.mask = mask.transpose(1, 2).reshape(-1)
        corners = torch.tensor([0, 1, width, width + 1], dtype=torch.int32, device=mask.device)
        self.indices = self.corner.unsqueeze(1) + corners  # (S, 4)

    def weights(self) -> Tensor:
        """Of the four neighbours in each sample, times the mask, (S, 4)."""
        result = self.mask.new_empty(*self.mask.shape, 4)
        _bilinear(self.mask, self.down, self.right, result.unbind(1))
        return result

    def values(self) -> Tensor:
        """The samples times the mask, (S, C)."""
        return F.embedding_bag(self.indices, self.table, mode="sum", per_sample_weights=self.weights())

    def gradients(self, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of row offset, column offset and mask, (S,) each, from that of `values` (S, C)."""
        _accept_csr()
        rows = torch.arange(0, self.indices.numel() + 1, 4, dtype=torch.int32, device=gradient.device)
        products = torch.sparse_csr_tensor(
            rows,
            self.indices.view(-1),
            gradient.new_zeros(self.indices.numel()),
            size=(gradient.shape[0], self.table.shape[0]),
            check_invariants=False,
        )
        # the inner product of a sample's gradient with each of the four rows that it read
        torch.sparse.sampled_addmm(products, gradient, self.table.t(), beta=0.0, out=products)
        value, right, down, both = products.values().view(-1, 4).unbind(1)
        # as differences: the sample is value + right * to the right + down * downwards + right * down * both
        both -= down
        both -= right.sub_(value)
        down -= value
        of_down = torch.addcmul(down, self.right, both)
        of_right = torch.addcmul(right, self.down, both)
        of_mask = torch.addcmul(value, self.right, right).addcmul_(self.down, of_down)
        return of_down.mul_(self.mask), of_right.mul_(self.mask), of_mask

    def gradient_of_x(self, gradient: Tensor, h: int, w: int) -> Tensor:
        """(images, C, h, w), from that of `values` (S, C).

        The samples of each position are brought together by a sort: sums in a fixed order, unlike those of a scatter on a GPU.
        """
        keys = self.corner.short() if self.positions < 2**15 else self.corner  # short ones sort in half the time
        order = keys.sort(stable=True).indices.int()
        counts = self.corner.bincount(minlength=self.positions)
        starts = (counts.cumsum(0) - counts).int()
        mask, down, right = (t.index_select(0, order) for t in (self.mask, self.down, self.right))
        weights = _bilinear(mask, down, right, mask.new_empty(4, *mask.shape).unbind())
        total, *others = (
            F.embedding_bag(order, gradient, starts, mode="sum", per_sample_weights=share) for share in weights
        )
        width = w + 2 * BORDER
        for shift, other in zip((1, width, width + 1), others, strict=True):
            total[shift:] += other[:-shift]
        images = total.view(-1, h + 2 * BORDER, width, total.shape[1])
        return images[:, BORDER:-BORDER, BORDER:-BORDER].permute(0, 3, 1, 2)


def _bilinear(mask: Tensor, down: Tensor, right: Tensor, out: Sequence[Tensor]) -> Sequence[Tensor]:
    """Write the mask, split over the neighbours above left, above right, below left and below right, into `out`."""
    low = mask * down
    high = mask - low
    torch.mul(low, right, out=out[3])
    torch.sub(low, out[3], out=out[2])
    torch.mul(high, right, out=out[1])
    torch.sub(high, out[1], out=out[0])
    return out


def _table(x: Tensor) -> Tensor:
    """All pixels of the images with their borders, (images * (H + 4) * (W + 4), C)."""
    n, c, h, w = x.shape
    table = x.new_zeros(n, h + 2 * BORDER, w + 2 * BORDER, c)
    table[:, BORDER:-BORDER, BORDER:-BORDER] = x.permute(0, 2, 3, 1)
    return table.view(-1, c)


def _home(h: int, w: int, device: torch.device) -> Tensor:
    """Row and column of each pixel's nine taps without offsets, (2, 1, H * W, 9)."""
    pixels = torch.arange(h * w, dtype=torch.int32, device=device).unsqueeze(1)
    taps = torch.arange(TAPS, dtype=torch.int32, device=device)
    return torch.stack((pixels // w + taps // 3 - 1, pixels % w + taps % 3 - 1)).unsqueeze(1)


def _sizes(x: Tensor) -> tuple[int, int]:
    """How many images are worked off at a time, and in strips of how many pixels (fewer than all only in a single image)."""
    n, c, h, w = x.shape
    pixels = max(1, STRIP_VALUES * (64 if x.is_cuda else 1) // (TAPS * c))
    group = max(pixels // (h * w), math.ceil(RADIX_SORT / (TAPS * h * w)))
    return (1, min(pixels, h * w)) if group == 1 else (min(n, group), h * w)


def _rows(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) as (O, 9 C): channels are innermost, as in the samples of a pixel."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _memory_format(x: Tensor) -> torch.memory_format:
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


@functools.cache
def _accept_csr() -> None:
    """Take torch's warning, which comes once in a process, that its compressed sparse rows may still change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        torch.eye(1).to_sparse_csr()


class DeformableConv(nn.Module):
    """A 3x3 deformable convolution v2 that predicts its own offsets and mask.

    One plain 3x3 convolution gives 18 offsets and 9 mask logits. It starts at zero, so the layer starts as a plain
    convolution with every tap weighted by sigmoid(0) = 0.5.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as nn.Conv2d
        self.predict = nn.Conv2d(channels_in, 3 * TAPS, 3, padding=1)
        nn.init.zeros_(self.predict.weight)
        assert self.predict.bias is not None
        nn.init.zeros_(self.predict.bias)

    def forward(self, x: Tensor) -> Tensor:
        offset, logits = self.predict(x).split((2 * TAPS, TAPS), dim=1)
        return deformable_conv(x, offset, logits.sigmoid(), self.weight)
