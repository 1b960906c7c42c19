"""Second-order DARTS (Liu et al., ICLR 2019, equations 7 and 8): the architecture's gradient through one step of the weights.

    w' = w - xi (mu m + dL_train(w, alpha)/dw + lambda w)                                         the step of SGD
    g  = dL_val(w', alpha)/dalpha - xi d2L_train(w, alpha)/(dalpha dw) v,  v = dL_val(w', alpha)/dw'     equation 7

xi is the weights' learning rate at that step, m their momentum buffer. Neither m nor lambda w depends on alpha, so the mixed
derivative is that of L_train alone. As in the authors' code the step is not clipped, and L_train is the same batch of W
that the weights then follow. For alpha read alpha and beta.

In the authors' code the passes at w', w+ and w- leave their mark on the running statistics of batch normalisation and, by
rounding, on the weights. Here both are put back to the bit.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from nasir.layers.keeping import put_back
from nasir.training.gradients import gradients

Loss = Callable[[], Tensor]
"""Computes a scalar afresh from the present weights and architecture."""


def unrolled_gradients(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    architecture: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    buffers: Iterable[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """L_val(w', alpha) and equation 7's g for each tensor of `architecture`.

    It takes four forward and four backward passes, where the first order takes one of each.

    Args:
        train_loss: L_train; its batch is fixed.
        val_loss: L_val; its batch is fixed.
        weights, architecture: what the losses depend on. Changed in the course, put back exactly.
        optimiser: the weights' SGD with one group of parameters; read only.
        buffers: running statistics that a pass moves; put back exactly.
    """
    buffers = list(buffers)
    with put_back([*weights, *buffers]):
        step_ahead(train_loss, weights, optimiser)
        loss = val_loss()
        found = [_zeros(*pair) for pair in _pairs(loss, [*architecture, *weights])]
    direct, direction = found[: len(architecture)], found[len(architecture) :]
    with put_back(buffers):
        mixed = mixed_derivative(train_loss, weights, direction, architecture)
    [group] = optimiser.param_groups
    return loss.detach(), [one - group["lr"] * other for one, other in zip(direct, mixed, strict=True)]


def step_ahead(train_loss: Loss, weights: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Move the weights to w', where one step of SGD would, and leave the optimiser as it is."""
    [group] = optimiser.param_groups
    for weight, gradient in _pairs(train_loss(), weights):
        if gradient is None:  # SGD leaves it alone, too
            continue
        slope = gradient + group["weight_decay"] * weight.detach()
        momentum = optimiser.state.get(weight, {}).get("momentum_buffer")  # absent before the first step
        if momentum is not None:
            slope = slope + group["momentum"] * momentum
        weight.data.sub_(group["lr"] * slope)


def mixed_derivative(
    loss: Loss, weights: Sequence[Tensor], direction: Sequence[Tensor], architecture: Sequence[Tensor]
) -> list[Tensor]:
    """d2L/(dalpha dw) times `direction`, by central differences.

    DARTS (Liu et al., ICLR 2019), equation 8, with epsilon = 0.01 / ||direction||:
    (dL(w + epsilon direction)/dalpha - dL(w - epsilon direction)/dalpha) / (2 epsilon).

    Args:
        loss: L.
        weights: w; moved and put back exactly.
        direction: one tensor of the shape of each weight. The norm is that of all of them together.
        architecture: alpha.

    Returns:
        One tensor for each of `architecture`; zeros where the direction is zero.
    """
    norm = torch.stack([part.norm() for part in direction]).norm().item()
    if norm == 0:
        return [torch.zeros_like(parameter) for parameter in architecture]
    epsilon = 0.01 / norm
    sides = []
    for signed in (epsilon, -epsilon):
        with put_back(weights):
            for weight, part in zip(weights, direction, strict=True):
                weight.data.add_(part, alpha=signed)
            sides.append([_zeros(*pair) for pair in _pairs(loss(), architecture)])
    return [(above - below) / (2 * epsilon) for above, below in zip(*sides, strict=True)]


def _pairs(loss: Tensor, parameters: Sequence[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
    return list(zip(parameters, gradients(loss, parameters), strict=True))


def _zeros(parameter: Tensor, gradient: Tensor | None) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient
