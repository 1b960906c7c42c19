"""The genotype: the discrete choice of a search, a plain value without tensors.

    genotype   which operations and inputs each node of a cell keeps, and which width each layer has
    node       a feature map in a cell; its value is the sum over its kept edges
    edge       one (input, operation) pair; input 0 is h_{l-2}, input 1 is h_{l-1}, input 2 + i is node i

The words are those of IR-NAS (Zhang et al., 2019), sections 3.1 and 3.2. The file is JSON with a version; it is parsed, never
evaluated.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.config import reading
from nasir.files import read_json, write_json
from nasir.messages import shown
from nasir.spaces import contract
from nasir.spaces.cells.section import LARGEST_FACTOR, MOST_DOWNSCALE, MOST_EDGES, MOST_LAYERS

VERSION = 3

ACTIVATIONS = ("relu", "leaky_relu")
"""What may stand before each convolution; the leaky one has slope 0.2."""

NORMS = ("batch", "none")
"""What may follow each convolution."""

SINCE_3 = {"downscale": 1, "norm": "batch", "reads_stem": False}
"""Keys that version 3 brought, with what every genotype before it had."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One kept edge: where a node's value comes from and what is done to it."""

    input: int
    operation: str


Cell = tuple[tuple[Edge, ...], ...]
"""For each node its edges, strongest first."""


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """A derived architecture.

    `cells` is one cell that all layers share (alpha was shared), or one for each layer. `path[l]` is the width level of
    layer l, an index into `width_factors`: level k has `width * width_factors[k]` channels. `activation` stands before
    every convolution, `norm` behind it. The network works on blocks of `downscale` x `downscale` pixels; if it `reads_stem`,
    so does what follows its last cell.
    """

    space: str
    cells: tuple[Cell, ...]
    path: tuple[int, ...]
    width_factors: tuple[float, ...]
    residual: bool
    activation: str
    downscale: int = 1
    norm: str = "batch"
    reads_stem: bool = False

    def __post_init__(self) -> None:
        operations_of(self.space)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(ACTIVATIONS)}, got {shown(self.activation)}.")
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {list(NORMS)}, got {shown(self.norm)}.")
        if not isinstance(self.downscale, int) or not 1 <= self.downscale <= MOST_DOWNSCALE:
            raise ValueError(f"downscale must be a whole number, 1 to {MOST_DOWNSCALE}, got {self.downscale!r}.")
        if not self.path or not self.cells or not all(self.cells):
            raise ValueError("a genotype needs at least one node and one layer, got none; derive it again.")
        if len(self.cells) not in (1, self.layers):
            raise ValueError(
                f"a genotype needs one cell, or one for each of its {self.layers} layers, got {len(self.cells)}."
            )
        if len({len(cell) for cell in self.cells}) > 1:
            raise ValueError(
                f"all cells must have as many nodes as the first, got {[len(cell) for cell in self.cells]}."
            )
        edges = sum(map(len, self.cells[0])) * self.layers
        if self.layers > MOST_LAYERS or max(edges, sum(len(node) for cell in self.cells for node in cell)) > MOST_EDGES:
            raise ValueError(
                f"a genotype may have {MOST_LAYERS} layers and keep {MOST_EDGES} edges in them, got {self.layers} layers "
                f"with {edges} edges or more."
            )
        for cell in self.cells:
            self._check(cell)
        factors = self.width_factors
        if not factors or list(factors) != sorted(set(factors)) or factors[0] <= 0 or factors[-1] > LARGEST_FACTOR:
            raise ValueError(
                f"width_factors must be positive and ascending, one at least and none above {LARGEST_FACTOR}, got "
                f"{shown(list(factors))}."
            )
        for layer, (before, level) in enumerate(zip((0, *self.path), self.path, strict=False)):
            if not 0 <= level < len(self.width_factors):
                raise ValueError(f"layer {layer} has width level {level}, outside 0 to {len(self.width_factors) - 1}.")
            if abs(level - before) > 1:
                raise ValueError(
                    f"layer {layer} goes from width level {before} to {level}; the space moves by one level at most "
                    "(the stem has level 0)."
                )

    def _check(self, cell: Cell) -> None:
        legal = [name for name in operations_of(self.space) if name != "none"]
        for node, edges in enumerate(cell):
            if not edges:
                raise ValueError(f"node {node} must keep at least one edge, got none; derive the genotype again.")
            for edge in edges:
                if not 0 <= edge.input < node + 2:
                    raise ValueError(f"node {node} can read inputs 0 to {node + 1}, got {edge.input}.")
                if edge.operation not in legal:
                    raise ValueError(f"an edge's operation must be one of {legal}, got {shown(edge.operation)}.")

    def cell_of(self, layer: int) -> Cell:
        """The cell of a layer."""
        return self.cells[layer if len(self.cells) > 1 else 0]

    @property
    def nodes(self) -> int:
        """Nodes in a cell."""
        return len(self.cells[0])

    @property
    def layers(self) -> int:
        """Cells in the network."""
        return len(self.path)

    @property
    def endpoint(self) -> int | None:
        """The last layer of width level 0, which the decoder of `hinas` reads too; None without one, or if it is the last."""
        narrow = [layer for layer, level in enumerate(self.path) if level == 0]
        return narrow[-1] if narrow and narrow[-1] < self.layers - 1 else None


def operations_of(space: str) -> tuple[str, ...]:
    """The candidate operations of a space of cells, in the order of alpha's columns; another space is refused."""
    operations: tuple[str, ...] | None = getattr(contract.find(space), "operations", None)
    if operations is None:
        raise ValueError(
            f"space must be one of cells and widths, got {shown(space)}; its genotypes are of another kind."
        )
    return operations


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a JSON object, with the schema's version."""
    return {
        "version": VERSION,
        "space": genotype.space,
        "cells": [
            [[{"input": e.input, "operation": e.operation} for e in edges] for edges in cell] for cell in genotype.cells
        ],
        "path": list(genotype.path),
        "width_factors": list(genotype.width_factors),
        "residual": genotype.residual,
        "activation": genotype.activation,
        "downscale": genotype.downscale,
        "norm": genotype.norm,
        "reads_stem": genotype.reads_stem,
    }


def from_json(value: Any) -> Genotype:
    """The inverse of `to_json`; another version, missing or unknown keys and values of another type are refused and named.

    Versions 1 and 2 are read too: 1 had one `cell` for all layers and always ReLU, 2 nothing of `SINCE_3`.
    """
    if isinstance(value, dict) and value.get("version") == 1 and "cell" in value:
        others = {key: part for key, part in value.items() if key != "cell"}
        value = others | {"version": 2, "cells": [value["cell"]], "activation": "relu"}
    if isinstance(value, dict) and value.get("version") == 2 and not set(SINCE_3) & set(value):
        value = value | SINCE_3 | {"version": VERSION}
    expected = {"version", "space", "cells", "path", "width_factors", "residual", "activation", *SINCE_3}
    if not isinstance(value, dict) or set(value) != expected:
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"a genotype must have exactly the keys {sorted(expected)}, got {shown(got)}.")
    if value["version"] != VERSION:
        raise ValueError(
            f"this nasir reads genotype versions 1 to {VERSION}, got {shown(value['version'])}; derive it again."
        )
    return reading.build({key: part for key, part in value.items() if key != "version"}, Genotype, "genotype")


def save(genotype: Genotype, path: Path) -> None:
    """Write `genotype.json`."""
    write_json(path, to_json(genotype))


def load(path: Path) -> Genotype:
    """Read `genotype.json`; a malformed file is refused with its name."""
    try:
        return from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
