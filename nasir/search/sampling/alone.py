"""A candidate with weights of its own, trained briefly."""

import torch
from torch import nn

from nasir.search.contract import Problem
from nasir.spaces.contract import Genotype
from nasir.training.loop import Descent

RISE = 20
"""AdamW's rate rises over one of so many parts of the steps, of shared weights as of a candidate alone."""


def build(genotype: Genotype, problem: Problem) -> nn.Module:
    """A candidate at the search's sizes, with weights drawn from the seed."""
    torch.manual_seed(problem.seed)
    sizes = problem.space.candidate_sizes(problem.of_space)
    return problem.space.build(genotype, sizes, problem.channels)


def train(network: nn.Module, problem: Problem, steps: int, name: str, lr_max: float | None = None) -> float:
    """Train a candidate on W, the cosine over `steps`; gives the last loss.

    Every candidate sees the same batches from the first on.

    Args:
        network: what is trained.
        problem: on which pictures, in which batches.
        steps: how long.
        name: what a message calls it.
        lr_max: of AdamW, which rises over a twentieth of the steps and falls to 0; None trains as the differentiable search
            does the weights of its supernet, by SGD.

    Raises:
        FloatingPointError: if a loss is not finite; it names step and candidate.
    """
    config, weights = problem.config, list(network.parameters())
    optimiser: torch.optim.Optimizer
    if lr_max is None:
        optimiser = torch.optim.SGD(
            weights, lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay
        )
    else:
        optimiser = torch.optim.AdamW(weights, lr=lr_max, weight_decay=config.weight_decay)
    descent = Descent(
        network=network,
        weights=weights,
        optimiser=optimiser,
        patches=problem.patches_w,
        sigmas=config.sigmas,
        budget=config,
        steps=steps,
        parts=config.accumulate,
        generator=torch.Generator().manual_seed(problem.seed),
        team=problem.team,
        section="search",
        of=name,
        warmup_steps=0 if lr_max is None else steps // RISE,
        lr_max=lr_max,
        lr_min=None if lr_max is None else 0.0,
    )
    network.train()
    return [descent.advance(step)["train_loss"] for step in range(1, steps + 1)][-1]
