"""What the spaces of cells and widths have in common as spaces: genotypes, tokens, networks, words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

from torch import nn

from nasir.config.reading import require
from nasir.spaces import contract
from nasir.spaces.cells import genotype as genotypes
from nasir.spaces.cells.auxiliary import AuxiliaryCell
from nasir.spaces.cells.genotype import Cell, Edge, Genotype
from nasir.spaces.cells.section import CellsSection, CellsSizes
from nasir.spaces.contract import Token
from nasir.spaces.shared.parts import Take, fresh


class CellSpace(contract.Space):
    """A space of cells and their widths; a genotype is a `nasir.spaces.cells.genotype.Genotype`."""

    settings = "cells"
    Section = CellsSection
    Sizes = CellsSizes
    searching = "nasir.spaces.cells.searching"
    drawing = "nasir.spaces.cells.drawing"
    modifying = "nasir.spaces.cells.modify"
    stem = "stem"

    operations: ClassVar[tuple[str, ...]]  # of an edge, in the order of alpha's columns
    separable: ClassVar[int]  # how often a separable convolution is applied
    tail: ClassVar[str]  # what follows the last cell, on drawings
    reads_endpoint: ClassVar[bool] = False  # whether the tail reads the last cell of level 0, too
    has_unshared: ClassVar[bool] = True  # whether the supernet may have a cell for each path into it (`share_cells`)
    Supernet: ClassVar[type[nn.Module]]
    Network: ClassVar[type[nn.Module]]

    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        return genotypes.to_json(genotype)

    def from_json(self, value: Any) -> Genotype:
        return genotypes.from_json(value)

    def build(self, genotype: Genotype, sizes: CellsSizes, channels: int) -> nn.Module:
        widths = [int(sizes.width * factor) for factor in genotype.width_factors]
        require(
            min(widths) >= 1,
            "network.width times each of the genotype's width_factors must be 1 channel or more",
            widths,
        )
        return self.assemble(genotype, sizes, channels, fresh)

    def assemble(self, genotype: Genotype, sizes: CellsSizes, channels: int, take: Take) -> nn.Module:
        """`build`, out of parts that `take` gives (`nasir.spaces.cells.cell.Take`)."""
        return self.Network(
            genotype,
            channels=channels,
            width=sizes.width,
            stem_channels=sizes.stem_channels,
            aspp_channels=sizes.aspp_channels,
            aspp_rates=sizes.aspp_rates,
            take=take,
        )

    def auxiliary(self, genotype: Genotype, sizes: CellsSizes, channels: int) -> dict[str, nn.Module]:
        """One behind every cell but the last."""
        return {
            f"cells.{layer}": AuxiliaryCell(
                genotype, layer, channels=channels, width=sizes.width, separable=self.separable
            )
            for layer in range(genotype.layers - 1)
        }

    def candidate_sizes(self, section: CellsSection) -> CellsSizes:
        """The search's own width, and no ASPP."""
        return CellsSizes(width=section.width, stem_channels=section.stem_channels, aspp_channels=0, aspp_rates=())

    def other_sizes(self, sizes: CellsSizes) -> Iterator[CellsSizes]:
        """Every even width from 4 to 128."""
        return (replace(sizes, width=width) for width in range(4, 129, 2))

    def usable(self, section: CellsSection) -> tuple[str, ...]:
        """The operations that an edge may have, `none` left out.

        Raises:
            ValueError: if the section names one that the space does not have.
        """
        all_of_them = tuple(name for name in self.operations if name != "none")
        if unknown := sorted(set(section.operations) - set(all_of_them)):
            raise ValueError(
                f"space.operations may have {list(all_of_them)} of the space {self.name}, got {unknown}; correct it."
            )
        return tuple(name for name in all_of_them if not section.operations or name in section.operations)

    def tokens(self, section: CellsSection) -> tuple[Token, ...]:
        """For each cell and node the input and the operation of each kept edge; then the level of each layer."""
        return _tokens(section, self.usable(section))

    def mask(self, section: CellsSection, chosen: Sequence[int]) -> tuple[bool, ...]:
        """A node's edges read different inputs; a layer's level is at most one from that before, the stem's being 0."""
        token = self.tokens(section)[len(chosen)]
        if token.name.endswith("level"):
            layer = len(chosen) - (len(self.tokens(section)) - section.layers)
            before = chosen[-1] if layer > 0 else 0
            return tuple(abs(level - before) <= 1 for level in range(len(token.choices)))
        place = len(chosen) % (2 * section.inputs)
        taken = chosen[len(chosen) - place :: 2] if token.name.endswith("input") else ()
        return tuple(number not in taken for number in range(len(token.choices)))

    def from_tokens(self, section: CellsSection, chosen: Sequence[int]) -> Genotype:
        tokens = self.tokens(section)
        if len(chosen) != len(tokens):
            raise ValueError(f"a genotype of these settings has {len(tokens)} tokens, got {len(chosen)}.")
        for place, (token, number) in enumerate(zip(tokens, chosen, strict=True)):
            allowed = self.mask(section, chosen[:place])
            if not 0 <= number < len(allowed) or not allowed[number]:
                legal = [n for n, is_allowed in enumerate(allowed) if is_allowed]
                raise ValueError(f"{token.name} may be one of {legal} after what was chosen, got {number}.")
        picks = [token.choices[number] for token, number in zip(tokens, chosen, strict=True)]
        pairs = iter(zip(picks[: -section.layers : 2], picks[1 : -section.layers : 2], strict=True))
        kept = [Edge(input=int(source), operation=name) for source, name in pairs]
        per_cell = section.nodes * section.inputs
        cells = tuple(
            tuple(
                tuple(kept[first + node : first + node + section.inputs]) for node in range(0, per_cell, section.inputs)
            )
            for first in range(0, len(kept), per_cell)
        )
        return self.genotype(section, cells, [int(level) for level in picks[-section.layers :]])

    def genotype(self, section: CellsSection, cells: Sequence[Cell], path: Sequence[int]) -> Genotype:
        """The genotype of these cells and this path in a space with this section."""
        return Genotype(
            space=self.name,
            cells=tuple(cells),
            path=tuple(path),
            width_factors=section.width_factors,
            residual=section.residual,
            activation=section.activation,
            downscale=section.downscale,
            norm=section.norm,
            reads_stem=section.reads_stem,
        )

    def operations_of(self, genotype: Genotype) -> list[str]:
        """Those of the kept edges, cell by cell."""
        return [edge.operation for cell in genotype.cells for edges in cell for edge in edges]

    def idle_share(self, genotype: Genotype) -> float:
        """The share of `skip` among the kept edges."""
        kept = self.operations_of(genotype)
        return kept.count("skip") / len(kept)

    def describe(self, genotype: Genotype, sizes: CellsSizes) -> str:
        channels = ", ".join(f"{sizes.width * genotype.width_factors[level]:g}" for level in genotype.path)
        residual = "a global residual" if genotype.residual else "no global residual"
        scale = f", at 1 / {genotype.downscale} of the resolution" if genotype.downscale > 1 else ""
        return (
            f"{genotype.layers} cells of {genotype.nodes} nodes{scale}, {residual}. The drawing shows the search's width; the "
            f"network was retrained with W = {sizes.width}, which gives cells of {channels} channels."
        )


@cache
def _tokens(section: CellsSection, operations: tuple[str, ...]) -> tuple[Token, ...]:
    tokens = []
    for cell in range(1 if section.share_alpha else section.layers):
        for node in range(section.nodes):
            for edge in range(section.inputs):
                where = f"cell {cell}, node {node}, edge {edge}"
                inputs = tuple(str(source) for source in range(node + 2))
                tokens += [Token(name=f"{where}: input", choices=inputs)]
                tokens += [Token(name=f"{where}: operation", choices=operations)]
    widths = tuple(str(level) for level in range(len(section.width_factors)))
    return (*tokens, *(Token(name=f"layer {layer}: level", choices=widths) for layer in range(section.layers)))
