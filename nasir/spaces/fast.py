"""The fast twin of a supernet's cell: the numbers of `nasir.spaces.cells.SuperCell` in a fraction of its time and memory.

What a source (an input of the cell, or a node) gives to all the nodes that read it is computed at once: one activation, and
for each operation one convolution for all edges, whose output is normalised, weighted and added in one pass
(`nasir.spaces.fused`). Nothing but the convolutions' centred outputs is kept for the backward pass, which is written by hand:

    recompute none   centred outputs are kept
    recompute edge   only the sources are; convolutions are done again, source by source
    recompute cell   only the cell's two inputs are; the whole cell is done again

The parameters and buffers are those of the plain cell, name for name. In evaluation mode the plain cell's own forward runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nasir.spaces.cells import SuperCell, shuffle
from nasir.spaces.deformable import deformable_conv
from nasir.spaces.fused import (
    Moments,
    NormActivate,
    centre,
    d_activated,
    d_convolution,
    d_depthwise,
    d_normalised,
    depthwise,
    image_of,
    products,
    rows_of,
    spread,
    sums,
)
from nasir.spaces.normalisation import BatchNorm, reduce_sum, world_size
from nasir.spaces.operations import KERNELS, SLOPE

GROUP = 1000
"""Channels of separable convolutions that are worked on at once: on a CPU they then stay in its cache."""

Result = tuple[Tensor, list[Tensor], list[Moments]]
"""Output of an operation before its last normalisation, what its backward pass needs, statistics of its inner normalisations."""


@dataclass(frozen=True)
class Convolution:
    """`conv_3x3`, `dil_3x3`, `dil_5x5` on all edges of a source: one weight of shape (edges * C, C, k, k)."""

    size: int
    dilation: int

    @property
    def padding(self) -> int:
        """That keeps the image's size."""
        return self.dilation * (self.size // 2)

    def forward(self, a: Tensor, weights: Sequence[Tensor], edges: int, known: Sequence[Moments] | None) -> Result:
        """Convolve the activated source."""
        return F.conv2d(a, weights[0], padding=self.padding, dilation=self.dilation), [], []

    def backward(
        self,
        g: Tensor,
        a: Tensor,
        weights: Sequence[Tensor],
        edges: int,
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights."""
        d_a, d_weight = d_convolution(g, a, weights[0], [self.padding] * 2, self.dilation, 1, (True, True))
        return d_a, [d_weight]


@dataclass(frozen=True)
class Separable:
    """`sep_3x3`, `sep_5x5`: depthwise (edges * C, 1, k, k) and pointwise (edges * C, C, 1, 1), `times` times.

    Between two rounds stands activation(r * yc) = r * activation(yc), since r > 0: the next depthwise weight is multiplied
    by r, and the features are not.
    """

    times: int
    slope: float

    def forward(self, a: Tensor, weights: Sequence[Tensor], edges: int, known: Sequence[Moments] | None) -> Result:
        """Convolve; between two rounds normalise and activate. Kept are each depthwise output and each centred one."""
        kept, inner = [], []
        x, depth = repeat(a, edges), weights[0]
        for time in range(self.times):
            between = depthwise(x, depth)
            y = F.conv2d(between, weights[2 * time + 1], groups=edges)
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
        a: Tensor,
        weights: Sequence[Tensor],
        edges: int,
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights."""
        gradients: list[Tensor] = []
        for time in reversed(range(self.times)):
            d_between, d_point = d_convolution(g, kept[2 * time], weights[2 * time + 1], [0, 0], 1, edges, (True, True))
            if time == 0:
                g, d_depth = d_depthwise(d_between, repeat(a, edges), weights[0])
            else:
                centred, moments = kept[2 * time - 1], inner[time - 1]
                x = F.leaky_relu(centred, self.slope)
                g, d_depth = d_depthwise(d_between, x, _scaled(weights[2 * time], moments))
                d_depth = _scaled(d_depth, moments)
                g = image_of(d_activated(rows_of(g), rows_of(centred), moments, self.slope), g)
            gradients = [d_depth, d_point, *gradients]
        return sum_edges(g, edges), gradients


def _scaled(weight: Tensor, moments: Moments) -> Tensor:
    """A depthwise weight times r of each channel."""
    return weight * moments.rate.view(-1, 1, 1, 1).to(weight.dtype)


@dataclass(frozen=True)
class Deformable:
    """`def_3x3`: for each edge weight (C, C, 3, 3); prediction weight (edges * 27, C, 3, 3) and bias (edges * 27,)."""

    def forward(self, a: Tensor, weights: Sequence[Tensor], edges: int, known: Sequence[Moments] | None) -> Result:
        """Predict offsets and masks of all edges at once, then sample edge by edge."""
        return self._run(a, weights, edges), [], []

    def backward(
        self,
        g: Tensor,
        a: Tensor,
        weights: Sequence[Tensor],
        edges: int,
        kept: Sequence[Tensor],
        inner: Sequence[Moments],
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients with respect to the activated source and the weights; the sampling is done again."""
        leaves = [tensor.detach().requires_grad_() for tensor in (a, *weights)]
        with torch.enable_grad():
            y = self._run(leaves[0], leaves[1:], edges)
        d_a, *gradients = torch.autograd.grad(y, leaves, g)
        return d_a, gradients

    def _run(self, a: Tensor, weights: Sequence[Tensor], edges: int) -> Tensor:
        predicted = F.conv2d(a, weights[1], weights[2], padding=1).chunk(edges, dim=1)
        results = []
        for weight, own in zip(weights[0].chunk(edges), predicted, strict=True):
            offset, logits = own.split((own.shape[1] // 3 * 2, own.shape[1] // 3), dim=1)
            results.append(deformable_conv(a, offset, logits.sigmoid(), weight))
        return torch.cat(results, dim=1).contiguous(memory_format=torch.channels_last)


Operation = Convolution | Separable | Deformable


def repeat(a: Tensor, edges: int) -> Tensor:
    """The same features for each edge, shape (N, edges * C, H, W)."""
    return torch.cat([a] * edges, dim=1) if edges > 1 else a


def sum_edges(g: Tensor, edges: int) -> Tensor:
    """The gradient of `repeat`."""
    return sum(g.chunk(edges, dim=1)[1:], g.chunk(edges, dim=1)[0])


@dataclass(frozen=True)
class Piece:
    """An operation on some of a source's edges: those from `first` to before `last`."""

    operation: Operation
    tensors: int  # parameters
    row: int  # of the weights
    first: int
    last: int

    @property
    def edges(self) -> int:
        """How many."""
        return self.last - self.first


@dataclass(frozen=True)
class Plan:
    """What one source of a cell gives to its edges, and how that is remembered."""

    pieces: tuple[Piece, ...]
    slope: float
    is_recomputed: bool


class Source(torch.autograd.Function):
    """What a source gives to its edges: skip_e * x + sum over operations of w_oe * BN(o_e(activation(x))).

    Inputs: the plan, x (N, C, H, W), the edges' weights of skip (edges,) and of the operations (operations, edges), the
    pieces' parameters. Outputs: shape (N, edges * C, H, W), and means and variances of all normalisations, piece by piece,
    those inside of an operation before its last; they have no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, x: Tensor, skips: Tensor, weights: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.plan, ctx.dtype, channels = plan, _compute_dtype(x), x.shape[1]
        with torch.autocast(x.device.type, enabled=False):
            a = F.leaky_relu(x, plan.slope).to(ctx.dtype)
            rows = rows_of(x)
            total = (rows.unsqueeze(1) * skips.unsqueeze(1)).reshape(len(rows), -1).contiguous()
            moments, kept = [], []
            for piece, own in zip(plan.pieces, _split(plan, parameters, ctx.dtype), strict=True):
                y, stored, inner = piece.operation.forward(a, own, piece.edges, None)
                centred, last = centre(rows_of(y))
                weight = spread(weights[piece.row, piece.first : piece.last], channels)
                total[:, piece.first * channels : piece.last * channels].addcmul_(centred, weight * last.rate)
                moments.append([*inner, last])
                kept.append([*stored, image_of(centred, y)])
                del y, centred
        flat = [tensor for own in moments for pair in own for tensor in pair]
        ctx.mark_non_differentiable(*flat)
        ctx.counts = [(len(own), len(stored)) for own, stored in zip(moments, kept, strict=True)]
        remembered = [] if plan.is_recomputed else [tensor for stored in kept for tensor in stored]
        ctx.save_for_backward(x, skips, weights, *parameters, *flat, *remembered)
        return image_of(total, x), *flat

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        x, skips, weights, parameters, moments, kept = _recall(ctx)
        channels, a = x.shape[1], F.leaky_relu(x, plan.slope).to(ctx.dtype)
        g, rows = rows_of(gradients[0]), rows_of(x)
        d_x, d_skips = _through_skips(g, rows, skips)
        sum_g = reduce_sum(sums(g))
        d_a: Tensor | None = None
        d_weights = torch.zeros_like(weights)
        d_parameters: list[Tensor] = []
        split = _split(plan, parameters, ctx.dtype)
        for number, (piece, own, known) in enumerate(zip(plan.pieces, split, moments, strict=True)):
            if plan.is_recomputed:
                y, stored, _ = piece.operation.forward(a, own, piece.edges, known[:-1])
                centred, _ = centre(rows_of(y), known[-1])
                del y
            else:
                *stored, last = kept[number]
                kept[number] = []
                centred = rows_of(last)
                del last
            its = slice(piece.first * channels, piece.last * channels)
            part = g if piece.edges == len(skips) else g[:, its].contiguous()
            product, rate = products(part, centred), known[-1].rate
            d_weights[piece.row, piece.first : piece.last] = (product * rate).view(piece.edges, -1).sum(1)
            scale = spread(weights[piece.row, piece.first : piece.last], channels) * rate
            d_y = d_normalised(part, centred, scale, rate, sum_g[its], reduce_sum(product))
            del centred, part
            d_own, d_tensors = piece.operation.backward(
                image_of(d_y, x).to(ctx.dtype), a, own, piece.edges, stored, known[:-1]
            )
            d_a = d_own if d_a is None else d_a.add_(d_own)
            d_parameters += d_tensors
        assert d_a is not None
        d_x.add_(torch.ops.aten.leaky_relu_backward(rows_of(d_a).to(x.dtype), rows, plan.slope, False))
        d_parameters = [d.to(p.dtype) for d, p in zip(d_parameters, parameters, strict=True)]
        return None, image_of(d_x, x), d_skips, d_weights, *d_parameters


def _through_skips(g: Tensor, rows: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of skip_e * x with respect to x and the skips; g of shape (rows, edges * C)."""
    parts = g.view(len(g), len(skips), -1).unbind(1)
    d_x = parts[0] * skips[0]
    for part, skip in zip(parts[1:], skips[1:], strict=True):
        d_x.addcmul_(part, skip)
    d_skips = [sums(part * rows).sum() for part in parts]
    return d_x, torch.stack(d_skips).to(skips.dtype)


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Of the convolutions: what autocast says, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _split(plan: Plan, parameters: Sequence[Tensor], dtype: torch.dtype) -> list[list[Tensor]]:
    """The parameters of each operation, as the convolutions take them."""
    own, first = [], 0
    for piece in plan.pieces:
        own.append([parameter.to(dtype) for parameter in parameters[first : first + piece.tensors]])
        first += piece.tensors
    return own


def _recall(ctx: Any) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[list[Moments]], list[list[Tensor]]]:
    """What `Source.forward` saved, in its structure."""
    x, skips, weights, *rest = ctx.saved_tensors
    count = sum(piece.tensors for piece in ctx.plan.pieces)
    parameters, rest = rest[:count], rest[count:]
    moments, kept = [], []
    for length, _ in ctx.counts:
        moments.append([Moments(rest[2 * i], rest[2 * i + 1]) for i in range(length)])
        rest = rest[2 * length :]
    for _, length in ctx.counts if rest else []:
        kept.append(rest[:length])
        rest = rest[length:]
    return x, skips, weights, parameters, moments, kept


class FastCell(SuperCell):
    """A `SuperCell` that computes as this module says; its arguments, parameters, outputs and errors are the same.

    Args:
        recompute: `none`, `edge` or `cell`.
    """

    def __init__(self, *args: Any, recompute: str) -> None:
        super().__init__(*args)
        self.recompute = recompute

    def forward(self, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Compute h_l; see `SuperCell.forward`."""
        if not self.training:
            return super().forward(before_last, last, weights)
        if self.recompute == "cell" and torch.is_grad_enabled():
            result = checkpoint(self._run, before_last, last, weights, use_reentrant=False, preserve_rng_state=False)
        else:
            result = self._run(before_last, last, weights)
        out, *moments = result
        self._track(moments, before_last)
        return out

    def _run(self, before_last: Tensor, last: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """h_l and the statistics of all normalisations, in the order of `_norms`."""
        values = [before_last, last]
        totals: list[Tensor | None] = [None] * self.nodes
        moments: list[Tensor] = []
        for source in range(self.nodes + 1):
            x = values[source]
            given, *own = self._give(source, x[:, : self.part], weights)
            moments += own
            first = max(0, source - 1)
            for node, part in enumerate(given.split(self.part, dim=1), first):
                whole = part
                if self.style.partial > 1:
                    whole = shuffle(torch.cat((part, x[:, self.part :]), dim=1), self.style.partial)
                before = totals[node]
                totals[node] = whole if before is None else before + whole
            if source >= 1:
                done = totals[source - 1]
                assert done is not None
                values.append(done)
        return torch.cat(values[2:], dim=1), *moments

    def _give(self, source: int, x: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """What a source gives to its edges, see `Source`."""
        rows = self._rows(source)
        plan, parameters = self._plan(rows)
        columns = [column for column, _ in self._weighted()]
        skips = weights[rows, self.names.index("skip")]
        return Source.apply(plan, x, skips, weights[rows][:, columns].t(), *parameters)

    def _rows(self, source: int) -> list[int]:
        """The rows of alpha whose edges read a source, by node."""
        return [row for row, (_, read) in enumerate(self.edges) if read == source]

    def _plan(self, rows: Sequence[int]) -> tuple[Plan, list[Tensor]]:
        """The plan of a source and its parameters, those of a piece's edges joined."""
        slope = SLOPE if self.style.activation == "leaky_relu" else 0.0
        pieces: list[Piece] = []
        parameters: list[Tensor] = []
        for row, (column, name) in enumerate(self._weighted()):
            operation = self._kind(name, slope)
            for first, last in self._groups(name, len(rows)):
                layers = [[*self._operation(r, column).modules()] for r in rows[first:last]]
                joined = [
                    _join([getattr(own[place], kind) for own in layers])
                    for place, module in enumerate(layers[0])
                    for kind in _parameters(module)
                ]
                pieces.append(Piece(operation, len(joined), row, first, last))
                parameters += joined
        return Plan(tuple(pieces), slope, self.recompute == "edge"), parameters

    def _weighted(self) -> list[tuple[int, str]]:
        """Alpha's column and the name of each operation that computes something."""
        return [(column, name) for column, name in enumerate(self.names) if name not in ("skip", "none")]

    def _kind(self, name: str, slope: float) -> Operation:
        if name == "def_3x3":
            return Deformable()
        return Separable(self.style.separable, slope) if name.startswith("sep") else Convolution(*KERNELS[name])

    def _groups(self, name: str, edges: int) -> list[tuple[int, int]]:
        """Which edges are worked on at once: all; of separable convolutions, whose time memory decides, few channels."""
        size = max(1, GROUP // self.part) if name.startswith("sep") else edges
        return [(first, min(first + size, edges)) for first in range(0, edges, size)]

    def _operation(self, row: int, column: int) -> nn.Module:
        choices = self.operations[row]
        assert isinstance(choices, nn.ModuleList)
        return choices[column]

    def _norms(self) -> list[list[BatchNorm]]:
        """The normalisations that share a statistic: for each source, operation and place those of the edges."""
        found = []
        for source in range(self.nodes + 1):
            rows = self._rows(source)
            for column, name in self._weighted():
                for first, last in self._groups(name, len(rows)):
                    edges = [self._operation(row, column).modules() for row in rows[first:last]]
                    own = [[module for module in edge if isinstance(module, BatchNorm)] for edge in edges]
                    found += [list(norms) for norms in zip(*own, strict=True)]
        return found

    @torch.no_grad()
    def _track(self, moments: Sequence[Tensor], like: Tensor) -> None:
        """Running statistics, as torch keeps them: momentum 0.1, the unbiased variance."""
        count = len(like) * like.shape[2] * like.shape[3] * world_size()
        norms = self._norms()
        means = [part for mean in moments[::2] for part in mean.split(self.part)]
        variances = [part for variance in moments[1::2] for part in variance.split(self.part)]
        flat = [norm for group in norms for norm in group]
        _follow([_buffer(norm.running_mean) for norm in flat], means)
        _follow([_buffer(norm.running_var) for norm in flat], torch._foreach_mul(variances, count / (count - 1)))
        torch._foreach_add_([_buffer(norm.num_batches_tracked) for norm in flat], 1)


def _buffer(value: Tensor | None) -> Tensor:
    assert value is not None  # every normalisation of a supernet keeps running statistics
    return value


def _follow(running: list[Tensor], batch: Sequence[Tensor], momentum: float = 0.1) -> None:
    torch._foreach_mul_(running, 1 - momentum)
    torch._foreach_add_(running, list(batch), alpha=momentum)


def _parameters(module: nn.Module) -> tuple[str, ...]:
    """The names of a layer's own parameters in the order in which an operation takes them."""
    return tuple(name for name, _ in module.named_parameters(recurse=False))


def _join(parts: Sequence[Tensor]) -> Tensor:
    joined = torch.cat(list(parts))
    return joined.contiguous(memory_format=torch.channels_last) if joined.ndim == 4 else joined


class NormActivation(BatchNorm):
    """Batch normalisation without scale and shift, and the activation after it, in one pass of `NormActivate`."""

    slope: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate, shape (N, C, H, W)."""
        if not self.training:
            return F.leaky_relu(super().forward(x), self.slope)
        result, mean, variance = NormActivate.apply(x, self.slope)
        count = x.numel() // x.shape[1] * world_size()
        with torch.no_grad():
            _follow([_buffer(self.running_mean)], [mean])
            _follow([_buffer(self.running_var)], [variance * (count / (count - 1))])
            _buffer(self.num_batches_tracked).add_(1)
        return result


def convert(supernet: nn.Module, recompute: str) -> None:
    """Make a plain supernet its fast twin, in place, with the same parameters.

    Every `SuperCell` becomes a `FastCell`, every batch normalisation and activation that follow each other one
    `NormActivation`. The weights are brought into channels_last, so that features are.

    Args:
        supernet: of any space; its cells are `SuperCell`s.
        recompute: `none`, `edge` or `cell`.
    """
    for module in [*supernet.modules()]:
        if type(module) is SuperCell:
            module.__class__ = FastCell
            module.recompute = recompute  # type: ignore[assignment]
    inside = {id(m) for cell in supernet.modules() if isinstance(cell, FastCell) for m in cell.modules()}
    for module in [*supernet.modules()]:
        if isinstance(module, nn.Sequential) and id(module) not in inside:
            _join_activations(module)
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _join_activations(layers: nn.Sequential) -> None:
    """Take each activation of a sequence into the batch normalisation before it, where that has no scale and shift."""
    for place in range(1, len(layers)):
        before, activation = layers[place - 1], layers[place]
        while isinstance(before, nn.Sequential):
            before = before[-1]
        if isinstance(activation, nn.ReLU | nn.LeakyReLU) and type(before) is BatchNorm and not before.affine:
            before.__class__ = NormActivation
            before.slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0  # type: ignore[assignment]
            layers[place] = nn.Identity()
