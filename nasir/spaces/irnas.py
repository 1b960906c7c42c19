"""The search space of IR-NAS (Zhang et al., 2019, arXiv:1909.08228v1): its supernet and its derived network side by side.

What the paper leaves open, and what stands here:

- Stem (figure 2, "an input layer and two convolutions"): a 3x3 convolution, then one 3x3 convolution for h_0 (the
  stem's output, width level 0) and one for h_{-1}.
- Beta of equation 5 is normalised over the cells that feed a cell (`beta_norm: incoming`). Width levels that cannot be
  reached from the stem (level 2 in the first layer) do not exist: no cell, no weight, no logit is read.
- f_{l-2}^i is a 1x1 convolution of h_{l-2}^i; where that cell does not exist, of the stem's output.
- In the derived network there is one h_{l-2}, of whatever width; a 1x1 convolution brings it to the layer's width.
- ASPP has no image-level pooling, so that the network's reach stays bounded.
- A global residual (output = input - network) is a parameter; the paper has none. So are an alpha for each layer, a leaky
  ReLU, the other norm of beta and a sigmoid on the supernet's output, all of which the authors' later code has.

IR-NAS shares one cell among the incoming width paths (equation 5); Auto-DeepLab has a cell for each of them (equation 6).
The supernet can be either. Both derive to the same kind of network, in which a cell has one incoming path.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nasir.layers.normalisation import BatchNorm
from nasir.spaces.cells.cell import DerivedCell, SuperCell, edges
from nasir.spaces.cells.genotype import Genotype
from nasir.spaces.cells.operations import Style, pointwise
from nasir.spaces.cells.operations import activation as activate
from nasir.spaces.cells.space import CellSpace
from nasir.spaces.cells.widths import levels, mix_paths, read_paths, sources, weighted_sum, width_weights

OPERATIONS = ("conv_3x3", "sep_3x3", "dil_3x3", "def_3x3", "skip", "none")
"""The candidate operations of an edge, in the order of alpha's columns."""

SEPARABLE = 1
"""How often a separable convolution is applied."""


class Stem(nn.Module):
    """Input layer and two convolutions: h_{-1} and h_0, both with N * W channels."""

    def __init__(self, channels: int, stem_channels: int, out_channels: int, affine: bool, name: str) -> None:
        super().__init__()
        self.input = nn.Sequential(
            nn.Conv2d(channels, stem_channels, 3, padding=1, bias=False),
            BatchNorm(stem_channels, affine=affine),
            activate(name),
        )
        self.before_last, self.last = (
            nn.Sequential(
                nn.Conv2d(stem_channels, out_channels, 3, padding=1, bias=False),
                BatchNorm(out_channels, affine=affine),
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
            sigmoid, partial: see
            `nasir.spaces.cells.section.CellsSection`. `cells[l][i]` is the cell C_l^i, or without sharing its cells
            C_l^{ik} by the level k that they read.
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
        generator: torch.Generator,
        cell: Callable[[Sequence[str], int, int, Style], nn.Module] = SuperCell,
    ) -> None:
        super().__init__()
        operations, style = OPERATIONS, Style(activation=activation, separable=SEPARABLE, partial=partial)
        cell_widths = [int(width * factor) for factor in width_factors]
        widths = len(cell_widths)
        self.layers, self.widths, self.share_cells = layers, widths, share_cells
        self.residual, self.sigmoid, self.beta_norm = residual, sigmoid, beta_norm
        table = (len(edges(nodes)), len(operations))
        self.alpha = nn.Parameter(1e-3 * torch.randn(table if share_alpha else (layers, *table), generator=generator))
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
        self.output = nn.Sequential(activate(activation), nn.Conv2d(nodes * sum(ends), channels, 3, padding=1))

    def weights(self) -> list[nn.Parameter]:
        """w: every parameter but alpha and beta."""
        return [p for name, p in self.named_parameters() if name not in ("alpha", "beta")]

    def architecture(self) -> list[nn.Parameter]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped, or with a sigmoid in (0, 1)."""
        alpha = self.alpha.softmax(dim=-1)
        before_stem, stem = self.stem(x)
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
        result = self.output(torch.cat([last[level] for level in sorted(last)], dim=1))
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


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab) without image-level pooling: parallel convolutions of several rates.

    One 1x1 and one 3x3 convolution for each rate, concatenated and joined by a 1x1 convolution.
    """

    def __init__(self, channels_in: int, channels: int, rates: Sequence[int], name: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(conv, BatchNorm(channels), activate(name))
            for conv in (
                nn.Conv2d(channels_in, channels, 1, bias=False),
                *(nn.Conv2d(channels_in, channels, 3, padding=r, dilation=r, bias=False) for r in rates),
            )
        )
        self.join = pointwise(channels * len(self.branches), channels, affine=True)

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
    ) -> None:
        super().__init__()
        self.residual = genotype.residual
        nodes, name = genotype.nodes, genotype.activation
        style = Style(activation=name, separable=SEPARABLE)
        stem_out = nodes * int(width * genotype.width_factors[0])
        self.stem = Stem(channels, stem_channels, stem_out, affine, name)
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before_last, last = stem_out, stem_out
        for layer, level in enumerate(genotype.path):
            out = int(width * genotype.width_factors[level])
            self.from_before_last.append(pointwise(before_last, out, affine))
            self.from_last.append(pointwise(last, out, affine))
            self.cells.append(DerivedCell(genotype.cell_of(layer), out, affine, style))
            before_last, last = last, nodes * out
        tail = Aspp(last, aspp_channels, aspp_rates, name) if aspp_channels else None
        self.aspp = nn.Sequential(activate(name), tail) if tail else nn.Identity()
        self.output = nn.Sequential(activate(name), nn.Conv2d(aspp_channels or last, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        before_last, last = self.stem(x)
        for skip, route, cell in zip(self.from_before_last, self.from_last, self.cells, strict=True):
            before_last, last = last, cell(skip(before_last), route(last))
        result = self.output(self.aspp(last))
        return x - result if self.residual else result


class IrNas(CellSpace):
    """This space as strategies and stages see it."""

    name = "irnas"
    operations = OPERATIONS
    separable = SEPARABLE
    tail = "ASPP"
    Supernet = Supernet
    Network = Network


SPACE = IrNas()
