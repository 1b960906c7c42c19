"""Which operations and edges a supernet of cells cannot do without: selection by removal in place of the largest alpha.

Wang et al., ICLR 2021 (DARTS-PT), algorithm 1 and, for the edges, appendix A.3: what is removed from the mixture is what
the supernet's score says it is worth, while alpha grows for `skip` as the supernet gets better (their section 3.2). As in
their code, the other weights stay as they are when one is removed: its weight goes to `none`, which adds nothing. Their code
also trains the alpha of edges that are not chosen yet, and of a node takes away the worst edge again and again; here alpha
rests, and all edges of a node are compared at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nasir.layers.keeping import put_back
from nasir.spaces.cells.cell import edges
from nasir.spaces.cells.genotype import operations_of
from nasir.spaces.cells.monitor import CERTAIN

if TYPE_CHECKING:  # it imports this module
    from nasir.spaces.cells.searching import RelaxedCells


def select(
    relaxed: "RelaxedCells", score: Callable[[], float], tune: Callable[[], None], generator: torch.Generator
) -> None:
    """Make alpha one-hot, edge by edge, at what the score misses most; beta stays as it is.

    1. The edges of the cell, or of all layers' cells, are taken in a random order. On each the operation, not `none`, without
       which the score is lowest is kept alone; then the weights are tuned.
    2. The nodes are taken in a random order. Of each the `inputs` edges without which the score is lowest are kept, each
       scored while all others are there; the others become `none`, and the weights are tuned again.

    Of equal scores the first operation, or edge, is kept. `RelaxedCells.decode` gives what was selected.

    Args:
        relaxed: the supernet; its alpha is changed, its weights by `tune`.
        score: of the supernet as it is at the call, higher is better.
        tune: trains the weights with alpha as it is at the call.
        generator: of both orders.
    """
    names, nodes = operations_of(relaxed.space), relaxed.section.nodes
    usable = [column for column, name in enumerate(names) if name in relaxed.usable]
    none, places = names.index("none"), edges(nodes)
    tables = relaxed.alpha.data.view(-1, len(places), len(names))

    def score_without(row: Tensor, column: int) -> float:
        with put_back([row]):
            row.copy_(without(row, column, none))
            return score()

    def keep(row: Tensor, column: int) -> None:
        row.zero_()
        row[column] = CERTAIN

    chosen: dict[tuple[int, int], int] = {}  # table and row -> column
    for number in torch.randperm(len(tables) * len(places), generator=generator).tolist():
        table, place = divmod(number, len(places))
        row = tables[table, place]
        scores = {column: score_without(row, column) for column in usable}
        chosen[table, place] = min(usable, key=lambda column: scores[column])
        keep(row, chosen[table, place])
        tune()

    for number in torch.randperm(len(tables) * nodes, generator=generator).tolist():
        table, node = divmod(number, nodes)
        rows = [place for place, (target, _) in enumerate(places) if target == node]
        if len(rows) <= relaxed.section.inputs:
            continue
        scores = {place: score_without(tables[table, place], chosen[table, place]) for place in rows}
        for place in sorted(rows, key=lambda place: scores[place])[relaxed.section.inputs :]:
            keep(tables[table, place], none)
        tune()


def without(logits: Tensor, column: int, none: int) -> Tensor:
    """Logits whose softmax is that of `logits` but for `column`, whose weight is 0, and `none`, which has it in addition.

    Args:
        logits: of one edge, shape (operations,).
        column: what is removed; not `none`.
        none: the column of `none`.
    """
    logs = logits.log_softmax(dim=-1)
    logs[none] = torch.logaddexp(logs[none], logs[column])
    logs[column] = -CERTAIN
    return logs
