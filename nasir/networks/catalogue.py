"""The hand-designed baselines by name, with the learning rate that each is trained at.

Every row of a table has the same engine (Adam under a cosine), data, batches, steps and loss; a rate that suits one network
is too high for another, so each has its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from nasir.networks.ddn import DDN
from nasir.networks.dncnn import DnCNN, merge_batch_norm
from nasir.networks.memnet import MemNet
from nasir.networks.red import RED30
from nasir.networks.rescan import Rescan


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How to build a network, and how to train it."""

    task: str  # that it was made for
    build: Callable[[int], nn.Module]  # channels of the images -> network with fresh weights
    lr_max: float  # of Adam, at the start
    finish: Callable[[Any], nn.Module]  # the trained network -> the one to run and to count, in evaluation mode


def _as_it_is(network: nn.Module) -> nn.Module:
    return network.eval()


# DnCNN: 1e-3, as its authors' README and code. RED30: 1e-4, recalled, not verified. MemNet: its authors use SGD from 0.1 with
# gradients clipped to 0.01, which does not carry over to Adam; 1e-3 is our choice. DDN: its authors use SGD from 0.1; 1e-3 is
# our choice. SCAN and RESCAN: Adam from 5e-3, as their authors' settings.
NETWORKS: dict[str, Baseline] = {
    "dncnn": Baseline(task="denoise", build=DnCNN, lr_max=1e-3, finish=merge_batch_norm),
    "red30": Baseline(task="denoise", build=RED30, lr_max=1e-4, finish=_as_it_is),
    "memnet": Baseline(task="denoise", build=partial(MemNet, share=False), lr_max=1e-3, finish=_as_it_is),
    "memnet-shared": Baseline(task="denoise", build=partial(MemNet, share=True), lr_max=1e-3, finish=_as_it_is),
    "ddn": Baseline(task="derain", build=DDN, lr_max=1e-3, finish=_as_it_is),
    "scan": Baseline(task="derain", build=partial(Rescan, unit="conv", stages=1), lr_max=5e-3, finish=_as_it_is),
    "rescan-conv": Baseline(task="derain", build=partial(Rescan, unit="conv", stages=4), lr_max=5e-3, finish=_as_it_is),
    "rescan-rnn": Baseline(task="derain", build=partial(Rescan, unit="rnn", stages=4), lr_max=5e-3, finish=_as_it_is),
    "rescan-gru": Baseline(task="derain", build=partial(Rescan, unit="gru", stages=4), lr_max=5e-3, finish=_as_it_is),
    "rescan-lstm": Baseline(task="derain", build=partial(Rescan, unit="lstm", stages=4), lr_max=5e-3, finish=_as_it_is),
}


def find(name: str) -> Baseline:
    """The baseline of a name; an unknown one is refused with the known ones."""
    if name not in NETWORKS:
        raise ValueError(f"a baseline network must be one of {', '.join(NETWORKS)}; got {name!r}.")
    return NETWORKS[name]


def build(name: str, channels: int) -> nn.Module:
    """A baseline with fresh weights from torch's default generator.

    Args:
        name: a key of `NETWORKS`.
        channels: of the images: 1 grey, 3 RGB.

    Returns:
        A module that maps float images, shape (N, channels, H, W), any H and W, to the same shape, not clipped.

    Raises:
        ValueError: for an unknown name or another number of channels.
    """
    baseline = find(name)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}; convert the images first.")
    return baseline.build(channels)
