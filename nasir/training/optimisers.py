"""Optimisers of weights in a search: SGD as the differentiable search has it, or AdamW for short trainings."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from nasir.config.search import SearchConfig

RISE = 20
"""AdamW's rate rises over one of so many parts of the steps."""

KINDS = ("sgd", "adamw")


class Rates(TypedDict, total=False):
    """What a `Descent` takes of its rates in place of the section's."""

    warmup_steps: int
    lr_max: float
    lr_min: float


def weights_optimiser(
    weights: Sequence[Tensor], config: SearchConfig, adamw: float | None, steps: int
) -> tuple[torch.optim.Optimizer, Rates]:
    """The optimiser, and the rates of its `nasir.training.loop.Descent`.

    Args:
        weights: what it moves.
        config: momentum, decay and SGD's rates.
        adamw: highest rate of AdamW, which rises over a twentieth of the steps and falls to 0 by a cosine; None takes SGD.
        steps: of the training.
    """
    if adamw is None:
        return torch.optim.SGD(
            weights, lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay
        ), Rates()
    rates = Rates(warmup_steps=steps // RISE, lr_max=adamw, lr_min=0.0)
    return torch.optim.AdamW(weights, lr=adamw, weight_decay=config.weight_decay), rates
