"""What a hand-designed network has to say of itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from nasir.config.retrain import RetrainConfig


def as_it_is(network: "nn.Module") -> "nn.Module":
    """A trained network that needs no more than evaluation mode."""
    return network.eval()


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How to build a network, and how to train it."""

    task: str  # that it was made for
    build: "Callable[[int], nn.Module]"  # channels of the images -> network with fresh weights
    lr_max: float  # of Adam, at the start
    finish: "Callable[[Any], nn.Module]" = as_it_is  # the trained network -> the one to run and to count

    def at_its_rate(self, config: "RetrainConfig") -> "RetrainConfig":
        """A training from this network's learning rate down to the same end, or to that rate if it is lower."""
        return replace(config, lr_max=self.lr_max, lr_min=min(config.lr_min, self.lr_max))
