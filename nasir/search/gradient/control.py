"""What chance reaches in the kept supernet: the found architecture against random ones, each as it is derived."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasir.search.contract import Control
from nasir.spaces.contract import Relaxed

RANDOM = 8
"""Random architectures that are scored."""


def control(relaxed: Relaxed, kept: Mapping[str, Tensor], score: Callable[[], float], seed: int) -> Control:
    """Score the found architecture and random ones with the supernet's weights.

    Args:
        relaxed: the supernet; it is left with the kept state.
        kept: the state dict that was derived from.
        score: of the supernet as it is at the call.
        seed: of the random architectures.
    """
    relaxed.network.load_state_dict(kept)
    generator = torch.Generator().manual_seed(seed)
    with relaxed.discretised():
        found = score()
    random = []
    for _ in range(RANDOM):
        with relaxed.shuffled(generator), relaxed.discretised():
            random.append(score())
    return Control(found=found, random=random)
