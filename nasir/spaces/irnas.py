"""The search space of IR-NAS (Zhang et al., 2019, arXiv:1909.08228v1): its supernet and its derived network side by side.

What the paper leaves open, and what stands here:

- Stem (figure 2, "an input layer and two convolutions"): a 3x3 convolution, then one 3x3 convolution for h_0 (the
  stem's output, width level 0) and one for h_{-1}.
- Beta of equation 5 is normalised over the cells that feed a cell (`beta_norm: incoming`). Width levels that cannot be
  reached from the stem (level 2 in the first layer) do not exist: no cell, no weight, no logit is read.
- f_{l-2}^i is a 1x1 convolution of h_{l-2}^i; where that cell does not exist, of the stem's output.
- In the derived network there is one h_{l-2}, of whatever width; a 1x1 convolution brings it to the layer's width.
- ASPP has no image-level pooling, so that the network's reach stays bounded.
- A global residual (output = input - network) is a parameter; the paper has none. Its last convolution starts at zero.
  So are an alpha for each layer, a leaky ReLU, the other norm of beta and a sigmoid on the supernet's output, all of which
  the authors' later code has.
- For small budgets, not in the paper: blocks of pixels as channels (`downscale`), no normalisation (`norm`), and the stem's
  output added before the last convolution, through a 1x1 convolution of the last features (`reads_stem`).

IR-NAS shares one cell among the incoming width paths (equation 5); Auto-DeepLab has a cell for each of them (equation 6).
The supernet can be either. Both derive to the same kind of network, in which a cell has one incoming path.
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
from nasir.spaces.cells.widths import levels, mix_paths, read_paths, sources, weighted_sum, width_weights
from nasir.spaces.shared.parts import Take, fresh

OPERATIONS = ("conv_3x3", "sep_3x3", "dil_3x3", "def_3x3", "skip", "none")
"""The candidate operations of an edge, in the order of alpha's columns."""

SEPARABLE = 1
"""How often a separable convolution is applied."""


