"""Is the search collapsing? What alpha and beta say about it at a step, and what discretising would lose."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nasir.genotype import OPERATIONS, Cell
from nasir.search.derive import step_evidence, strongest_edges, viterbi
from nasir.search.gradients import put_back
from nasir.spaces import widths
from nasir.spaces.cells import edges

INPUTS = 2
"""Edges kept into each node of the cells that are derived for the monitor, as in the paper."""

CERTAIN = 1000.0
"""A logit this far above its rivals has the weight 1 exactly and they have 0, in float32 and float64."""


def architecture_facts(alpha: Tensor, beta: Tensor, space: str, norm: str = "incoming") -> dict[str, float]:
    """How decided the architecture is.

    Args:
        alpha: logits, shape (edges, operations), or (layers, edges, operations).
        beta: logits, shape (layers, widths, 3).
        space: names alpha's columns.
        norm: of beta, `incoming` or `outgoing`.

    Returns:
        `alpha_entropy` (mean over edges, nats), `beta_entropy` (nats, see `nasir.spaces.widths.width_entropy`),
        `skip_share` and `none_share` (mean softmax weight over edges).
    """
    names = OPERATIONS[space]
    weights = alpha.detach().softmax(dim=-1)
    return {
        "alpha_entropy": -torch.special.xlogy(weights, weights).sum(-1).mean().item(),
        "beta_entropy": widths.width_entropy(beta.detach(), norm),
        "skip_share": weights[..., names.index("skip")].mean().item(),
        "none_share": weights[..., names.index("none")].mean().item(),
    }


def rank_facts(alpha: Tensor, before: Tensor | None, stable: float, space: str) -> dict[str, float]:
    """How much the ranking of the learnable operations, all but `skip` and `none`, has moved since the score before.

    Args:
        alpha: logits, shape (..., operations).
        before: alpha at the score before; None if there was none since the warm-up.
        stable: `rank_stable_scores` of the score before.
        space: names alpha's columns.

    Returns:
        `rank_stable_scores`: for how many scores the ranking has been the same on every edge, 0 after a change or at the
        first score. With a score before, also `rank_correlation`: Spearman's rho of the two rankings, mean over edges.
    """
    if before is None:
        return {"rank_stable_scores": 0.0}
    now, then = ranks(alpha, space), ranks(before, space)
    count = now.shape[-1]
    rho = 1 - 6 * (now - then).square().sum(dim=-1) / (count * (count**2 - 1))
    return {
        "rank_stable_scores": stable + 1 if torch.equal(now, then) else 0.0,
        "rank_correlation": rho.mean().item(),
    }


def ranks(alpha: Tensor, space: str) -> Tensor:
    """The place of each learnable operation on its edge, 0 = strongest; of equal ones the first column comes first."""
    learnable = [column for column, name in enumerate(OPERATIONS[space]) if name not in ("skip", "none")]
    order = alpha.detach().cpu()[..., learnable].argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1)


def derived_cells(alpha: Tensor, nodes: int, space: str) -> list[Cell]:
    """The cell that would be derived now; with an alpha for each layer, that of each layer."""
    weights = alpha.detach().double().softmax(dim=-1)
    return [strongest_edges(table, nodes, OPERATIONS[space], INPUTS) for table in weights.view(-1, *alpha.shape[-2:])]


def most_skips(alpha: Tensor, nodes: int, space: str) -> int:
    """The most `skip` that one derived cell has."""
    return max(
        sum(edge.operation == "skip" for kept in cell for edge in kept) for cell in derived_cells(alpha, nodes, space)
    )


def one_hot_alpha(alpha: Tensor, nodes: int, space: str) -> Tensor:
    """Logits whose softmax is 1 for what is derived from alpha now: kept edges' operations, `none` on all other edges."""
    names = OPERATIONS[space]
    logits = torch.zeros_like(alpha)
    for layer, cell in zip(logits.view(-1, *alpha.shape[-2:]), derived_cells(alpha, nodes, space), strict=True):
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
def discretised(supernet: Any, nodes: int, space: str, norm: str) -> Iterator[None]:
    """Meanwhile the supernet's alpha and beta are one-hot at what they derive to; afterwards they are what they were."""
    with put_back([supernet.alpha, supernet.beta]):
        supernet.alpha.data.copy_(one_hot_alpha(supernet.alpha.detach(), nodes, space))
        supernet.beta.data.copy_(one_hot_beta(supernet.beta.detach(), norm))
        yield


def watch(
    supernet: Any,
    *,
    nodes: int,
    space: str,
    norm: str,
    before: Tensor | None,
    stable: float,
    score: float,
    rescore: Callable[[], float],
) -> dict[str, float]:
    """What is looked at with every score on V.

    Args:
        supernet: has `alpha` and `beta`; changed for the call only.
        nodes: in a cell.
        space: names alpha's columns.
        norm: of beta.
        before, stable: see `rank_facts`.
        score: of the supernet on V.
        rescore: scores the supernet as it is at the call.

    Returns:
        `derived_skips` (see `most_skips`), what `rank_facts` gives, and `discretisation_gap`: `score` less that of the
        supernet with alpha and beta one-hot at what they derive to and everything else as it is. That is no score of the
        derived network: cells beside the path still reach the output convolution.
    """
    with discretised(supernet, nodes, space, norm):
        gap = score - rescore()
    return {
        "derived_skips": float(most_skips(supernet.alpha, nodes, space)),
        **rank_facts(supernet.alpha, before, stable, space),
        "discretisation_gap": gap,
    }
