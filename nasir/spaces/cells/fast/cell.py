"""The fast twin of a supernet's cell: the numbers of `nasir.spaces.cells.cell.SuperCell` in a fraction of its time and memory.

What a source (an input of the cell, or a node) gives to all the nodes that read it is computed at once: one activation, and
for each operation one convolution for all edges, whose output is normalised, weighted and added in one pass
(`nasir.spaces.cells.fast.fused`). Nothing but the convolutions' outputs is kept for the backward pass, which is written by hand:

    recompute none   outputs are kept
    recompute edge   only the sources are; convolutions are done again, source by source, but for the deformable ones, whose
                     sampling costs most: of those outputs, offsets and masks are kept as well
    recompute cell   only the cell's two inputs are; the whole cell is done again

The parameters and buffers are those of the plain cell, name for name. In evaluation mode the plain cell's own forward runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nasir.layers.normalisation import BatchNorm, follow, reduce_sum, world_size
from nasir.spaces.cells.cell import SuperCell, shuffle
from nasir.spaces.cells.fast.fused import (
    Moments,
    add_constant,
    add_scaled,
    d_normalised,
    image_of,
    moments_of,
    projections,
    rows_of,
)
from nasir.spaces.cells.fast.operations import Activated, Deformable, Operation, Result, Trace, choose, through
from nasir.spaces.cells.operations import SLOPE


@dataclass(frozen=True)
class Wiring:
    """What one source of a cell gives to its edges, and how that is remembered."""

    operations: tuple[Operation, ...]
    tensors: tuple[int, ...]  # parameters of each operation
    edges: int
    slope: float
    recompute: str


class Spread(torch.autograd.Function):
    """What a source gives to its edges: skip_e * x + sum over operations of w_oe * BN(o_e(activation(x))).

    Inputs: the wiring, x (N, C, H, W), the edges' weights of skip (edges,) and of the operations (operations, edges), the
    operations' parameters. Outputs: shape (N, edges * C, H, W), and statistics without gradient: mean and variance of the
    operations' last normalisations, shape (operations, edges * C), then of each of the others, operation by operation.
    """

    @staticmethod
    def forward(
        ctx: Any, wiring: Wiring, x: Tensor, skips: Tensor, weights: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.wiring, ctx.dtype = wiring, _compute_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            a = Activated(F.leaky_relu(x, wiring.slope).to(ctx.dtype), wiring.edges)
            rows = rows_of(x)
            total = rows @ _skipping(skips, rows)
            ctx.traces = []
            results: list[Result] = []
            for operation, tensors in zip(wiring.operations, _split(wiring, parameters, ctx.dtype), strict=True):
                if isinstance(operation, Deformable) and wiring.recompute != "cell":
                    ctx.traces.append(operation.trace(a, tensors))
                    results.append((ctx.traces[-1].y.detach(), [], []))
                else:
                    results.append(operation.forward(a, tensors, None))
            ys = [rows_of(y) for y, _, _ in results]
            moments = moments_of(ys)
            scale = _scale(weights, moments.rate)
            add_scaled(total, ys, scale)
            add_constant(total, -(moments.mean * scale).sum(0))
        flat = [*moments, *(tensor for _, _, inner in results for own in inner for tensor in own)]
        ctx.mark_non_differentiable(*flat)
        ctx.counts = [(len(inner), len(stored)) for _, stored, inner in results]
        remembered = (
            [] if wiring.recompute == "edge" else [t for (_, s, _), y in zip(results, ys, strict=True) for t in (*s, y)]
        )
        ctx.save_for_backward(x, skips, weights, *parameters, *flat, *remembered)
        return image_of(total, x), *flat

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wiring: Wiring = ctx.wiring
        x, skips, weights, parameters, moments, inner, kept = _recall(ctx)
        a = Activated(F.leaky_relu(x, wiring.slope).to(ctx.dtype), wiring.edges)
        g, rows = rows_of(gradients[0]), rows_of(x)
        d_x, d_skips = _through_skips(g, rows, skips)
        split = _split(wiring, parameters, ctx.dtype)
        traces: list[Trace | None] = [
            ctx.traces.pop(0) if isinstance(operation, Deformable) and ctx.traces else None
            for operation in wiring.operations
        ]
        if not kept:
            kept = _again(wiring, a, split, inner, traces)
        ys = [stored.pop() for stored in kept]

        rate = moments.rate
        sum_g, products = projections(g, ys, moments.mean)
        d_weights = (products * rate).view(len(ys), wiring.edges, -1).sum(2)
        sum_g, products = reduce_sum(torch.cat((sum_g[None], products))).split((1, len(ys)))
        terms = d_normalised(g, moments, _scale(weights, rate), sum_g, products)

        d_a: Tensor | None = None
        d_parameters: list[Tensor] = []
        for number, operation in enumerate(wiring.operations):
            d_image = image_of(terms(number, ys[number]), x).to(ctx.dtype)
            ys[number] = rows  # lets go of y
            trace = traces[number]
            if trace:
                d_own, d_tensors = through(trace, d_image)
                traces[number] = trace = None
            else:
                d_own, d_tensors = operation.backward(d_image, a, split[number], kept[number], inner[number])
            kept[number] = []
            d_a = d_own if d_a is None else d_a.add_(d_own)
            d_parameters += d_tensors
        assert d_a is not None
        d_x.add_(torch.ops.aten.leaky_relu_backward(rows_of(d_a).to(x.dtype), rows, wiring.slope, False))
        d_parameters = [d.to(p.dtype) for d, p in zip(d_parameters, parameters, strict=True)]
        return None, image_of(d_x, x), d_skips, d_weights, *d_parameters


def _again(
    wiring: Wiring, a: Activated, split: list[list[Tensor]], inner: list[list[Moments]], traces: Sequence[Trace | None]
) -> list[list[Tensor]]:
    """What `Spread.forward` would have kept: for each operation what its backward pass needs, then its output as rows."""
    kept = []
    for operation, own, known, trace in zip(wiring.operations, split, inner, traces, strict=True):
        y, stored, _ = (trace.y.detach(), [], []) if trace else operation.forward(a, own, known)
        kept.append([*stored, rows_of(y)])
    return kept


def _scale(weights: Tensor, rate: Tensor) -> Tensor:
    """Weights of (operations, edges) times the rates of their channels, shape (operations, edges * C)."""
    return (weights.unsqueeze(2) * rate.view(*weights.shape, -1)).reshape(rate.shape)


def _skipping(skips: Tensor, rows: Tensor) -> Tensor:
    """The matrix that takes rows x to skip_e * x of all edges: skip_e times the identity, edge by edge, (C, edges * C)."""
    return torch.kron(skips.view(1, -1), torch.eye(rows.shape[1], device=rows.device)).to(rows.dtype)


def _through_skips(g: Tensor, rows: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of skip_e * x with respect to x and the skips; g of shape (rows, edges * C)."""
    channels = rows.shape[1]
    by_channels = (rows.t() @ g).view(channels, len(skips), channels)
    d_skips = by_channels.diagonal(dim1=0, dim2=2).sum(1)
    return g @ _skipping(skips, rows).t(), d_skips.to(skips.dtype)


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Of the convolutions: what autocast says, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _split(wiring: Wiring, parameters: Sequence[Tensor], dtype: torch.dtype) -> list[list[Tensor]]:
    """The parameters of each operation, as the convolutions take them."""
    if parameters and parameters[0].dtype != dtype:
        parameters = [parameter.to(dtype) for parameter in parameters]
    own, first = [], 0
    for count in wiring.tensors:
        own.append(list(parameters[first : first + count]))
        first += count
    return own