class Stem(nn.Module):
    """Input layer and two convolutions: h_{-1} and h_0, both with N * W channels."""

    def __init__(
        self, channels: int, stem_channels: int, out_channels: int, affine: bool, name: str, norm: str = "batch"
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.input = nn.Sequential(
            nn.Conv2d(channels, stem_channels, 3, padding=1, bias=bias),
            *normalise(stem_channels, affine, norm),
            activate(name),
        )
        self.before_last, self.last = (
            nn.Sequential(
                nn.Conv2d(stem_channels, out_channels, 3, padding=1, bias=bias),
                *normalise(out_channels, affine, norm),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.input(x)
        return self.before_last(x), self.last(x)


class Supernet(nn.Module):
    """All cells of all widths at once, weighted by alpha and beta.

    Args:
        channels: of the images.
        nodes, layers, width, width_factors, stem_channels, residual, share_cells, share_alpha, beta_norm, activation,
            sigmoid, partial, downscale, reads_stem: see
            `nasir.spaces.cells.section.CellsSection`. `cells[l][i]` is the cell C_l^i, or without sharing its cells
            C_l^{ik} by the level k that they read.
        usable: operations that edges may have beside `none`; empty: all.
        generator: draws the initial alpha and beta, N(0, 0.001^2); the weights come from torch's default generator.
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
        share_cells: bool,
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
        widths = len(cell_widths)
        self.layers, self.widths, self.share_cells = layers, widths, share_cells
        self.residual, self.sigmoid, self.beta_norm, self.downscale = residual, sigmoid, beta_norm, downscale
        channels *= downscale**2
        table = (len(edges(nodes)), len(operations))
        self.alpha = nn.Parameter(1e-3 * torch.randn(table if share_alpha else (layers, *table), generator=generator))
        exclude(self.alpha, OPERATIONS, usable)
        self.beta = nn.Parameter(1e-3 * torch.randn(layers, widths, 3, generator=generator))

        stem_out = nodes * cell_widths[0]
        self.stem = Stem(channels, stem_channels, stem_out, False, activation)
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            cells, last, before_last = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
            for level in levels(layer, widths):
                out = cell_widths[level]
                feeding = sources(layer, level, widths)
                if share_cells:
                    cells[str(level)] = cell(operations, nodes, out, style)
                else:
                    cells[str(level)] = nn.ModuleDict({str(s): cell(operations, nodes, out, style) for s in feeding})
                last[str(level)] = nn.ModuleDict(
                    {str(s): pointwise(nodes * cell_widths[s], out, affine=False) for s in feeding}
                )
                is_missing = layer < 2 or level not in levels(layer - 2, widths)
                before_last[str(level)] = pointwise(stem_out if is_missing else nodes * out, out, affine=False)
            self.cells.append(cells)
            self.from_last.append(last)
            self.from_before_last.append(before_last)
        ends = [cell_widths[level] for level in levels(layers - 1, widths)]
        last_out = nodes * sum(ends)
        self.tail = pointwise(last_out, stem_out, affine=False) if reads_stem else None
        self.output = _output(stem_out if reads_stem else last_out, channels, activation, residual)

    def weights(self) -> list[nn.Parameter]:
        """w: every parameter but alpha and beta."""
        return [p for name, p in self.named_parameters() if name not in ("alpha", "beta")]

    def architecture(self) -> list[nn.Parameter]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped, or with a sigmoid in (0, 1)."""
        alpha = self.alpha.softmax(dim=-1)
        before_stem, stem = self.stem(shrink(x, self.downscale))
        before_last, last = {0: before_stem}, {0: stem}  # width level -> h_{l-2}, h_{l-1}
        for layer in range(self.layers):
            weights = alpha if alpha.ndim == 2 else alpha[layer]
            # a missing h_{l-2} is taken from the stem: from h_{-1} in the first layer, from h_0 later
            missing = before_stem if layer == 0 else stem
            skipped = {
                level: self.from_before_last[layer][str(level)](before_last.get(level, missing))  # type: ignore[index]
                for level in levels(layer, self.widths)
            }
            before_last, last = last, self._cells(layer, skipped, last, weights)
        features = torch.cat([last[level] for level in sorted(last)], dim=1)
        result = self.output(features if self.tail is None else stem + self.tail(features))
        result = enlarge(result, self.downscale, x)
        result = x - result if self.residual else result
        return result.sigmoid() if self.sigmoid else result

    def _cells(
        self, layer: int, skipped: dict[int, Tensor], last: dict[int, Tensor], weights: Tensor
    ) -> dict[int, Tensor]:
        """Width level -> h_l, from f_{l-2} by level and h_{l-1} by level."""
        cells, routes = self.cells[layer], self.from_last[layer]
        if self.share_cells:  # equation 5
            inputs = self.mix(layer, last)
            return {level: cells[str(level)](skipped[level], value, weights) for level, value in inputs.items()}  # type: ignore[index]
        outputs = {}  # equation 6
        for level, value in skipped.items():
            own = cells[str(level)].values()  # type: ignore[index]
            paths = read_paths(routes[str(level)], last, layer, level, self.widths)  # type: ignore[index]
            results = [cell(value, path, weights) for cell, path in zip(own, paths, strict=True)]
            outputs[level] = weighted_sum(width_weights(self.beta, layer, level, self.beta_norm), results)
        return outputs

    def mix(self, layer: int, last: dict[int, Tensor]) -> dict[int, Tensor]:
        """Width level -> what its shared cell reads of h_{l-1}, see `mix_paths`."""
        routes = self.from_last[layer]
        assert isinstance(routes, nn.ModuleDict)
        return mix_paths(routes, last, self.beta, layer, self.beta_norm)


def _output(channels_in: int, channels: int, name: str, residual: bool) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels, 3, padding=1)
    if residual:
        start_at_zero(conv)
    return nn.Sequential(activate(name), conv)


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab) without image-level pooling: parallel convolutions of several rates.

    One 1x1 and one 3x3 convolution for each rate, concatenated and joined by a 1x1 convolution.
    """

    def __init__(self, channels_in: int, channels: int, rates: Sequence[int], name: str, norm: str = "batch") -> None:
        super().__init__()
        bias = norm == "none"
        self.branches = nn.ModuleList(
            nn.Sequential(conv, *normalise(channels, True, norm), activate(name))
            for conv in (
                nn.Conv2d(channels_in, channels, 1, bias=bias),
                *(DilatedConv(channels_in, channels, 3, padding=r, dilation=r, bias=bias) for r in rates),
            )
        )
        self.join = pointwise(channels * len(self.branches), channels, True, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=1))


class Network(nn.Module):
    """The derived network: one cell in each layer, at the width of the genotype's path.

    Args:
        genotype: of this space.
        channels: of the images.
        width: channels of a cell of level 0.
        stem_channels: of the input layer.
        aspp_channels: of each ASPP branch; 0 leaves ASPP out.
        aspp_rates: dilation of each 3x3 branch.
        affine: of batch normalisation.
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
        self.residual, self.downscale = genotype.residual, genotype.downscale
        channels *= self.downscale**2
        nodes, name, norm = genotype.nodes, genotype.activation, genotype.norm
        style = Style(activation=name, separable=SEPARABLE, norm=norm)
        stem_out = nodes * int(width * genotype.width_factors[0])
        self.stem = take("stem", lambda: Stem(channels, stem_channels, stem_out, affine, name, norm))
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before_last, last = stem_out, stem_out
        for layer, level in enumerate(genotype.path):
            out = int(width * genotype.width_factors[level])
            where, reads = f"layer {layer} at level {level}", (before_last, last)
            parts = take_layer(take, where, reads, genotype.cell_of(layer), out, affine, style)
            for modules, part in zip((self.from_before_last, self.from_last, self.cells), parts, strict=True):
                modules.append(part)
            before_last, last = last, nodes * out
        behind = f"behind {last} channels"
        self.aspp: nn.Module = nn.Identity()
        if aspp_channels:
            tail = take(f"aspp {behind}", lambda: Aspp(last, aspp_channels, aspp_rates, name, norm))
            self.aspp = nn.Sequential(activate(name), tail)
        ends = aspp_channels or last
        self.tail: nn.Module | None = None
        if genotype.reads_stem:
            self.tail = take(f"tail {behind}", lambda: pointwise(ends, stem_out, affine, norm))
        final = stem_out if genotype.reads_stem else ends
        self.output = take(f"output behind {final} channels", lambda: _output(final, channels, name, genotype.residual))

    def enter(self, x: Tensor) -> Tensor:
        """What the stem is given of images, shape (N, C, H, W)."""
        return shrink(x, self.downscale)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        before_last, last = self.stem(self.enter(x))
        stem = last
        for skip, route, cell in zip(self.from_before_last, self.from_last, self.cells, strict=True):
            before_last, last = last, cell(skip(before_last), route(last))
        features = self.aspp(last)
        result = self.output(features if self.tail is None else stem + self.tail(features))
        result = enlarge(result, self.downscale, x)
        return x - result if self.residual else result


class IrNas(CellSpace):
    """This space as strategies and stages see it."""

    name = "irnas"
    operations = OPERATIONS
    separable = SEPARABLE
    tail = "tail"
    Supernet = Supernet
    Network = Network


SPACE = IrNas()
