"""Which networks of a space of cells have all its parts.

A part is known by its layer, width level, node, input and operation, and a 1x1 convolution between cells by what it reads.
"""

from collections.abc import Iterator

from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSection
from nasir.spaces.cells.space import CellSpace


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
