"""What a search needs of a space of cells and widths: random genotypes, and the supernet with what is asked of it."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasir.layers.keeping import put_back
from nasir.spaces import contract
from nasir.spaces.cells import decode as decoding
from nasir.spaces.cells import monitor
from nasir.spaces.cells.cell import SuperCell, edges, exclude
from nasir.spaces.cells.complexity import operation_costs, relative_cost
from nasir.spaces.cells.fast.twin import convert
from nasir.spaces.cells.genotype import Genotype
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.section import CellsSection
from nasir.spaces.cells.sharing import cover
from nasir.spaces.cells.space import CellSpace
from nasir.spaces.shared.parts import SharedParts


def random_genotype(space: str, section: CellsSection, generator: torch.Generator) -> Genotype:
    """A random genotype: logits from N(0, 1) in the shapes of alpha and beta, decoded as those of a search are."""
    table = (len(edges(section.nodes)), len(_find(space).operations))
    alpha = torch.randn(table if section.share_alpha else (section.layers, *table), generator=generator)
    exclude(alpha, _find(space).operations, _find(space).usable(section))
    beta = torch.randn(section.layers, len(section.width_factors), 3, generator=generator)
    return _decode(alpha, beta, space, section)


def relax(space: str, section: CellsSection, channels: int, seed: int) -> "RelaxedCells":
    """The supernet for images of so many channels, with weights, alpha and beta drawn from the seed."""
    found = _find(space)
    if not (section.share_cells or found.has_unshared):
        raise ValueError(
            f"space.share_cells must be true with the space {space}, whose cells are always shared by their incoming "
            "paths, got False; set it to true, or take the space irnas."
        )
    torch.manual_seed(seed)
    network = found.Supernet(
        channels=channels,
        nodes=section.nodes,
        layers=section.layers,
        width=section.width,
        width_factors=section.width_factors,
        stem_channels=section.stem_channels,
        residual=section.residual,
        share_alpha=section.share_alpha,
        beta_norm=section.beta_norm,
        activation=section.activation,
        sigmoid=section.sigmoid,
        partial=section.partial,
        generator=torch.Generator().manual_seed(seed),
        **({"share_cells": section.share_cells} if found.has_unshared else {}),
        downscale=section.downscale,
        reads_stem=section.reads_stem,
        usable=found.usable(section),
    )
    if section.twin == "fast":
        convert(network, section.recompute)
    if section.compile:
        for module in network.modules():
            if isinstance(module, SuperCell):
                module.compile()
    return RelaxedCells(network, space, section)


def share(space: str, section: CellsSection, channels: int, seed: int) -> SharedParts:
    """The shared weights of all networks for images of so many channels, drawn from the seed."""
    found = _find(space)
    sizes = found.candidate_sizes(section)
    return SharedParts(
        lambda genotype, take: found.assemble(genotype, sizes, channels, take), cover(found, section), seed
    )


class RelaxedCells:
    """A supernet of cells, its alpha and beta read by the rules of the space.

    Args:
        network: the supernet, of either twin.
        space: its name.
        section: what it was built with.
    """

    def __init__(self, network: nn.Module, space: str, section: CellsSection) -> None:
        self.network, self.space, self.section = network, space, section
        self._costs: dict[str, Tensor] = {}

    @property
    def usable(self) -> tuple[str, ...]:
        """The operations that an edge may have."""
        return _find(self.space).usable(self.section)

    @property
    def alpha(self) -> nn.Parameter:
        """Logits of the operations."""
        parameter: nn.Parameter = self.network.alpha  # type: ignore[assignment]
        return parameter

    @property
    def beta(self) -> nn.Parameter:
        """Logits of the widths."""
        parameter: nn.Parameter = self.network.beta  # type: ignore[assignment]
        return parameter

    def weights(self) -> list[nn.Parameter]:
        """w."""
        found: list[nn.Parameter] = self.network.weights()  # type: ignore[operator]
        return found

    def architecture(self) -> list[nn.Parameter]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    def decode(self, tensors: Mapping[str, Tensor]) -> Genotype:
        """The genotype of a state dict: strongest edges and Viterbi."""
        return _decode(tensors["alpha"], tensors["beta"], self.space, self.section)

    def runner_up(self, tensors: Mapping[str, Tensor]) -> Genotype | None:
        """The genotype of those one choice away whose logits fall short the least."""
        found = self.decode(tensors)
        return decoding.runner_up(found, tensors["alpha"], tensors["beta"], self.section.beta_norm, self.section.none)

    def evidence(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """alpha and beta."""
        return {name: tensors[name] for name in ("alpha", "beta")}

    def facts(self) -> dict[str, float]:
        """See `nasir.spaces.cells.monitor.architecture_facts`."""
        return monitor.architecture_facts(self.alpha, self.beta, self.space, self.section.beta_norm)

    def size(self, of: str) -> Tensor:
        """See `nasir.spaces.cells.complexity.relative_cost`; of the operations that are usable, and `none`."""
        found = _find(self.space)
        kept = [column for column, name in enumerate(found.operations) if name in (*self.usable, "none")]
        if of not in self._costs:
            channels = [int(self.section.width * factor) for factor in self.section.width_factors]
            style = Style(activation=self.section.activation, separable=found.separable)
            self._costs[of] = operation_costs([found.operations[column] for column in kept], channels, style, of)
        return relative_cost(self.alpha[..., kept], self.beta, self._costs[of])

    def ranking(self) -> Tensor:
        """See `nasir.spaces.cells.monitor.ranks`."""
        return monitor.ranks(self.alpha, self.space)

    def skips(self) -> float:
        """The most `skip` that one derived cell has."""
        section = self.section
        return float(monitor.most_skips(self.alpha, section.nodes, self.space, section.inputs, section.none))

    @contextmanager
    def shuffled(self, generator: torch.Generator) -> Iterator[None]:
        """Meanwhile alpha and beta are random, as those of `random_genotype`."""
        with put_back([self.alpha, self.beta]):
            for logits in (self.alpha, self.beta):
                logits.data.copy_(torch.randn(logits.shape, generator=generator))
            exclude(self.alpha, _find(self.space).operations, self.usable)
            yield

    @contextmanager
    def discretised(self) -> Iterator[None]:
        """See `nasir.spaces.cells.monitor.discretised`."""
        section = self.section
        with monitor.discretised(
            self.alpha, self.beta, section.nodes, self.space, section.beta_norm, section.inputs, section.none
        ):
            yield

    def smoothness(self) -> Tensor:
        """The mean of logsumexp(alpha) over the edges, a scalar: the loss of Beta-DARTS (Ye et al., CVPR 2022)."""
        return self.alpha.logsumexp(dim=-1).mean()


def _decode(alpha: Tensor, beta: Tensor, space: str, section: CellsSection) -> Genotype:
    genotype = decoding.decode(
        alpha,
        beta,
        space=space,
        nodes=section.nodes,
        width_factors=section.width_factors,
        residual=section.residual,
        activation=section.activation,
        beta_norm=section.beta_norm,
        inputs=section.inputs,
        none=section.none,
    )
    return dataclasses.replace(genotype, downscale=section.downscale, norm=section.norm, reads_stem=section.reads_stem)


def _find(space: str) -> CellSpace:
    found = contract.find(space)
    assert isinstance(found, CellSpace)  # it names this module as its `searching`
    return found
