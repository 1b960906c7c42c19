"""Is the search collapsing? What alpha and beta say about it at a step, and what discretising would lose."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasir.layers.keeping import put_back
from nasir.spaces.cells import widths
from nasir.spaces.cells.cell import edges
from nasir.spaces.cells.decode import ranking_logits, step_evidence, strongest_edges, viterbi
from nasir.spaces.cells.genotype import Cell, operations_of
from nasir.spaces.shared.logits import CERTAIN, mean_entropy, places


def architecture_facts(alpha: Tensor, beta: Tensor, space: str, norm: str = "incoming") -> dict[str, float]:
    """How decided the architecture is.

    Args:
        alpha: logits, shape (edges, operations), or (layers, edges, operations).
        beta: logits, shape (layers, widths, 3).
        space: names alpha's columns.
        norm: of beta, `incoming` or `outgoing`.

    Returns:
        `alpha_entropy` (mean over edges, nats), `beta_entropy` (nats, see `nasir.spaces.cells.widths.width_entropy`),
        `skip_share` and `none_share` (mean softmax weight over edges).
    """
    names = operations_of(space)
    weights = alpha.detach().softmax(dim=-1)
    return {
        "alpha_entropy": mean_entropy(alpha),
        "beta_entropy": widths.width_entropy(beta.detach(), norm),
        "skip_share": weights[..., names.index("skip")].mean().item(),
        "none_share": weights[..., names.index("none")].mean().item(),
    }


def ranks(alpha: Tensor, space: str) -> Tensor:
    """The place of each learnable operation on its edge, 0 = strongest; of equal ones the first column comes first."""
    learnable = [column for column, name in enumerate(operations_of(space)) if name not in ("skip", "none")]
    return places(alpha[..., learnable])


def derived_cells(alpha: Tensor, nodes: int, space: str, inputs: int, none: str = "ranked") -> list[Cell]:
    """The cell that would be derived now (`nasir.spaces.cells.decode`); with an alpha for each layer, that of each layer."""
    weights = ranking_logits(alpha.detach(), operations_of(space), none).softmax(dim=-1)
    return [
        strongest_edges(table, nodes, operations_of(space), inputs) for table in weights.view(-1, *alpha.shape[-2:])
    ]


def most_skips(alpha: Tensor, nodes: int, space: str, inputs: int, none: str = "ranked") -> int:
    """The most `skip` that one derived cell has."""
    return max(
        sum(edge.operation == "skip" for kept in cell for edge in kept)
        for cell in derived_cells(alpha, nodes, space, inputs, none)
    )


def one_hot_alpha(alpha: Tensor, nodes: int, space: str, inputs: int, none: str = "ranked") -> Tensor:
    """Logits whose softmax is 1 for what is derived from alpha now: kept edges' operations, `none` on all other edges."""
    names = operations_of(space)
    logits = torch.zeros_like(alpha)
    cells = derived_cells(alpha, nodes, space, inputs, none)
    for layer, cell in zip(logits.view(-1, *alpha.shape[-2:]), cells, strict=True):
        kept = {(node, edge.input): edge.operation for node, edges_in in enumerate(cell) for edge in edges_in}
        for row, place in zip(layer, edges(nodes), strict=True):
            row[names.index(kept.get(place, "none"))] = CERTAIN
    return logits


def one_hot_beta(beta: Tensor, norm: str) -> Tensor:
    """Logits under which each cell of the derived path reads only the path's cell before it.

    The cell gets that one's output with the weight 1 and all others' with 0. Cells beside the path go on as before any
    learning.

    Args:
        beta: logits, shape (layers, widths, 3).
        norm: `incoming` or `outgoing`; the path is derived by it, the result is right for both.
    """
    count = beta.shape[1]
    logits = torch.zeros_like(beta)
    before = 0
    for layer, level in enumerate(viterbi(step_evidence(beta.detach().double(), norm))):
        for source in widths.sources(layer, level, count):
            logits[layer, source, level - source + 1] = CERTAIN if source == before else -CERTAIN
        before = level
    return logits


@contextmanager
def discretised(
    alpha: nn.Parameter, beta: nn.Parameter, nodes: int, space: str, norm: str, inputs: int, none: str = "ranked"
) -> Iterator[None]:
    """Meanwhile alpha and beta are one-hot at what they derive to; afterwards they are what they were."""
    with put_back([alpha, beta]):
        alpha.data.copy_(one_hot_alpha(alpha.detach(), nodes, space, inputs, none))
        beta.data.copy_(one_hot_beta(beta.detach(), norm))
        yield
