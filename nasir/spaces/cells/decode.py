"""From the relaxed to the discrete: a genotype out of alpha and beta (IR-NAS, sections 3.1 and 3.2)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from nasir.spaces.cells.cell import edges
from nasir.spaces.cells.genotype import Cell, Edge, Genotype, operations_of
from nasir.spaces.cells.widths import levels, sources, step_weights, width_weights


def decode(
    alpha: Tensor,
    beta: Tensor,
    *,
    space: str,
    nodes: int,
    width_factors: Sequence[float],
    residual: bool,
    activation: str,
    beta_norm: str,
    inputs: int,
    none: str = "ranked",
) -> Genotype:
    """Derive the genotype.

    Args:
        alpha: logits, shape (edges, operations), or (layers, edges, operations) for a cell of each layer.
        beta: logits, shape (layers, widths, 3).
        space, nodes, width_factors, residual, activation, beta_norm: as in the search.
        inputs: edges kept into each node.
        none: see `ranking_logits`.

    Raises:
        ValueError: if alpha or beta has another shape than the space gives, or holds values that are not finite.
    """
    table = (len(edges(nodes)), len(operations_of(space)))
    if tuple(alpha.shape) not in (table, (len(beta), *table)):
        raise ValueError(
            f"alpha must have the shape {table} (edges, operations) for {nodes} nodes, or that for each of "
            f"{len(beta)} layers, got {tuple(alpha.shape)}; derive from the search that these settings belong to."
        )
    if beta.ndim != 3 or tuple(beta.shape[1:]) != (len(width_factors), 3):
        raise ValueError(
            f"beta must have the shape (layers, {len(width_factors)}, 3) for these widths, got {tuple(beta.shape)}; "
            "derive from the search that these settings belong to."
        )
    if not (alpha.isfinite().all() and beta.isfinite().all()):
        raise ValueError("alpha and beta must be finite, got values that are not; the search diverged, repeat it.")
    return Genotype(
        space=space,
        cells=tuple(
            strongest_edges(weights, nodes, operations_of(space), inputs)
            for weights in ranking_logits(alpha, operations_of(space), none).softmax(dim=-1).view(-1, *table)
        ),
        path=viterbi(step_evidence(beta.double(), beta_norm)),
        width_factors=tuple(width_factors),
        residual=residual,
        activation=activation,
    )


def ranking_logits(alpha: Tensor, operations: Sequence[str], none: str) -> Tensor:
    """The logits whose softmax ranks the edges of a node against each other, in float64.

    Args:
        alpha: logits, shape (..., operations).
        operations: names, in the order of alpha's columns.
        none: `ranked`: alpha itself, so that a strong `none` weakens its edge, though it is never chosen (DARTS, section
            2.4). `left_out`: minus infinity for `none`, so that the softmax is over the other operations alone.
    """
    if none == "ranked":
        return alpha.double()
    is_none = torch.tensor([name == "none" for name in operations], device=alpha.device)
    return alpha.double().masked_fill(is_none, -math.inf)


def strongest_edges(weights: Tensor, nodes: int, operations: Sequence[str], inputs: int) -> Cell:
    """For each node the `inputs` edges whose strongest operation except `none` weighs most, strongest first.

    DARTS, section 2.4. Equal weights keep the order of inputs and operations.

    Args:
        weights: the softmax of `ranking_logits`, shape (edges, operations).
    """
    allowed = [column for column, name in enumerate(operations) if name != "none"]
    best: list[list[tuple[float, int, str]]] = [[] for _ in range(nodes)]
    for (node, source), row in zip(edges(nodes), weights.tolist(), strict=True):
        column = max(allowed, key=lambda c: row[c])
        best[node].append((row[column], source, operations[column]))
    return tuple(
        tuple(
            Edge(input=source, operation=name)
            for _, source, name in sorted(candidates, key=lambda candidate: -candidate[0])[:inputs]
        )
        for candidates in best
    )


Steps = list[dict[tuple[int, int], float]]
"""For each layer: (level before, level) -> how much the betas speak for that step, natural logarithm."""


def step_evidence(beta: Tensor, norm: str) -> Steps:
    """How much the betas speak for every step that exists.

    The paper takes the betas as probabilities. Normalised over a cell's own steps (`outgoing`) they are: the product of the
    p along a path is its probability, and the evidence of a step is log p.

    Equation 5 normalises them over the cells that feed a cell (`incoming`), so that a cell with one feeder has p = 1
    whatever was learnt, and the product of the p alone would choose such cells by their place in the space: in two layers
    always levels 1, 2. Here the evidence is log(n p), n = the number of cells that feed the cell. Relative to the uniform
    1 / n, a step that was never in question counts for nothing, and before any learning all paths are equal.

    Args:
        beta: logits, shape (layers, widths, 3).
        norm: `incoming` or `outgoing`, as in the search.
    """
    return [(_of_paths if norm == "outgoing" else _of_feeders)(beta, layer) for layer in range(len(beta))]


def _of_paths(beta: Tensor, layer: int) -> dict[tuple[int, int], float]:
    before = levels(layer - 1, beta.shape[1]) if layer > 0 else range(1)
    return {
        (source, level): torch.log(weight).item()
        for source in before
        for level, weight in step_weights(beta, layer, source).items()
    }


def _of_feeders(beta: Tensor, layer: int) -> dict[tuple[int, int], float]:
    widths = beta.shape[1]
    evidence: dict[tuple[int, int], float] = {}
    for level in levels(layer, widths):
        feeding = sources(layer, level, widths)
        logs = torch.log(width_weights(beta, layer, level, "incoming")).tolist()
        evidence |= {(source, level): math.log(len(feeding)) + p for source, p in zip(feeding, logs, strict=True)}
    return evidence


def viterbi(steps: Steps) -> tuple[int, ...]:
    """The width path of the largest sum from the stem (level 0), one level for each layer.

    IR-NAS, section 3.2: the Viterbi algorithm. Sums of logarithms, so that long paths do not underflow. Of equal paths, the
    one that is lower in the last layer where they differ.
    """
    ends: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for layer in steps:
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for (before, level), evidence in sorted(layer.items()):
            if before not in ends:
                continue
            score, path = ends[before]
            if score + evidence > reached.get(level, (-math.inf, ()))[0]:
                reached[level] = (score + evidence, (*path, level))
        ends = reached
    return max(sorted(ends.items()), key=lambda end: end[1][0])[1][1]


def runner_up(found: Genotype, alpha: Tensor, beta: Tensor, norm: str, none: str = "ranked") -> Genotype | None:
    """What would be chosen next: of all genotypes one choice away, the one that the logits speak for most.

    A choice is the operation of a kept edge, which of the edges into a node is kept in place of its weakest, or the level of
    one layer. What each costs is compared in natural logarithms: of the softmax weight given up over the one taken, or of the
    path's evidence (`step_evidence`).

    Args:
        found: what `decode` made of alpha and beta.
        alpha: logits, shape (edges, operations), or (layers, edges, operations).
        beta: logits, shape (layers, widths, 3).
        norm: of beta, `incoming` or `outgoing`.
        none: see `ranking_logits`; as in `decode`.

    Returns:
        None if there is no other genotype.
    """
    names = operations_of(found.space)
    tables = ranking_logits(alpha, names, none).log_softmax(dim=-1).view(-1, *alpha.shape[-2:])
    rivals: list[tuple[float, Genotype]] = []
    for place, (cell, table) in enumerate(zip(found.cells, tables.tolist(), strict=True)):
        for loss, node, edges_in in _other_nodes(cell, table, names):
            changed = (*cell[:node], edges_in, *cell[node + 1 :])
            cells = (*found.cells[:place], changed, *found.cells[place + 1 :])
            rivals.append((loss, replace(found, cells=cells)))
    steps = step_evidence(beta.double(), norm)
    best = path_evidence(found.path, steps)
    for layer, level in enumerate(found.path):
        for other in (level - 1, level + 1):
            path = (*found.path[:layer], other, *found.path[layer + 1 :])
            evidence = path_evidence(path, steps)
            if evidence > -math.inf:
                rivals.append((best - evidence, replace(found, path=path)))
    return min(rivals, key=lambda rival: rival[0])[1] if rivals else None


def _other_nodes(
    cell: Cell, table: Sequence[Sequence[float]], names: Sequence[str]
) -> Iterator[tuple[float, int, tuple[Edge, ...]]]:
    """Each other choice for one node of a cell: what it gives up, the node, its edges then."""
    allowed = [column for column, name in enumerate(names) if name != "none"]
    rows = {place: row for place, row in zip(edges(len(cell)), table, strict=True)}
    for node, kept in enumerate(cell):
        for place, edge in enumerate(kept):
            row, own = rows[node, edge.input], names.index(edge.operation)
            others = [column for column in allowed if column != own]
            if others:
                next_best = max(others, key=lambda column: row[column])
                changed = replace(edge, operation=names[next_best])
                yield row[own] - row[next_best], node, (*kept[:place], changed, *kept[place + 1 :])
        left = [source for source in range(node + 2) if source not in {edge.input for edge in kept}]
        if left:
            best = [(max(rows[node, source][c] for c in allowed), source) for source in left]
            weight, source = max(best, key=lambda pair: pair[0])
            column = max(allowed, key=lambda c: rows[node, source][c])
            given_up = rows[node, kept[-1].input][names.index(kept[-1].operation)]
            yield given_up - weight, node, (*kept[:-1], Edge(input=source, operation=names[column]))


def path_evidence(path: Sequence[int], steps: Steps) -> float:
    """What the betas speak for a path from the stem (level 0): a sum of logarithms; minus infinity where a step is missing."""
    return sum(layer.get(step, -math.inf) for layer, step in zip(steps, pairwise((0, *path)), strict=True))
