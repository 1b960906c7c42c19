"""The settings of the spaces of contextual cells: `space.contextual` and `network.contextual` of a profile."""

from dataclasses import dataclass
from typing import Protocol

from nasir.config.reading import require
from nasir.spaces.contextual.genotype import MOST_BLOCKS, MOST_LAYERS, NORMS, TAPS

MOST_CHANNELS = 16_384

MOST_REPEATS = 100


class Shape(Protocol):
    """What a section and sizes have in common."""

    @property
    def width(self) -> int: ...
    @property
    def taps(self) -> tuple[int, ...]: ...
    @property
    def repeats(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class ContextualSection:
    """What a space of contextual cells holds (Nekrasov et al., CVPR 2019, section 3.1)."""

    blocks: int  # of the decoder
    layers: int  # sums of the cell, behind its first operation
    width: int  # channels of the decoder
    taps: tuple[int, ...]  # channels of the encoder's features
    repeats: int  # how often a separable convolution is applied
    residual: bool  # the network predicts what to subtract from its input
    norm: str  # after each convolution of the decoder: batch (the paper), none

    def __post_init__(self) -> None:
        require_shape(self, "space")
        require(
            1 <= self.blocks <= MOST_BLOCKS, f"space.blocks must be 1 or more and at most {MOST_BLOCKS}", self.blocks
        )
        require(
            0 <= self.layers <= MOST_LAYERS, f"space.layers must be 0 or more and at most {MOST_LAYERS}", self.layers
        )
        require(self.norm in NORMS, f"space.norm must be one of {list(NORMS)}", self.norm)


@dataclass(frozen=True, kw_only=True)
class ContextualSizes:
    """What, with a genotype, fixes a network."""

    width: int
    taps: tuple[int, ...]
    repeats: int

    def __post_init__(self) -> None:
        require_shape(self, "network")


def require_shape(shape: Shape, section: str) -> None:
    """Refuse sizes that no network can have; the key is named with its section."""
    require(
        1 <= shape.width <= MOST_CHANNELS, f"{section}.width must be 1 or more and at most {MOST_CHANNELS}", shape.width
    )
    require(
        1 <= shape.repeats <= MOST_REPEATS,
        f"{section}.repeats must be 1 or more and at most {MOST_REPEATS}",
        shape.repeats,
    )
    require(
        len(shape.taps) == TAPS and min(shape.taps) >= 1 and max(shape.taps) <= MOST_CHANNELS,
        f"{section}.taps must be {TAPS} numbers, 1 or more and at most {MOST_CHANNELS}",
        list(shape.taps),
    )
