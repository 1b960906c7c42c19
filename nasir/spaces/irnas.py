"""The search space of IR-NAS (Zhang et al., 2019, arXiv:1909.08228v1): its supernet and its derived network side by side.

What the paper leaves open, and what stands here:

- Stem (figure 2, "an input layer and two convolutions"): a 3x3 convolution, then one 3x3 convolution for h_0 (the
  stem's output, width level 0) and one for h_{-1}.
- Beta of equation 5 is normalised over the cells that feed a cell. Width levels that cannot be reached from the stem
  (level 2 in the first layer) do not exist: no cell, no weight, no logit is read.
- f_{l-2}^i is a 1x1 convolution of h_{l-2}^i; where that cell does not exist, of the stem's output.
- In the derived network there is one h_{l-2}, of whatever width; a 1x1 convolution brings it to the layer's width.
- ASPP has no image-level pooling, so that the network's reach stays bounded.
- A global residual (output = input - network) is a parameter; the paper has none.

IR-NAS shares one cell among the incoming width paths (equation 5); Auto-DeepLab has a cell for each of them (equation 6).
The supernet can be either. Both derive to the same kind of network, in which a cell has one incoming path.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasir.genotype import OPERATIONS, Genotype
from nasir.spaces.cells import DerivedCell, SuperCell, edges
from nasir.spaces.operations import pointwise

NAME = "irnas"


def levels(layer: int, widths: int) -> range:
    """Width levels that layer `layer` (0-based) can have: one more with each layer from the stem's level 0."""
    return range(min(layer + 2, widths))


def sources(layer: int, level: int, widths: int) -> list[int]:
    """Width levels of the layer before that feed `level` (equation 5); the layer before the first is the stem, level 0."""
    before = levels(layer - 1, widths) if layer > 0 else range(1)
    return [source for source in before if abs(source - level) <= 1]


def width_weights(beta: Tensor, layer: int, level: int) -> Tensor:
    """The weights beta_k^i of equation 5 for one cell: softmax over the cells that feed it.

    Args:
        beta: logits, shape (layers, widths, 3): beta[l, k, d] belongs to the step from level k before layer l to level
            k + d - 1 in it.
        layer: l, 0-based.
        level: i.

    Returns:
        Shape (sources,), in the order of `sources(layer, level, widths)`.
    """
    feeding = sources(layer, level, beta.shape[1])
    return torch.stack([beta[layer, source, level - source + 1] for source in feeding]).softmax(dim=0)


def width_entropy(beta: Tensor) -> float:
    """Mean entropy of `width_weights` over the cells that more than one cell feeds, in nats; 0 if there is none."""
    layers, widths, _ = beta.shape
    weights = [
        width_weights(beta, layer, level)
        for layer in range(layers)
        for level in levels(layer, widths)
        if len(sources(layer, level, widths)) > 1
    ]
    entropies = [-torch.special.xlogy(w, w).sum().item() for w in weights]
    return sum(entropies) / len(entropies) if entropies else 0.0


