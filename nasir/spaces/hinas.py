"""The search space of the authors' later code (HiNAS, version 4): its supernet and its derived network side by side.

The cells are those of IR-NAS with other operations, a leaky ReLU and twice applied separable convolutions; around them,
what differs from `nasir.spaces.irnas`:

- Stem: a 3x3 convolution, whose output is activated a second time before the 3x3 convolution that gives h_0. The first
  cell's f_{-1} is a 3x3 convolution of the first, at the cell's width.
- f_{l-2} of a cell is the mixed input of the cell of its level in the layer before, f_{l-1} there, and not a route from
  h_{l-2}. Where that cell does not exist, a 1x1 convolution widens the next narrower level's.
- Every width that is left at the end has a head, a small ASPP; a 3x3 convolution joins them.
- Two 1x1 convolutions bring h_{l-2} and h_{l-1} of the derived network to a cell's width. A decoder reads the last cell
  and, through a projection, the last cell of level 0 before it (the endpoint; the stem if there is none, or with
  `reads_stem`). With that the supernet's output reads the stem, too.

Batch normalisation of the supernet has no scale and shift except in the dilated branch of the heads. A cell is always shared
by its incoming paths. Initial alpha and beta are N(0, 0.001^2), where the authors have ones: the same to a softmax.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nasir.layers.dilated import DilatedConv
from nasir.layers.downscaling import enlarge, shrink
from nasir.layers.starting import start_at_zero
from nasir.spaces.cells.cell import SuperCell, edges, exclude, take_layer
from nasir.spaces.cells.genotype import Genotype
from nasir.spaces.cells.operations import Style, normalise, pointwise, usable_or_none
from nasir.spaces.cells.operations import activation as activate
from nasir.spaces.cells.space import CellSpace
from nasir.spaces.cells.widths import levels, mix_paths, sources
from nasir.spaces.shared.parts import Take, fresh

OPERATIONS = ("conv_3x3", "sep_3x3", "sep_5x5", "dil_3x3", "dil_5x5", "skip", "none")
"""The candidate operations of an edge, in the order of alpha's columns."""

SEPARABLE = 2
"""How often a separable convolution is applied."""

HEAD_RATE = 16
"""Dilation of the heads of the supernet."""

PROJECTION = 48
"""Channels that the decoder of the derived network gets from the endpoint."""

DECODER = 128
"""Channels of the rest of the decoder."""


def conv_norm(channels_in: int, channels_out: int, size: int, affine: bool, norm: str = "batch") -> nn.Sequential:
    """A convolution of odd `size` that keeps height and width, and batch normalisation."""
    conv = nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=norm == "none")
    return nn.Sequential(conv, *normalise(channels_out, affine, norm))


def separable(
    channels_in: int, channels_out: int, rate: int, name: str, affine: bool, norm: str = "batch"
) -> nn.Sequential:
    """A depthwise 3x3 convolution of dilation `rate`, then a pointwise one, each with normalisation and activation `name`."""
    bias = norm == "none"
    depthwise = DilatedConv(channels_in, channels_in, 3, padding=rate, dilation=rate, groups=channels_in, bias=bias)
    return nn.Sequential(
        depthwise,
        *normalise(channels_in, affine, norm),
        activate(name),
        nn.Conv2d(channels_in, channels_out, 1, bias=bias),
        *normalise(channels_out, affine, norm),
        activate(name),
    )


class Aspp(nn.Module):
    """A separable convolution for each rate and a 1x1 convolution, concatenated and joined by a 1x1 convolution.

    Args:
        channels_in: of the input.
        channels: of each branch.
        channels_out: of the output.
        rates: dilation of each separable convolution; their normalisation is always affine.
        name: of the activation after every normalisation.
        affine: of the other normalisations.
        norm: batch or none.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        channels_out: int,
        rates: Sequence[int],
        name: str,
        affine: bool,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.atrous = nn.ModuleList(separable(channels_in, channels, rate, name, True, norm) for rate in rates)
        self.pointwise = nn.Sequential(pointwise(channels_in, channels, affine, norm), activate(name))
        self.join = nn.Sequential(pointwise(channels * (len(rates) + 1), channels_out, affine, norm), activate(name))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, channels_out, H, W)."""
        return self.join(torch.cat([*(branch(x) for branch in self.atrous), self.pointwise(x)], dim=1))


def output(channels_in: int, channels: int, residual: bool) -> nn.Conv2d:
    """The last convolution."""
    conv = nn.Conv2d(channels_in, channels, 3, padding=1)
    if residual:
        start_at_zero(conv)
    return conv


