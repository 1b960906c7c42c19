"""A candidate with weights of its own, trained briefly, and its scores."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from nasir import stopping
from nasir.search.contract import Problem
from nasir.spaces.contract import Genotype
from nasir.training.averaging import Average
from nasir.training.loop import Descent
from nasir.training.optimisers import weights_optimiser
from nasir.training.validation import validate

AGAIN = 1000
"""What each further training of a candidate adds to the seed of its batches."""


def build(genotype: Genotype, problem: Problem) -> nn.Module:
    """A candidate at the search's sizes, with weights drawn from the seed."""
    torch.manual_seed(problem.seed)
    sizes = problem.space.candidate_sizes(problem.of_space)
    return problem.space.build(genotype, sizes, problem.channels)


def train(
    network: nn.Module,
    problem: Problem,
    steps: int,
    name: str,
    lr_max: float | None = None,
    average: float = 0.0,
    again: int = 0,
    descent: Callable[..., Descent] = Descent,
) -> float:
    """Train a candidate on W, the cosine over `steps`; gives the last loss.

    Every candidate sees the same batches from the first on.

    Args:
        network: what is trained.
        problem: on which pictures, in which batches.
        steps: how long.
        name: what a message calls it.
        lr_max: of AdamW, which rises over a twentieth of the steps and falls to 0; None trains as the differentiable search
            does the weights of its supernet, by SGD.
        average: decay of the running mean of the weights, which the network has in the end; 0 leaves the last ones.
        again: how often it has been trained before; each time has batches of its own.
        descent: makes the steps out of what `Descent` takes.

    Raises:
        FloatingPointError: if a loss is not finite; it names step and candidate.
        Stopped: if the end was requested (`nasir.stopping`).
    """
    config, weights = problem.config, list(network.parameters())
    optimiser, rates = weights_optimiser(weights, config, lr_max, steps)
    course = descent(
        network=network,
        weights=weights,
        optimiser=optimiser,
        patches=problem.patches_w,
        sigmas=config.sigmas,
        budget=config,
        steps=steps,
        parts=config.accumulate,
        generator=torch.Generator().manual_seed(problem.seed + AGAIN * again),
        team=problem.team,
        section="search",
        of=name,
        **rates,
    )
    network.train()
    mean = Average(network, average)
    for step in range(1, steps + 1):
        loss = course.advance(step)["train_loss"]
        mean.follow()
        stopping.end_if_asked()
    if average > 0:
        network.load_state_dict(mean.network.state_dict())
    return loss


def score(network: nn.Module, problem: Problem) -> dict[str, float]:
    """A candidate's scores on V, by all processes of the problem's team."""
    return problem.team.score(
        partial(validate, network, sigmas=problem.config.sigmas, seed=problem.seed), problem.images_v
    )
