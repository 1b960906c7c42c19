"""Learning rates."""

import math

import torch


def cosine(step: int, steps: int, lr_max: float, lr_min: float) -> float:
    """SGDR (Loshchilov and Hutter, ICLR 2017), equation 5 without restarts: from lr_max at step 0 to lr_min at `steps`."""
    return lr_min + (lr_max - lr_min) * (1 + math.cos(math.pi * step / steps)) / 2


def anneal(optimiser: torch.optim.Optimizer, step: int, steps: int, lr_max: float, lr_min: float) -> float:
    """Set the learning rate of all of an optimiser's parameters to `cosine`, and give it."""
    lr = cosine(step, steps, lr_max, lr_min)
    for group in optimiser.param_groups:
        group["lr"] = lr
    return lr
