"""Learning rates."""

import math

import torch


def cosine(step: int, steps: int, lr_max: float, lr_min: float) -> float:
    """SGDR (Loshchilov and Hutter, ICLR 2017), equation 5 without restarts: from lr_max at step 0 to lr_min at `steps`."""
    return lr_min + (lr_max - lr_min) * (1 + math.cos(math.pi * step / steps)) / 2


def anneal(
    optimiser: torch.optim.Optimizer, step: int, steps: int, lr_max: float, lr_min: float, warmup_steps: int = 0
) -> float:
    """Set the learning rate of all of an optimiser's parameters, and give it.

    Over the first `warmup_steps` it rises from lr_max / warmup_steps in equal steps to lr_max (Goyal et al., 2017,
    section 2.2); from there on it is `cosine`.

    Args:
        optimiser: whose rate it is.
        step: counted from 0.
        steps, lr_max, lr_min: of the cosine, which ends at `steps`.
        warmup_steps: 0 = the cosine alone.
    """
    if step < warmup_steps:
        lr = lr_max * (step + 1) / warmup_steps
    else:
        lr = cosine(step - warmup_steps, steps - warmup_steps, lr_max, lr_min)
    for group in optimiser.param_groups:
        group["lr"] = lr
    return lr
