"""The running mean of a network's weights over the steps of its training, which is what is scored and kept."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average:
    """An exponential moving average of weights and buffers (Polyak and Juditsky, 1992; Izmailov et al., UAI 2018).

    Buffers, such as the running statistics of batch normalisation, are averaged with the weights' decay; those that are no
    floating-point numbers, such as its counters, are copied.

    After the first step it is the network; after a step with t steps before it, it moves by 1 - min(decay, (1 + t) / (10 + t))
    towards the network, so that a short training does not drag its first weights along.

    Args:
        network: what is averaged; it stays as it is.
        decay: 0 or more and below 1; 0 = no average, `network` itself.
        is_compat: the recursion of the RL search of Nekrasov et al. (CVPR 2019): it starts as the network is now, and always
            moves by 1 - decay, without a warm-up. Their code averages weights alone and scores them with the running statistics
            of the last ones; here buffers are averaged, too, so that only networks without any score as theirs do.
    """

    def __init__(self, network: nn.Module, decay: float, is_compat: bool = False) -> None:
        self.decay, self.is_compat, self._network = decay, is_compat, network
        self._averaged = AveragedModel(network, multi_avg_fn=self._move, use_buffers=True) if decay > 0 else None
        if is_compat:
            self.follow()

    @property
    def network(self) -> nn.Module:
        """What is to be scored and kept."""
        return self._network if self._averaged is None else self._averaged.module

    def follow(self) -> None:
        """Take the network's present weights in; called after each step."""
        if self._averaged is not None:
            self._averaged.update_parameters(self._network)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds; empty without an average."""
        return {} if self._averaged is None else self._averaged.state_dict()

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        if self._averaged is not None:
            self._averaged.load_state_dict(state)

    @torch.no_grad()
    def _move(self, means: Sequence[Tensor], values: Sequence[Tensor], steps: Tensor | int) -> None:
        if means[0].is_floating_point():
            decay = self.decay if self.is_compat else min(self.decay, (1 + int(steps)) / (10 + int(steps)))
            torch._foreach_lerp_(list(means), list(values), 1 - decay)
        else:  # counters of batch normalisation
            for mean, value in zip(means, values, strict=True):
                mean.copy_(value)
