"""The networks of a space of cells with shared weights: those of a part are the same in every network that has the part.

A part is known by its layer, width level, node, input and operation, and a 1x1 convolution between cells by what it reads. So
a network is a path through all of them, and training one path trains a part of many (Guo et al., ECCV 2020).

Shared parts always have batch normalisation, whatever `space.norm` says of the networks that are trained alone: a part that sees
the sums of ever other parts needs it. Without it a search of 3,000 steps ended at the noisy input.
"""

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import nn

from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSection
from nasir.spaces.cells.space import CellSpace


class SharedCells:
    """All parts of all networks of a space.

    Args:
        space: of cells.
        section: what it holds; networks have the sizes at which a search trains candidates.
        channels: of the images.
        seed: of the weights.
    """

    def __init__(self, space: CellSpace, section: CellsSection, channels: int, seed: int) -> None:
        self._space, self._channels = space, channels
        self._sizes = space.candidate_sizes(section)
        self.network = nn.ModuleDict()
        torch.manual_seed(seed)
        for genotype in cover(space, section):
            self.path(genotype)

    def path(self, genotype: Genotype) -> nn.Module:
        """The network of a genotype, made of shared parts."""
        genotype = dataclasses.replace(genotype, norm="batch")
        return self._space.assemble(genotype, self._sizes, self._channels, self._take)

    def _take(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        if name not in self.network:
            self.network[name] = make()
        return self.network[name]


def cover(space: CellSpace, section: CellsSection) -> Iterator[Genotype]:
    """Genotypes in which every part of every network stands at least once."""
    paths = _paths(section.layers, len(section.width_factors))
    for path in paths:
        for operation in space.usable(section):
            for shift in range(section.nodes + 1):
                cell = tuple(
                    tuple(
                        Edge(input=(shift + edge) % (node + 2), operation=operation) for edge in range(section.inputs)
                    )
                    for node in range(section.nodes)
                )
                yield space.genotype(section, [cell], path)


def _paths(layers: int, widths: int) -> list[tuple[int, ...]]:
    """Paths in which each three levels that can follow each other do, in every layer where they can."""
    found: dict[tuple[int, ...], None] = {}
    for last in range(layers):
        for ends in _ends(min(last + 1, 3), widths):
            first = ends[0]
            lead = tuple(max(0, first - step) for step in range(last + 1 - len(ends), 0, -1))
            whole = (*lead, *ends, *ends[-1:] * (layers - last - 1))
            if all(abs(a - b) <= 1 for a, b in zip((0, *whole), whole, strict=False)):
                found[whole] = None
    return list(found)


def _ends(length: int, widths: int) -> Iterator[tuple[int, ...]]:
    if length == 0:
        yield ()
        return
    for before in _ends(length - 1, widths):
        for level in range(widths):
            if not before or abs(before[-1] - level) <= 1:
                yield (*before, level)
