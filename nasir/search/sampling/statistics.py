"""Statistics of batch normalisation for a candidate whose weights others have trained, too."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasir.layers.normalisation import MOMENTUM


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