class Stem(nn.Module):
    """Input layer and two convolutions: h_{-1} and h_0, both with N * W channels."""

    def __init__(self, channels: int, stem_channels: int, out_channels: int, affine: bool) -> None:
        super().__init__()
        self.input = nn.Sequential(
            nn.Conv2d(channels, stem_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(stem_channels, affine=affine),
            nn.ReLU(),
        )
        self.before_last, self.last = (
            nn.Sequential(
                nn.Conv2d(stem_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels, affine=affine),
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
        nodes, layers, width, width_factors, stem_channels, residual, share_cells: see `nasir.config.SearchConfig`.
            `cells[l][i]` is the cell C_l^i, or without sharing its cells C_l^{ik} by the level k that they read.
        generator: draws the initial alpha and beta, N(0, 0.001^2); the weights come from torch's default generator.
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
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        operations = OPERATIONS[NAME]
        cell_widths = [int(width * factor) for factor in width_factors]
        widths = len(cell_widths)
        self.layers, self.widths, self.residual, self.share_cells = layers, widths, residual, share_cells
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(edges(nodes)), len(operations), generator=generator))
        self.beta = nn.Parameter(1e-3 * torch.randn(layers, widths, 3, generator=generator))

        stem_out = nodes * cell_widths[0]
        self.stem = Stem(channels, stem_channels, stem_out, affine=False)
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            cells, last, before_last = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
            for level in levels(layer, widths):
                out = cell_widths[level]
                feeding = sources(layer, level, widths)
                if share_cells:
                    cells[str(level)] = SuperCell(operations, nodes, out)
                else:
                    cells[str(level)] = nn.ModuleDict({str(s): SuperCell(operations, nodes, out) for s in feeding})
                last[str(level)] = nn.ModuleDict(
                    {str(s): pointwise(nodes * cell_widths[s], out, affine=False) for s in feeding}
                )
                is_missing = layer < 2 or level not in levels(layer - 2, widths)
                before_last[str(level)] = pointwise(stem_out if is_missing else nodes * out, out, affine=False)
            self.cells.append(cells)
            self.from_last.append(last)
            self.from_before_last.append(before_last)
        ends = [cell_widths[level] for level in levels(layers - 1, widths)]
        self.output = nn.Sequential(nn.ReLU(), nn.Conv2d(nodes * sum(ends), channels, 3, padding=1))

    def weights(self) -> list[nn.Parameter]:
        """w: every parameter but alpha and beta."""
        return [p for name, p in self.named_parameters() if name not in ("alpha", "beta")]

    def architecture(self) -> list[nn.Parameter]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        alpha = self.alpha.softmax(dim=1)
        before_stem, stem = self.stem(x)
        before_last, last = {0: before_stem}, {0: stem}  # width level -> h_{l-2}, h_{l-1}
        for layer in range(self.layers):
            outputs = {}
            for level in levels(layer, self.widths):
                key = str(level)
                beta = width_weights(self.beta, layer, level)
                routes = self.from_last[layer][key]  # type: ignore[index]
                paths = [routes[str(s)](last[s]) for s in sources(layer, level, self.widths)]  # f_{l-1}^k
                # a missing h_{l-2} is taken from the stem: from h_{-1} in the first layer, from h_0 later
                missing = before_stem if layer == 0 else stem
                skipped = self.from_before_last[layer][key](before_last.get(level, missing))  # type: ignore[index]
                cell = self.cells[layer][key]  # type: ignore[index]
                if self.share_cells:  # equation 5
                    outputs[level] = cell(skipped, _weighted_sum(beta, paths), alpha)
                else:  # equation 6
                    results = [own(skipped, path, alpha) for own, path in zip(cell.values(), paths, strict=True)]
                    outputs[level] = _weighted_sum(beta, results)
            before_last, last = last, outputs
        result = self.output(torch.cat([last[level] for level in sorted(last)], dim=1))
        return x - result if self.residual else result


def _weighted_sum(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), torch.zeros(()))


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab) without image-level pooling: parallel convolutions of several rates.

    One 1x1 and one 3x3 convolution for each rate, concatenated and joined by a 1x1 convolution.
    """

    def __init__(self, channels_in: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())
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
        nodes = genotype.nodes
        stem_out = nodes * int(width * genotype.width_factors[0])
        self.stem = Stem(channels, stem_channels, stem_out, affine)
        self.cells, self.from_last, self.from_before_last = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before_last, last = stem_out, stem_out
        for level in genotype.path:
            out = int(width * genotype.width_factors[level])
            self.from_before_last.append(pointwise(before_last, out, affine))
            self.from_last.append(pointwise(last, out, affine))
            self.cells.append(DerivedCell(genotype.cell, out, affine))
            before_last, last = last, nodes * out
        self.aspp = nn.Sequential(nn.ReLU(), Aspp(last, aspp_channels, aspp_rates)) if aspp_channels else nn.Identity()
        self.output = nn.Sequential(nn.ReLU(), nn.Conv2d(aspp_channels or last, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        before_last, last = self.stem(x)
        for skip, route, cell in zip(self.from_before_last, self.from_last, self.cells, strict=True):
            before_last, last = last, cell(skip(before_last), route(last))
        result = self.output(self.aspp(last))
        return x - result if self.residual else result
