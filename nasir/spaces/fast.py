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
from typing import Any, NamedTuple

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
    d_pointwise,
    depthwise,
    image_of,
    products,
    rows_of,
    spread,
    sums,
)
from nasir.spaces.normalisation import BatchNorm, reduce_sum, world_size
from nasir.spaces.operations import KERNELS, SLOPE

MOMENTUM = 0.1
"""Of running statistics, torch's default."""

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
            y = F.conv2d(between, weights[2 * time + 1], groups=a.edges)
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
            d_between, d_point = d_pointwise(g, kept[2 * time], weights[2 * time + 1], a.edges)
            if time == 0:
                g, d_depth = d_depthwise(d_between, a.repeated, weights[0])
            else:
                centred, moments = kept[2 * time - 1], inner[time - 1]
                x = F.leaky_relu(centred, self.slope)
                g, d_depth = d_depthwise(d_between, x, _scaled(weights[2 * time], moments))
                d_depth = _scaled(d_depth, moments)
                g = image_of(d_activated(rows_of(g), rows_of(centred), moments, self.slope), g)
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


@dataclass(frozen=True)
class Plan:
    """What one source of a cell gives to its edges, and how that is remembered."""

    operations: tuple[Operation, ...]
    tensors: tuple[int, ...]  # parameters of each operation
    edges: int
    slope: float
    recompute: str


