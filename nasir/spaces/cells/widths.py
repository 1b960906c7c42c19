"""Width levels: which cells exist, which feed which, and how much each counts (IR-NAS, section 3.2).

`beta[l, k, d]` is the logit of the step from level k before layer l to level k + d - 1 in it. Two normalisations:

    incoming   softmax over the cells that feed a cell (equation 5)
    outgoing   softmax over the steps that a cell can take (the authors' later code, and Auto-DeepLab)
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def levels(layer: int, widths: int) -> range:
    """Width levels that layer `layer` (0-based) can have: one more with each layer from the stem's level 0."""
    return range(min(layer + 2, widths))


def sources(layer: int, level: int, widths: int) -> list[int]:
    """Width levels of the layer before that feed `level` (equation 5); the layer before the first is the stem, level 0."""
    before = levels(layer - 1, widths) if layer > 0 else range(1)
    return [source for source in before if abs(source - level) <= 1]


def targets(layer: int, source: int, widths: int) -> list[int]:
    """Width levels of layer `layer` that level `source` of the layer before feeds."""
    return [level for level in levels(layer, widths) if abs(source - level) <= 1]


def width_weights(beta: Tensor, layer: int, level: int, norm: str) -> Tensor:
    """The weights beta_k^i of equation 5 for one cell.

    Args:
        beta: logits, shape (layers, widths, 3).
        layer: l, 0-based.
        level: i.
        norm: `incoming` or `outgoing`.

    Returns:
        Shape (sources,), in the order of `sources(layer, level, widths)`. Their sum is 1 if the norm is `incoming`.
    """
    widths = beta.shape[1]
    feeding = sources(layer, level, widths)
    if norm == "incoming":
        return torch.stack([beta[layer, source, level - source + 1] for source in feeding]).softmax(dim=0)
    return torch.stack([step_weights(beta, layer, source)[level] for source in feeding])


def step_weights(beta: Tensor, layer: int, source: int) -> dict[int, Tensor]:
    """Level in layer `layer` -> weight of the step to it from `source`, softmax over these steps (`outgoing`)."""
    ends = targets(layer, source, beta.shape[1])
    weights = torch.stack([beta[layer, source, end - source + 1] for end in ends]).softmax(dim=0)
    return dict(zip(ends, weights, strict=True))


def width_entropy(beta: Tensor, norm: str) -> float:
    """Mean entropy of the weights that are normalised together, in nats, where there is more than one; else 0."""
    layers, widths, _ = beta.shape
    groups = []
    for layer in range(layers):
        if norm == "incoming":
            groups += [width_weights(beta, layer, level, norm) for level in levels(layer, widths)]
        else:
            before = levels(layer - 1, widths) if layer > 0 else range(1)
            groups += [torch.stack([*step_weights(beta, layer, source).values()]) for source in before]
    entropies = [-torch.special.xlogy(w, w).sum().item() for w in groups if len(w) > 1]
    return sum(entropies) / len(entropies) if entropies else 0.0


def read_paths(routes: nn.ModuleDict, last: Mapping[int, Tensor], layer: int, level: int, widths: int) -> list[Tensor]:
    """The features f_{l-1}^k that feed a cell, at its width, in the order of `sources`.

    Args:
        routes: source level as text -> 1x1 convolution to the cell's width.
        last: width level -> h_{l-1}.
        layer, level: of the cell.
        widths: number of width levels.
    """
    return [routes[str(source)](last[source]) for source in sources(layer, level, widths)]


def mix_paths(
    routes: nn.ModuleDict, last: Mapping[int, Tensor], beta: Tensor, layer: int, norm: str
) -> dict[int, Tensor]:
    """Equation 5: for each level of a layer the weighted sum of the paths into it.

    Args:
        routes: level as text -> the level's routes, see `read_paths`.
        last: width level -> h_{l-1}, shape (N, nodes * C, H, W).
        beta: logits, shape (layers, widths, 3).
        layer: l, 0-based.
        norm: of the weights, `incoming` or `outgoing`.

    Returns:
        Width level -> the cell's input, shape (N, C, H, W).
    """
    widths = beta.shape[1]
    mixed = {}
    for level in levels(layer, widths):
        own = routes[str(level)]
        assert isinstance(own, nn.ModuleDict)
        paths = read_paths(own, last, layer, level, widths)
        mixed[level] = weighted_sum(width_weights(beta, layer, level, norm), paths)
    return mixed


def weighted_sum(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    """The sum of weights[i] * values[i]."""
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), torch.zeros(()))
