"""Cells: the supercell with every operation on every edge, and the derived cell with the few that were kept.

A cell's inputs are counted as 0: h_{l-2}, 1: h_{l-1}, 2 + i: node i. Its output is the concatenation of its nodes
(IR-NAS, equations 1 to 3).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nasir.spaces.cells.genotype import Edge
from nasir.spaces.cells.operations import Style, operation, pointwise
from nasir.spaces.shared.parts import Take, fresh


def take_at(take: Take, where: str, name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """A part whose name says where in the network it stands."""
    return take(f"{where}, {name}", make)


def edges(nodes: int) -> list[tuple[int, int]]:
    """All (node, input) pairs of a cell, in the order of alpha's rows: node i reads inputs 0 to i + 1."""
    return [(node, source) for node in range(nodes) for source in range(node + 2)]


EXCLUDED = -1000.0
"""Logit of an operation that is not usable: beside logits of any search its weight is 0 exactly."""


def exclude(alpha: Tensor, operations: Sequence[str], usable: Sequence[str]) -> None:
    """Give the operations that are not usable no weight, in place; `none` is always usable, and empty means all are.

    Args:
        alpha: logits, shape (..., operations).
        operations: names of its columns.
        usable: names.
    """
    if usable:
        columns = [column for column, name in enumerate(operations) if name not in (*usable, "none")]
        alpha.data[..., columns] = EXCLUDED


class SuperCell(nn.Module):
    """Every operation on every edge, weighted by softmax(alpha) (equations 1 and 2).

    Args:
        operations: names, in the order of alpha's columns.
        nodes: N.
        channels: of each node.
        style: of the operations.
    """

    def __init__(self, operations: Sequence[str], nodes: int, channels: int, style: Style) -> None:
        super().__init__()
        self.edges = edges(nodes)
        self.names, self.nodes, self.channels, self.style = tuple(operations), nodes, channels, style
        self.part = channels // style.partial  # channels that pass through the operations
        self.operations = nn.ModuleList(
            nn.ModuleList(operation(name, channels // style.partial, False, style) for name in operations)
            for _ in self.edges
        )

    def forward(self, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Compute h_l.

        Args:
            before_last: f_{l-2}, shape (N, C, H, W).
            last: the weighted sum of f_{l-1}, same shape.
            weights: softmax(alpha), shape (edges, operations).

        Returns:
            Shape (N, nodes * C, H, W).
        """
        values = [before_last, last]
        for node in range(self.nodes):
            rows = [row for row, (target, _) in enumerate(self.edges) if target == node]
            values.append(sum((self._mix(row, values[self.edges[row][1]], weights) for row in rows), torch.zeros(())))
        return torch.cat(values[2:], dim=1)

    def _mix(self, row: int, x: Tensor, weights: Tensor) -> Tensor:
        """One edge. With partial channels (Xu et al., ICLR 2020, equation 3) the rest of x goes past the operations."""
        choices = self.operations[row]
        assert isinstance(choices, nn.ModuleList)
        part, rest = x.split((self.part, self.channels - self.part), dim=1)
        mixed = sum(
            (weight * choice(part) for weight, choice in zip(weights[row], choices, strict=True)), torch.zeros(())
        )
        return shuffle(torch.cat((mixed, rest), dim=1), self.style.partial) if self.style.partial > 1 else mixed


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave `groups` blocks of channels, so that other channels pass through the operations of the next edge."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class DerivedCell(nn.Module):
    """The kept edges of a genotype's cell.

    Args:
        cell: for each node its edges.
        channels: of each node.
        affine: of batch normalisation.
        style: of the operations.
        take: gives the operations, named by node, input and kind.
    """

    def __init__(
        self, cell: Sequence[Sequence[Edge]], channels: int, affine: bool, style: Style, take: Take = fresh
    ) -> None:
        super().__init__()
        self.inputs = [[edge.input for edge in kept] for kept in cell]

        def of(node: int, edge: Edge) -> nn.Module:
            make = partial(operation, edge.operation, channels, affine, style)
            return take(f"node {node}, input {edge.input}, {edge.operation}", make)

        self.operations = nn.ModuleList(
            nn.ModuleList(of(node, edge) for edge in kept) for node, kept in enumerate(cell)
        )

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Compute h_l, shape (N, nodes * C, H, W), from f_{l-2} and f_{l-1}, shape (N, C, H, W)."""
        values = [before_last, last]
        for sources, choices in zip(self.inputs, self.operations, strict=True):
            assert isinstance(choices, nn.ModuleList)
            terms = [choice(values[source]) for source, choice in zip(sources, choices, strict=True)]
            values.append(sum(terms[1:], terms[0]))
        return torch.cat(values[2:], dim=1)


def take_layer(
    take: Take,
    where: str,
    reads: tuple[int, int],
    cell: Sequence[Sequence[Edge]],
    channels: int,
    affine: bool,
    style: Style,
) -> tuple[nn.Module, nn.Module, DerivedCell]:
    """A layer of a derived network: the 1x1 convolutions of h_{l-2} and h_{l-1} to the cell's width, and the cell.

    Args:
        take: gives the parts.
        where: the layer, in their names.
        reads: channels of h_{l-2} and of h_{l-1}.
        cell, channels, affine, style: of the cell.
    """
    take_here = partial(take_at, take, where)
    before_last, last = (
        take_here(f"{name} of {count} channels", partial(pointwise, count, channels, affine, style.norm))
        for name, count in zip(("the last but one", "the last"), reads, strict=True)
    )
    return before_last, last, DerivedCell(cell, channels, affine, style, take_here)
