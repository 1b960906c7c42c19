"""From the relaxed to the discrete: a genotype out of alpha and beta (IR-NAS, sections 3.1 and 3.2)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nasir.genotype import OPERATIONS, Cell, Edge, Genotype
from nasir.spaces.cells import edges
from nasir.spaces.widths import levels, sources, step_weights, width_weights


def derive(
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
) -> Genotype:
    """Derive the genotype.

    Args:
        alpha: logits, shape (edges, operations), or (layers, edges, operations) for a cell of each layer.
        beta: logits, shape (layers, widths, 3).
        space, nodes, width_factors, residual, activation, beta_norm: as in the search.
        inputs: edges kept into each node.

    Raises:
        ValueError: if alpha or beta has another shape than the space gives, or holds values that are not finite.
    """
    table = (len(edges(nodes)), len(OPERATIONS[space]))
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
            strongest_edges(weights, nodes, OPERATIONS[space], inputs)
            for weights in alpha.double().softmax(dim=-1).view(-1, *table)
        ),
        path=viterbi(step_evidence(beta.double(), beta_norm)),
        width_factors=tuple(width_factors),
        residual=residual,
        activation=activation,
    )


def strongest_edges(weights: Tensor, nodes: int, operations: Sequence[str], inputs: int) -> Cell:
    """For each node the `inputs` edges whose strongest operation except `none` weighs most, strongest first.

    DARTS, section 2.4. Equal weights keep the order of inputs and operations.

    Args:
        weights: softmax(alpha), shape (edges, operations).
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
