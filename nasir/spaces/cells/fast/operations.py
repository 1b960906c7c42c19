"""The operations of the fast supernet on all edges of a source at once: forward, and backward by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir.layers.deformable import deformable_conv
from nasir.spaces.cells.fast.fused import (
    Moments,
    centre,
    d_activated,
    d_convolution,
    d_depthwise,
    d_pointwise,
    depthwise,
    image_of,
    pointwise,
    rows_of,
)
from nasir.spaces.cells.operations import KERNELS

Result = tuple[Tensor, list[Tensor], list[Moments]]
"""Output of an operation before its last normalisation, what its backward pass needs, statistics of its inner normalisations."""


class Activated:
    """An activated source, shape (N, C, H, W), as it is and repeated for each edge."""

    def __init__(self, once: Tensor, edges: int) -> None:
        self.once, self.edges = once, edges
        self._repeated: Tensor | None = None

    @property
    def repeated(self) -> Tensor:
        """Shape (N, edges * C, H, W)."""
        if self._repeated is None:
            self._repeated = torch.cat([self.once] * self.edges, dim=1) if self.edges > 1 else self.once
        return self._repeated


@dataclass(frozen=True)
class Convolution:
    """`conv_3x3`, `dil_3x3`, `dil_5x5` on all edges of a source: one weight of shape (edges * C, C, k, k)."""

    size: int
    dilation: int

    @property
    def padding(self) -> int:
        """That keeps the image's size."""
        return self.dilation * (self.size // 2)

    def forward(self, a: Activated, weights: Sequence[Tensor], known: Sequence[Moments] | None) -> Result:
        """Convolve the activated source."""
        return F.conv2d(a.once, weights[0], padding=self.padding, dilation=self.dilation), [], []

    def backward(
        self,
        g: Tensor,
        a: Activated,
        weights: Sequence[Tensor],
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights."""
        d_a, d_weight = d_convolution(g, a.once, weights[0], [self.padding] * 2, self.dilation, 1, (True, True))
        return d_a, [d_weight]


@dataclass(frozen=True)
class Separable:
    """`sep_3x3`, `sep_5x5`: depthwise (edges * C, 1, k, k) and pointwise (edges * C, C, 1, 1), `times` times.

    Between two rounds stands activation(r * yc) = r * activation(yc), since r > 0: the next depthwise weight is multiplied
    by r, and the features are not.
    """

    times: int
    slope: float

    def forward(self, a: Activated, weights: Sequence[Tensor], known: Sequence[Moments] | None) -> Result:
        """Convolve; between two rounds normalise and activate. Kept are each depthwise output and each centred one."""
        kept, inner = [], []
        x, depth = a.repeated, weights[0]
        for time in range(self.times):
            between = depthwise(x, depth)
            y = pointwise(between, weights[2 * time + 1], a.edges)
            kept.append(between)
            if time < self.times - 1:
                rows, moments = centre(rows_of(y), known[time] if known else None)
                inner.append(moments)
                kept.append(image_of(rows, y))
                x, depth = F.leaky_relu(kept[-1], self.slope), _scaled(weights[2 * time + 2], moments)
        return y, kept, inner

    def backward(
        self,
        g: Tensor,
        a: Activated,
        weights: Sequence[Tensor],
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights."""
        gradients: list[Tensor] = []
        for time in reversed(range(self.times)):
            d_between, d_point = d_pointwise(g.to(kept[2 * time].dtype), kept[2 * time], weights[2 * time + 1], a.edges)
            if time == 0:
                g, d_depth = d_depthwise(d_between, a.repeated, weights[0])
            else:
                centred, moments = kept[2 * time - 1], inner[time - 1]
                x = F.leaky_relu(centred, self.slope)
                g, d_depth = d_depthwise(d_between, x, _scaled(weights[2 * time], moments))
                d_depth = _scaled(d_depth, moments)
                unscaled = torch.ones_like(moments.mean)  # r is in the weights
                g = image_of(d_activated(rows_of(g), rows_of(centred), moments, self.slope, unscaled), g)
            gradients = [d_depth, d_point, *gradients]
        return sum_edges(g, a.edges), gradients


def _scaled(weight: Tensor, moments: Moments) -> Tensor:
    """A depthwise weight times r of each channel."""
    return weight * moments.rate.view(-1, 1, 1, 1).to(weight.dtype)


@dataclass(frozen=True)
class Deformable:
    """`def_3x3`: for each edge weight (C, C, 3, 3); prediction weight (edges * 27, C, 3, 3) and bias (edges * 27,)."""

    def forward(self, a: Activated, weights: Sequence[Tensor], known: Sequence[Moments] | None) -> Result:
        """Predict offsets and masks of all edges at once, then sample edge by edge."""
        return self._run(a.once, weights, a.edges), [], []

    def backward(
        self,
        g: Tensor,
        a: Activated,
        weights: Sequence[Tensor],
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights; the sampling is done again."""
        return through(self.trace(a, weights), g)

    def trace(self, a: Activated, weights: Sequence[Tensor]) -> "Trace":
        """The output with autograd's record of it, which holds little: a deformable convolution keeps its arguments only."""
        leaves = [tensor.detach().requires_grad_() for tensor in (a.once, *weights)]
        with torch.enable_grad():
            return Trace(self._run(leaves[0], leaves[1:], a.edges), leaves)

    def _run(self, a: Tensor, weights: Sequence[Tensor], edges: int) -> Tensor:
        predicted = F.conv2d(a, weights[1], weights[2], padding=1).chunk(edges, dim=1)
        results = []
        for weight, own in zip(weights[0].chunk(edges), predicted, strict=True):
            offset, logits = own.split((own.shape[1] // 3 * 2, own.shape[1] // 3), dim=1)
            results.append(deformable_conv(a, offset, logits.sigmoid(), weight))
        return torch.cat(results, dim=1).contiguous(memory_format=torch.channels_last)


Operation = Convolution | Separable | Deformable


class Trace(NamedTuple):
    """An output with autograd's record, and what it was made of: the activated source and the weights."""

    y: Tensor
    leaves: list[Tensor]


def through(trace: Trace, g: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Gradients with respect to the activated source and the weights."""
    d_a, *gradients = torch.autograd.grad(trace.y, trace.leaves, g)
    return d_a, gradients


def sum_edges(g: Tensor, edges: int) -> Tensor:
    """The gradient of `Activated.repeated`."""
    first, *others = g.chunk(edges, dim=1)
    return sum(others, first)


def choose(name: str, separable: int, slope: float) -> Operation:
    """The operation of a name; separable convolutions are applied `separable` times, `slope` is the activation's."""
    if name == "def_3x3":
        return Deformable()
    return Separable(separable, slope) if name.startswith("sep") else Convolution(*KERNELS[name])
