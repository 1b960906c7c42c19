"""The hand-designed baselines by name: each file of this folder holds its `BASELINES`.

The variants of one network are called after its file: `memnet` and `memnet-shared` are in memnet.py.

Every row of a table has the same engine (Adam under a cosine), data, batches, steps and loss; a rate that suits one network
is too high for another, so each has its own.
"""

from typing import TYPE_CHECKING

from nasir import networks, plugins
from nasir.networks.baseline import Baseline

if TYPE_CHECKING:
    from torch import nn

OTHERS = ("baseline", "catalogue")
"""Files of this folder that are no baseline."""


def names() -> list[str]:
    """All baselines."""
    return [name for file in plugins.names(networks, OTHERS) for name in _of_file(file)]


def module(name: str) -> str:
    """The dotted name of the module of a baseline; an unknown one is refused with the known ones."""
    file = name.partition("-")[0]
    if file not in plugins.names(networks, OTHERS) or name not in _of_file(file):
        raise ValueError(f"a baseline network must be one of {', '.join(names())}; got {name!r}.")
    return f"{networks.__name__}.{file}"


def find(name: str) -> Baseline:
    """The baseline of a name; an unknown one is refused with the known ones."""
    return _of_file(module(name).rpartition(".")[2])[name]


def _of_file(file: str) -> dict[str, Baseline]:
    found: dict[str, Baseline] = plugins.find(networks, file, "BASELINES", "a baseline's file", OTHERS)
    return found


def build(name: str, channels: int) -> "nn.Module":
    """A baseline with fresh weights from torch's default generator.

    Args:
        name: one of `names()`.
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