def _recall(
    ctx: Any,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], Moments, list[list[Moments]], list[list[Tensor]]]:
    """What `Spread.forward` saved, in its structure."""
    x, skips, weights, *rest = ctx.saved_tensors
    count = sum(ctx.wiring.tensors)
    parameters, rest = rest[:count], rest[count:]
    moments, rest = Moments(*rest[:2]), rest[2:]
    inner, kept = [], []
    for length, _ in ctx.counts:
        inner.append([Moments(rest[2 * i], rest[2 * i + 1]) for i in range(length)])
        rest = rest[2 * length :]
    for _, length in ctx.counts if rest else []:
        kept.append(rest[: length + 1])
        rest = rest[length + 1 :]
    return x, skips, weights, parameters, moments, inner, kept


class Gift(NamedTuple):
    """What a source of a cell gives to its edges."""

    wiring: Wiring
    rows: list[int]  # of alpha, by node
    places: list[tuple[list[nn.Module], str]]  # of each parameter: the edges' layers, and its name there
    norms: list[BatchNorm]  # in the order of the statistics, edge by edge


class FastCell(SuperCell):
    """A `SuperCell` that computes as this module says; its arguments, parameters, outputs and errors are the same.

    Args:
        recompute: `none`, `edge` or `cell`.
    """

    def __init__(self, *args: Any, recompute: str) -> None:
        super().__init__(*args)
        self.prepare(recompute)

    def prepare(self, recompute: str) -> None:
        """Look once at what the cell is made of; the parameters themselves are read in every pass."""
        self.recompute = recompute
        self._weighted = [column for column, name in enumerate(self.names) if name not in ("skip", "none")]
        self._sources = [self._look(source) for source in range(self.nodes + 1)]

    def _look(self, source: int) -> "Gift":
        """What a source gives, and where its parameters and normalisations are."""
        slope = SLOPE if self.style.activation == "leaky_relu" else 0.0
        rows = [row for row, (_, read) in enumerate(self.edges) if read == source]
        operations: list[Operation] = []
        counts: list[int] = []
        places: list[tuple[list[nn.Module], str]] = []
        last: list[BatchNorm] = []
        inner: list[BatchNorm] = []
        for column in self._weighted:
            operations.append(choose(self.names[column], self.style.separable, slope))
            layers = [[*self._operation(row, column).modules()] for row in rows]
            own = [
                ([edge[place] for edge in layers], name)
                for place, module in enumerate(layers[0])
                for name, _ in module.named_parameters(recurse=False)
            ]
            counts.append(len(own))
            places += own
            by_place = [[*edges] for edges in zip(*layers, strict=True) if isinstance(edges[0], BatchNorm)]
            last += by_place[-1]
            inner += [module for edges in by_place[:-1] for module in edges]
        wiring = Wiring(tuple(operations), tuple(counts), len(rows), slope, self.recompute)
        return Gift(wiring, rows, places, last + inner)

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
        """h_l and the statistics of all normalisations, in the order of the gifts' norms."""
        values = [before_last, last]
        totals: list[Tensor | None] = [None] * self.nodes
        moments: list[Tensor] = []
        for source, gift in enumerate(self._sources):
            x = values[source]
            given, *own = self._give(gift, x if self.style.partial == 1 else x[:, : self.part], weights)
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

    def _give(self, gift: "Gift", x: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """What a source gives to its edges, see `Spread`."""
        parameters = [_join([getattr(module, name) for module in modules]) for modules, name in gift.places]
        own = weights[gift.rows]
        skips = own[:, self.names.index("skip")]
        result: tuple[Tensor, ...] = Spread.apply(gift.wiring, x, skips, own[:, self._weighted].t(), *parameters)
        return result

    def _operation(self, row: int, column: int) -> nn.Module:
        choices = self.operations[row]
        assert isinstance(choices, nn.ModuleList)
        return choices[column]

    def _track(self, moments: Sequence[Tensor], like: Tensor) -> None:
        """Let the running statistics of all normalisations follow."""
        count = len(like) * like.shape[2] * like.shape[3] * world_size()
        norms = [norm for gift in self._sources for norm in gift.norms]
        means = [part for mean in moments[::2] for part in mean.reshape(-1).split(self.part)]
        variances = [part for variance in moments[1::2] for part in variance.reshape(-1).split(self.part)]
        follow(norms, means, variances, count)


def _join(parts: Sequence[Tensor]) -> Tensor:
    joined = torch.cat(list(parts))
    return joined.contiguous(memory_format=torch.channels_last) if joined.ndim == 4 else joined
