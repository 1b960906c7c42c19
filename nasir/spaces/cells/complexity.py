"""The expected size of what alpha and beta stand for: a differentiable penalty on the architecture.

    E = sum over layers l and levels i of P_l(i) * sum over edges e and operations o of softmax(alpha_l)[e, o] * cost(o, C_i)

P_l(i) is the chance that a walk from the stem, which leaves each cell by the softmax over that cell's own steps, is at
level i in layer l; it is read like that whatever `space.beta_norm` is. cost(o, C) is what operation o takes at C channels
in a derived network: parameters, or operations per pixel. Stem, 1x1 convolutions between cells and output are left out: alpha and
beta change little there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nasir.layers.cost import flops_per_pixel, parameters
from nasir.spaces.cells.operations import Style, operation
from nasir.spaces.cells.widths import levels, step_weights

PIXELS = 16
"""Side of the image on which operations are counted; each gives the same number per pixel at any size."""


def operation_costs(operations: Sequence[str], channels: Sequence[int], style: Style, of: str) -> Tensor:
    """What each operation costs at each width, with batch normalisation as in a derived network.

    Args:
        operations: names, in the order of alpha's columns.
        channels: of a cell of each width level.
        style: of the operations.
        of: `parameters`, or `flops` per pixel (`nasir.layers.cost.flops_per_pixel` says what is counted).

    Returns:
        Shape (widths, operations).
    """
    rows = []
    with torch.random.fork_rng(devices=[]):  # the weights are drawn for nothing
        for width in channels:
            modules = [operation(name, width, True, style) for name in operations]
            if of == "parameters":
                rows.append([float(parameters(module)) for module in modules])
            else:
                rows.append([flops_per_pixel(module, width, PIXELS) for module in modules])
    return torch.tensor(rows)


def level_probabilities(beta: Tensor) -> Tensor:
    """P_l(i) for a walk from the stem (level 0); differentiable.

    Args:
        beta: logits, shape (layers, widths, 3): beta[l, k, d] belongs to the step from level k before layer l to level
            k + d - 1 in it.

    Returns:
        Shape (layers, widths); 0 where a level does not exist. Each layer sums to 1.
    """
    layers, widths, _ = beta.shape
    nowhere = beta.new_zeros(())
    before, rows = {0: beta.new_ones(())}, []
    for layer in range(layers):
        now = {level: nowhere for level in levels(layer, widths)}
        for source, probability in before.items():
            for target, step in step_weights(beta, layer, source).items():
                now[target] = now[target] + probability * step
        rows.append(torch.stack([now.get(level, nowhere) for level in range(widths)]))
        before = now
    return torch.stack(rows)


def expected_cost(alpha: Tensor, beta: Tensor, costs: Tensor) -> Tensor:
    """E, a scalar in the unit of `costs`.

    Args:
        alpha: logits, shape (edges, operations), or (layers, edges, operations).
        beta: logits, shape (layers, widths, 3).
        costs: of `operation_costs`, shape (widths, operations).
    """
    weights = alpha.softmax(dim=-1).expand(len(beta), -1, -1)
    at_level = torch.einsum("leo,wo->lw", weights, costs.to(weights))
    return (level_probabilities(beta) * at_level).sum()


def relative_cost(alpha: Tensor, beta: Tensor, costs: Tensor) -> Tensor:
    """E divided by its value where all operations and all steps are equally likely, so 1 before any learning."""
    uniform = expected_cost(torch.zeros_like(alpha), torch.zeros_like(beta), costs)
    return expected_cost(alpha, beta, costs) / uniform
