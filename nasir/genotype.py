"""The genotype: the discrete choice of a search, a plain value without tensors.

    genotype   which operations and inputs each node keeps, and which width each layer has
    node       a feature map in a cell; its value is the sum over its kept edges
    edge       one (input, operation) pair; input 0 is h_{l-2}, input 1 is h_{l-1}, input 2 + i is node i

The words are those of IR-NAS (Zhang et al., 2019), sections 3.1 and 3.2. The file is JSON with a version; it is parsed, never
evaluated.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.files import read_json, write_json

VERSION = 1

OPERATIONS = {"irnas": ("conv_3x3", "sep_3x3", "dil_3x3", "def_3x3", "skip", "none")}
"""The candidate operations of each space, in the order of alpha's columns."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One kept edge: where a node's value comes from and what is done to it."""

    input: int
    operation: str


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """A derived architecture.

    `cell[i]` holds the edges into node i, strongest first; all layers share the cell (alpha is shared). `path[l]` is the
    width level of layer l, an index into `width_factors`: level k has `width * width_factors[k]` channels.
    """

    space: str
    cell: tuple[tuple[Edge, ...], ...]
    path: tuple[int, ...]
    width_factors: tuple[float, ...]
    residual: bool

    def __post_init__(self) -> None:
        if self.space not in OPERATIONS:
            raise ValueError(f"space must be one of {list(OPERATIONS)}, got {self.space!r}.")
        if not self.cell or not self.path:
            raise ValueError("a genotype needs at least one node and one layer, got none; derive it again.")
        for node, edges in enumerate(self.cell):
            if not edges:
                raise ValueError(f"node {node} must keep at least one edge, got none; derive the genotype again.")
            for edge in edges:
                if not 0 <= edge.input < node + 2:
                    raise ValueError(f"node {node} can read inputs 0 to {node + 1}, got {edge.input}.")
                if edge.operation not in OPERATIONS[self.space] or edge.operation == "none":
                    legal = [name for name in OPERATIONS[self.space] if name != "none"]
                    raise ValueError(f"an edge's operation must be one of {legal}, got {edge.operation!r}.")
        if list(self.width_factors) != sorted(set(self.width_factors)) or self.width_factors[0] <= 0:
            raise ValueError(f"width_factors must be positive and ascending, got {list(self.width_factors)}.")
        for layer, (before, level) in enumerate(zip((0, *self.path), self.path, strict=False)):
            if not 0 <= level < len(self.width_factors):
                raise ValueError(f"layer {layer} has width level {level}, outside 0 to {len(self.width_factors) - 1}.")
            if abs(level - before) > 1:
                raise ValueError(
                    f"layer {layer} goes from width level {before} to {level}; the space moves by one level at most "
                    "(the stem has level 0)."
                )

    @property
    def nodes(self) -> int:
        """Nodes in a cell."""
        return len(self.cell)

    @property
    def layers(self) -> int:
        """Cells in the network."""
        return len(self.path)


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a JSON object, with the schema's version."""
    return {
        "version": VERSION,
        "space": genotype.space,
        "cell": [[{"input": e.input, "operation": e.operation} for e in edges] for edges in genotype.cell],
        "path": list(genotype.path),
        "width_factors": list(genotype.width_factors),
        "residual": genotype.residual,
    }


def from_json(value: Any) -> Genotype:
    """The inverse of `to_json`; another version and missing or unknown keys are refused and named."""
    expected = {"version", "space", "cell", "path", "width_factors", "residual"}
    if not isinstance(value, dict) or set(value) != expected:
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"a genotype must have exactly the keys {sorted(expected)}, got {got}.")
    if value["version"] != VERSION:
        raise ValueError(f"this nasir reads genotype version {VERSION}, got {value['version']}; derive it again.")
    try:
        cell = tuple(tuple(Edge(input=e["input"], operation=e["operation"]) for e in edges) for edges in value["cell"])
        path, factors = tuple(value["path"]), tuple(value["width_factors"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a genotype's cell must be lists of {{input, operation}}, got {value['cell']!r}.") from error
    return Genotype(space=value["space"], cell=cell, path=path, width_factors=factors, residual=bool(value["residual"]))


def save(genotype: Genotype, path: Path) -> None:
    """Write `genotype.json`."""
    write_json(path, to_json(genotype))


def load(path: Path) -> Genotype:
    """Read `genotype.json`; a malformed file is refused with its name."""
    try:
        return from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
