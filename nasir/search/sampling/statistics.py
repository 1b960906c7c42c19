"""Statistics of batch normalisation for a candidate whose weights others have trained, too."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasir.layers.normalisation import MOMENTUM
from nasir.search.contract import Problem
from nasir.training.loop import draw_batch


def calibration(problem: Problem) -> list[Tensor]:
    """The batches of W, each (N, C, H, W), on which every candidate's statistics are set anew; the same for all."""
    generator = torch.Generator().manual_seed(problem.seed)
    config, count = problem.config, problem.of_strategy.calibration
    return [
        draw_batch(problem.patches_w, config.sigmas, config.batch, generator, problem.team, noise=config.noise)[0]
        for _ in range(count)
    ]


@torch.no_grad()
def set_statistics(network: nn.Module, batches: Sequence[Tensor]) -> None:
    """Set the running statistics of batch normalisation to the mean of those of these batches, each (N, C, H, W).

    Shared weights have no statistics of their own: those of one path are wrong for the next (Guo et al., section 3.3).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    network.train()
    for batch in batches:
        network(batch)
    for norm in norms:
        norm.momentum = MOMENTUM