class Supernet(nn.Module):
    """All cells of all widths at once, weighted by alpha and beta.

    Args:
        channels: of the images.
        nodes, layers, width, width_factors, stem_channels, residual, share_alpha, beta_norm, activation, sigmoid,
            partial, downscale, reads_stem: see
            `nasir.spaces.cells.section.CellsSection`.
        usable: operations that edges may have beside `none`; empty: all.
        generator: draws the initial alpha and beta; the weights come from torch's default generator.
        cell: makes a cell out of operations, nodes, channels and style, with the forward of `SuperCell`.
    """

    def __init__(
        self,
        *,
        channels: int,
        nodes: int,
        layers: int,
        width: int,
        width_factors: Sequence[float],
        stem_channels: int,
        residual: bool,
        share_alpha: bool,
        beta_norm: str,
        activation: str,
        sigmoid: bool,
        partial: int,
        downscale: int = 1,
        reads_stem: bool = False,
        usable: Sequence[str] = (),
        generator: torch.Generator,
        cell: Callable[[Sequence[str], int, int, Style], nn.Module] = SuperCell,
    ) -> None:
        super().__init__()
        operations = usable_or_none(OPERATIONS, usable)
        style = Style(activation=activation, separable=SEPARABLE, partial=partial)
        cell_widths = [int(width * factor) for factor in width_factors]
        self.layers, self.widths = layers, len(cell_widths)
        self.residual, self.sigmoid, self.beta_norm, self.downscale = residual, sigmoid, beta_norm, downscale
        channels *= downscale**2
        table = (len(edges(nodes)), len(operations))
        self.alpha = nn.Parameter(1e-3 * torch.randn(table if share_alpha else (layers, *table), generator=generator))
        exclude(self.alpha, OPERATIONS, usable)
        self.beta = nn.Parameter(1e-3 * torch.randn(layers, self.widths, 3, generator=generator))

        self.activation = activate(activation)
        out = nodes * cell_widths[0]  # of the stem and of each head
        self.stem = nn.Sequential(conv_norm(channels, stem_channels, 3, affine=False), activate(activation))
        self.stem_last = conv_norm(stem_channels, out, 3, affine=False)
        self.stem_before_last = conv_norm(stem_channels, cell_widths[0], 3, affine=False)
        ends = levels(layers - 1, self.widths)
        self.widen = nn.ModuleDict(
            {str(level): pointwise(cell_widths[level - 1], cell_widths[level], affine=False) for level in ends[1:]}
        )
        self.cells, self.from_last = nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            cells, routes = nn.ModuleDict(), nn.ModuleDict()
            for level in levels(layer, self.widths):
                cells[str(level)] = cell(operations, nodes, cell_widths[level], style)
                routes[str(level)] = nn.ModuleDict(
                    {
                        str(source): pointwise(nodes * cell_widths[source], cell_widths[level], affine=False)
                        for source in sources(layer, level, self.widths)
                    }
                )
            self.cells.append(cells)
            self.from_last.append(routes)
        self.heads = nn.ModuleList(
            Aspp(nodes * cell_widths[level], out, out, (HEAD_RATE,), activation, affine=False) for level in ends
        )
        self.join = nn.Sequential(conv_norm(len(ends) * out, len(ends) * out, 3, affine=False), activate(activation))
        self.from_stem = pointwise(out, len(ends) * out, affine=False) if reads_stem else None
        self.output = output(len(ends) * out, channels, residual)

    def weights(self) -> list[nn.Parameter]:
        """w: every parameter but alpha and beta."""
        return [p for name, p in self.named_parameters() if name not in ("alpha", "beta")]

    def architecture(self) -> list[nn.Parameter]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped, or with a sigmoid in (0, 1)."""
        alpha = self.alpha.softmax(dim=-1)
        first = self.stem(shrink(x, self.downscale))
        stem = self.stem_last(self.activation(first))
        before_last, last = {0: self.stem_before_last(first)}, {0: stem}
        for layer in range(self.layers):
            for level in levels(layer, self.widths):
                if level not in before_last:
                    before_last[level] = self.widen[str(level)](before_last[level - 1])
            inputs = self.mix(layer, last)
            weights = alpha if alpha.ndim == 2 else alpha[layer]
            cells = self.cells[layer]
            last = {level: cells[str(level)](before_last[level], value, weights) for level, value in inputs.items()}  # type: ignore[index]
            before_last = inputs
        heads = [head(last[level]) for level, head in enumerate(self.heads)]
        features = self.join(torch.cat(heads, dim=1))
        features = features if self.from_stem is None else features + self.from_stem(stem)
        result = enlarge(self.output(features), self.downscale, x)
        result = x - result if self.residual else result
        return result.sigmoid() if self.sigmoid else result

    def mix(self, layer: int, last: dict[int, Tensor]) -> dict[int, Tensor]:
        """Width level -> what its cell reads of h_{l-1}, see `mix_paths`."""
        routes = self.from_last[layer]
        assert isinstance(routes, nn.ModuleDict)
        return mix_paths(routes, last, self.beta, layer, self.beta_norm)


class Network(nn.Module):
    """The derived network: one cell in each layer, at the width of the genotype's path. It has no sigmoid.

    Args:
        genotype: of this space.
        channels: of the images.
        width: channels of a cell at width factor 1.
        stem_channels: of both layers of the stem.
        aspp_channels: of each branch of an ASPP on the last cell; 0 = a 1x1 convolution in its place.
        aspp_rates: dilation of each branch but one.
        affine: of batch normalisation, except where the endpoint is made of the stem, which never is.
        take: gives its parts; two networks may share those that have the same name.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int,
        width: int,
        stem_channels: int,
        aspp_channels: int,
        aspp_rates: Sequence[int],
        affine: bool = True,
        take: Take = fresh,
    ) -> None:
        super().__init__()
        name = genotype.activation
        norm = genotype.norm
        self.residual, self.downscale = genotype.residual, genotype.downscale
        channels *= self.downscale**2
        self.activation = activate(name)
        self.endpoint = None if genotype.reads_stem else genotype.endpoint
        style = Style(activation=name, separable=SEPARABLE, norm=norm)
        self.stem = take(
            "stem", lambda: nn.Sequential(conv_norm(channels, stem_channels, 3, affine, norm), activate(name))
        )
        self.stem_last = take(
            "second layer of the stem", lambda: conv_norm(stem_channels, stem_channels, 3, affine, norm)
        )
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before_last, last = stem_channels, stem_channels
        for layer, level in enumerate(genotype.path):
            out = int(width * genotype.width_factors[level])
            where, reads = f"layer {layer} at level {level}", (before_last, last)
            parts = take_layer(take, where, reads, genotype.cell_of(layer), out, affine, style)
            for modules, part in zip((self.from_before_last, self.from_last, self.cells), parts, strict=True):
                modules.append(part)
            before_last, last = last, genotype.nodes * out
        narrow = genotype.nodes * int(width * genotype.width_factors[0])
        if self.endpoint is None:
            self.reduce = take("reduction of the stem", lambda: conv_norm(stem_channels, narrow, 3, False, norm))
        self.project = take(
            "projection", lambda: nn.Sequential(pointwise(narrow, PROJECTION, affine, norm), activate(name))
        )
        self.tail = take(
            f"tail behind {last} channels",
            lambda: (
                Aspp(last, aspp_channels, DECODER, aspp_rates, name, affine, norm)
                if aspp_channels
                else nn.Sequential(pointwise(last, DECODER, affine, norm), activate(name))
            ),
        )
        self.decoder = take(
            "decoder",
            lambda: nn.Sequential(
                separable(PROJECTION + DECODER, DECODER, 1, name, affine, norm),
                separable(DECODER, DECODER, 1, name, affine, norm),
            ),
        )
        self.output = take("output", lambda: output(DECODER, channels, genotype.residual))

    def enter(self, x: Tensor) -> Tensor:
        """What the stem is given of images, shape (N, C, H, W)."""
        return shrink(x, self.downscale)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        first = self.stem(self.enter(x))
        stem = self.stem_last(self.activation(first))
        hidden = [first, stem]
        for skip, route, cell in zip(self.from_before_last, self.from_last, self.cells, strict=True):
            before_last, last = (self.activation(h) for h in hidden[-2:])
            hidden.append(cell(skip(before_last), route(last)))
        narrow = self.reduce(stem) if self.endpoint is None else hidden[2 + self.endpoint]
        joined = torch.cat([self.project(narrow), self.tail(self.activation(hidden[-1]))], dim=1)
        result = enlarge(self.output(self.decoder(joined)), self.downscale, x)
        return x - result if self.residual else result


class HiNas(CellSpace):
    """This space as strategies and stages see it."""

    name = "hinas"
    operations = OPERATIONS
    separable = SEPARABLE
    tail = "decoder"
    reads_endpoint = True
    has_unshared = False
    Supernet = Supernet
    Network = Network


SPACE = HiNas()
