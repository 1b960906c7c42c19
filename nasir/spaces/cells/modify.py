"""Modified architectures: was the one that the search found a proper one? (IR-NAS, section 4.3, figure 6 and table 4).

The paper changes what was found by hand, in two ways, trains both and compares:

    r1   conventional convolutions become deformable, which are the more flexible ones (figure 6 c)
    r2   "the connection relationships between nodes inside each cell" are changed (figure 6 d)

It shows one example of each for each task and no rule. Here r1 replaces every one of them, and r2 is drawn at random.
"""

import random
from dataclasses import replace

from nasir.config.derive import MODIFICATIONS
from nasir.spaces.cells.genotype import Cell, Edge, Genotype, operations_of
from nasir.spaces.contract import NothingToModifyError

PLAIN, DEFORMABLE = "conv_3x3", "def_3x3"


def modify(genotype: Genotype, kind: str, seed: int) -> Genotype:
    """The genotype of a row of table 4.

    Args:
        genotype: as derived.
        kind: `none` (the genotype itself), `r1` (see `deform`) or `r2` (see `rewire`).
        seed: of r2; the others draw nothing.

    Raises:
        ValueError: for another kind.
        NothingToModifyError: if there is nothing to modify.
    """
    if kind == "none":
        return genotype
    if kind == "r1":
        return deform(genotype)
    if kind == "r2":
        return rewire(genotype, seed)
    raise ValueError(f"a modification must be one of {', '.join(MODIFICATIONS)}; got {kind!r}.")


def deform(genotype: Genotype) -> Genotype:
    """Every `conv_3x3` becomes a `def_3x3`, on the same edge.

    Raises:
        ValueError: if the space has no `def_3x3`.
        NothingToModifyError: if the genotype has no `conv_3x3`.
    """
    if DEFORMABLE not in operations_of(genotype.space):
        raise ValueError(
            f"modification r1 needs a space with {DEFORMABLE}, got a genotype of {genotype.space}; "
            "take one of irnas, or the modification r2."
        )
    if not any(edge.operation == PLAIN for cell in genotype.cells for edges in cell for edge in edges):
        raise NothingToModifyError(
            f"modification r1 needs a genotype with a {PLAIN}, got one without; there is nothing to replace, take r2."
        )
    return replace(
        genotype,
        cells=tuple(
            tuple(
                tuple(replace(edge, operation=DEFORMABLE) if edge.operation == PLAIN else edge for edge in edges)
                for edges in cell
            )
            for cell in genotype.cells
        ),
    )


def rewire(genotype: Genotype, seed: int) -> Genotype:
    """Every node keeps its operations, and draws anew which inputs they read.

    A cell is drawn uniformly among all those in which each node's edges read different inputs (as `derive` keeps them, of
    0 to node + 1) and at least one node differs from what it was; the order of a node's edges is no difference, its value is
    their sum. Of a genotype with a cell for each layer, every cell changes that can.

    Args:
        genotype: as derived.
        seed: the draws are those of the Mersenne Twister with the key "r2 SEED", the same on every machine.

    Raises:
        ValueError: if a node has more edges than inputs.
        NothingToModifyError: if no cell can be wired in another way.
    """
    for node, edges in ((node, edges) for cell in genotype.cells for node, edges in enumerate(cell)):
        if len(edges) > node + 2:
            raise ValueError(
                f"modification r2 needs nodes whose edges can read different inputs, got node {node} with {len(edges)} "
                f"edges and {node + 2} inputs; derive the genotype again."
            )
    choice = random.Random(f"r2 {seed}")
    cells = tuple(_rewired(cell, choice) for cell in genotype.cells)
    if cells == genotype.cells:
        raise NothingToModifyError(
            "modification r2 needs a cell that can be wired in another way, got nodes that each read all their inputs "
            "with one operation; take a genotype of two nodes or more."
        )
    return replace(genotype, cells=cells)


def _rewired(cell: Cell, choice: random.Random) -> Cell:
    if not any(_has_choice(node, edges) for node, edges in enumerate(cell)):
        return cell
    while True:
        drawn = tuple(
            tuple(
                replace(edge, input=source)
                for edge, source in zip(edges, choice.sample(range(node + 2), len(edges)), strict=True)
            )
            for node, edges in enumerate(cell)
        )
        if _wiring(drawn) != _wiring(cell):
            return drawn


def _has_choice(node: int, edges: tuple[Edge, ...]) -> bool:
    """Whether a node's operations can read its inputs in another way than now."""
    reads_one_twice = len({edge.input for edge in edges}) < len(edges)
    return len(edges) < node + 2 or len({edge.operation for edge in edges}) > 1 or reads_one_twice


def _wiring(cell: Cell) -> list[list[tuple[int, str]]]:
    """What each node reads, whatever the order of its edges."""
    return [sorted((edge.input, edge.operation) for edge in edges) for edges in cell]