class Source(torch.autograd.Function):
    """What a source gives to its edges: skip_e * x + sum over operations of w_oe * BN(o_e(activation(x))).

    Inputs: the plan, x (N, C, H, W), the edges' weights of skip (edges,) and of the operations (operations, edges), the
    operations' parameters. Outputs: shape (N, edges * C, H, W), and means and variances of all normalisations, operation by
    operation, those inside of one before its last; they have no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, x: Tensor, skips: Tensor, weights: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.plan, ctx.dtype = plan, _compute_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            a = Activated(F.leaky_relu(x, plan.slope).to(ctx.dtype), plan.edges)
            rows = rows_of(x)
            total = (rows.unsqueeze(1) * skips.unsqueeze(1)).reshape(len(rows), -1).contiguous()
            moments, kept = [], []
            own = _split(plan, parameters, ctx.dtype)
            ctx.traces = []
            for operation, tensors, weight in zip(plan.operations, own, weights, strict=True):
                if isinstance(operation, Deformable) and plan.recompute == "none":
                    ctx.traces.append(operation.trace(a, tensors))
                    result: Result = ctx.traces[-1].y.detach(), [], []
                else:
                    result = operation.forward(a, tensors, None)
                y, stored, inner = result
                del result
                centred, last = centre(rows_of(y))
                total.addcmul_(centred, spread(weight, x.shape[1]) * last.rate)
                moments.append([*inner, last])
                kept.append([*stored, image_of(centred, y)])
                del y, centred
        flat = [tensor for own in moments for pair in own for tensor in pair]
        ctx.mark_non_differentiable(*flat)
        ctx.counts = [(len(own), len(stored)) for own, stored in zip(moments, kept, strict=True)]
        remembered = [] if plan.recompute == "edge" else [tensor for stored in kept for tensor in stored]
        ctx.save_for_backward(x, skips, weights, *parameters, *flat, *remembered)
        return image_of(total, x), *flat

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        x, skips, weights, parameters, moments, kept = _recall(ctx)
        a = Activated(F.leaky_relu(x, plan.slope).to(ctx.dtype), plan.edges)
        g, rows = rows_of(gradients[0]), rows_of(x)
        d_x, d_skips = _through_skips(g, rows, skips)
        sum_g = reduce_sum(sums(g))
        d_a: Tensor | None = None
        d_weights: list[Tensor] = []
        d_parameters: list[Tensor] = []
        split = _split(plan, parameters, ctx.dtype)
        for operation, own, weight, known in zip(plan.operations, split, weights, moments, strict=True):
            if plan.recompute == "edge":
                y, stored, _ = operation.forward(a, own, known[:-1])
                centred, _ = centre(rows_of(y), known[-1])
                del y
            else:
                *stored, last = kept.pop(0)
                centred = rows_of(last)
                del last
            product, rate = products(g, centred), known[-1].rate
            d_weights.append((product * rate).view(plan.edges, -1).sum(1))
            scale = spread(weight, x.shape[1]) * rate
            d_y = d_normalised(g, centred, scale, rate, sum_g, reduce_sum(product))
            del centred
            d_image = image_of(d_y, x).to(ctx.dtype)
            if isinstance(operation, Deformable) and ctx.traces:
                d_own, d_tensors = through(ctx.traces.pop(0), d_image)
            else:
                d_own, d_tensors = operation.backward(d_image, a, own, stored, known[:-1])
            d_a = d_own if d_a is None else d_a.add_(d_own)
            d_parameters += d_tensors
        assert d_a is not None
        d_x.add_(torch.ops.aten.leaky_relu_backward(rows_of(d_a).to(x.dtype), rows, plan.slope, False))
        d_parameters = [d.to(p.dtype) for d, p in zip(d_parameters, parameters, strict=True)]
        return None, image_of(d_x, x), d_skips, torch.stack(d_weights), *d_parameters


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
    for count in plan.tensors:
        own.append([parameter.to(dtype) for parameter in parameters[first : first + count]])
        first += count
    return own


def _recall(ctx: Any) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[list[Moments]], list[list[Tensor]]]:
    """What `Source.forward` saved, in its structure."""
    x, skips, weights, *rest = ctx.saved_tensors
    count = sum(ctx.plan.tensors)
    parameters, rest = rest[:count], rest[count:]
    moments, kept = [], []
    for length, _ in ctx.counts:
        moments.append([Moments(rest[2 * i], rest[2 * i + 1]) for i in range(length)])
        rest = rest[2 * length :]
    for _, length in ctx.counts if rest else []:
        kept.append(rest[:length])
        rest = rest[length:]
    return x, skips, weights, parameters, moments, kept


class Gift(NamedTuple):
    """What a source of a cell gives to its edges."""

    plan: Plan
    rows: list[int]  # of alpha, by node
    places: list[tuple[list[nn.Module], str]]  # of each parameter: the edges' layers, and its name there
    norms: list[BatchNorm]  # in the order of the moments, edge by edge


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
        norms: list[BatchNorm] = []
        for column in self._weighted:
            operations.append(_kind(self.names[column], self.style.separable, slope))
            layers = [[*self._operation(row, column).modules()] for row in rows]
            own = [
                ([edge[place] for edge in layers], name)
                for place, module in enumerate(layers[0])
                for name, _ in module.named_parameters(recurse=False)
            ]
            counts.append(len(own))
            places += own
            by_place = zip(*layers, strict=True)
            norms += [module for edges in by_place for module in edges if isinstance(module, BatchNorm)]
        plan = Plan(tuple(operations), tuple(counts), len(rows), slope, self.recompute)
        return Gift(plan, rows, places, norms)

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
        """What a source gives to its edges, see `Source`."""
        parameters = [_join([getattr(module, name) for module in modules]) for modules, name in gift.places]
        own = weights[gift.rows]
        skips = own[:, self.names.index("skip")]
        result: tuple[Tensor, ...] = Source.apply(gift.plan, x, skips, own[:, self._weighted].t(), *parameters)
        return result

    def _operation(self, row: int, column: int) -> nn.Module:
        choices = self.operations[row]
        assert isinstance(choices, nn.ModuleList)
        return choices[column]

    def _track(self, moments: Sequence[Tensor], like: Tensor) -> None:
        """Let the running statistics of all normalisations follow."""
        count = len(like) * like.shape[2] * like.shape[3] * world_size()
        norms = [norm for gift in self._sources for norm in gift.norms]
        means = [part for mean in moments[::2] for part in mean.split(self.part)]
        variances = [part for variance in moments[1::2] for part in variance.split(self.part)]
        _follow(norms, means, variances, count)


def _buffer(value: Tensor | None) -> Tensor:
    assert value is not None  # every normalisation of a supernet keeps running statistics
    return value


@torch.no_grad()
def _follow(norms: Sequence[BatchNorm], means: list[Tensor], variances: list[Tensor], count: int) -> None:
    """Running statistics, as torch keeps them: momentum 0.1, the unbiased variance of `count` values."""
    unbiased = torch._foreach_mul(variances, count / (count - 1))
    for name, batch in (("running_mean", means), ("running_var", unbiased)):
        running = [_buffer(getattr(norm, name)) for norm in norms]
        torch._foreach_mul_(running, 1 - MOMENTUM)
        torch._foreach_add_(running, list(batch), alpha=MOMENTUM)
    torch._foreach_add_([_buffer(norm.num_batches_tracked) for norm in norms], 1)


def _kind(name: str, separable: int, slope: float) -> Operation:
    if name == "def_3x3":
        return Deformable()
    return Separable(separable, slope) if name.startswith("sep") else Convolution(*KERNELS[name])


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
        _follow([self], [mean], [variance], x.numel() // x.shape[1] * world_size())
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
            module.prepare(recompute)  # type: ignore[operator]
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
