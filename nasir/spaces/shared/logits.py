"""Logits of rival choices, and how they are read."""

import torch
from torch import Tensor

CERTAIN = 1000.0
"""A logit this far above its rivals has the weight 1 exactly and they have 0, in float32 and float64."""


def mean_entropy(logits: Tensor) -> float:
    """Of softmax(logits) over the last dimension, the mean over all others, nats."""
    weights = logits.detach().softmax(dim=-1)
    return -torch.special.xlogy(weights, weights).sum(-1).mean().item()


def places(logits: Tensor) -> Tensor:
    """The place of each choice among its rivals, 0 = strongest; of equal ones the first comes first. On the CPU."""
    return logits.detach().cpu().argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
