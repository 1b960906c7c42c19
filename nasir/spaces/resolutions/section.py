"""The settings of the spaces of modules at several resolutions: `space.columns` and `network.columns` of a profile."""

from dataclasses import dataclass
from typing import Protocol

from nasir.config.reading import require

CHOICES = {
    "aliasing": ("fixed", "released"),
    "norm": ("batch", "none"),
    "transition": ("before", "after"),
    "costs": ("published", "counted"),
}
"""What the keys of text may be."""

MOST_COLUMNS = 300

MOST_DOWNSCALE = 64

MOST_CHANNELS = 16_384
"""Of one branch."""

MOST_BRANCHES = 10
"""The lowest has 1 / 512 of the resolution."""

MOST_BLOCKS = 1000


class Shape(Protocol):
    """What a section and sizes have in common."""

    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def stem_blocks(self) -> int: ...
    @property
    def initial_std(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class ColumnsSection:
    """What a space of columns holds, and its supernet (Gou et al., NeurIPS 2020, section 3)."""

    columns: tuple[int, ...]  # of each cell; the cell k works on k + 1 branches, or on all that there are
    widths: tuple[int, ...]  # channels of the branches, at 1, 1/2, 1/4, ... of the resolution
    stem_blocks: int  # bottlenecks before the first cell
    downscale: (
        int  # blocks of downscale x downscale pixels become channels before anything else; 1 = not, as in the paper
    )
    transition: str  # before: each cell begins by adding a branch (the paper); after: it ends so
    residual: bool  # the network predicts what to subtract from its input; the paper's does not
    norm: (
        str  # after each convolution of a network that is trained alone: batch (the paper), none; supernets have batch
    )
    initial_std: float  # of the normal values that convolutions start with (the authors' code: 0.001); 0 = torch's own
    aliasing: (
        str  # fixed: a fusion of the supernet reads the column's input (equation 1); released: what parallel gives
    )
    costs: str  # of the complexity: published (0.7 parallel, 0.3 fusion in every column), counted (by column)

    def __post_init__(self) -> None:
        require_shape(self, "space")
        require(
            len(self.columns) >= 1 and min(self.columns) >= 1 and sum(self.columns) <= MOST_COLUMNS,
            f"space.columns must be 1 or more in each cell and at most {MOST_COLUMNS} in all",
            self.columns,
        )
        require(
            1 <= self.downscale <= MOST_DOWNSCALE,
            f"space.downscale must be 1 or more and at most {MOST_DOWNSCALE}",
            self.downscale,
        )
        for name, choices in CHOICES.items():
            require(getattr(self, name) in choices, f"space.{name} must be one of {list(choices)}", getattr(self, name))
        require(
            len(self.widths) <= len(self.columns) + 1,
            f"space.widths must be at most {len(self.columns) + 1} with {len(self.columns)} cells, each of which adds one",
            self.widths,
        )


@dataclass(frozen=True, kw_only=True)
class ColumnsSizes:
    """What, with a genotype, fixes a derived network."""

    widths: tuple[int, ...]
    stem_blocks: int
    initial_std: float

    def __post_init__(self) -> None:
        require_shape(self, "network")


def require_shape(shape: Shape, section: str) -> None:
    """Refuse sizes that no network can have; the key is named with its section."""
    require(
        1 <= len(shape.widths) <= MOST_BRANCHES and min(shape.widths) >= 1 and max(shape.widths) <= MOST_CHANNELS,
        f"{section}.widths must be 1 or more and at most {MOST_CHANNELS}, one at least and {MOST_BRANCHES} at most",
        shape.widths,
    )
    require(
        1 <= shape.stem_blocks <= MOST_BLOCKS,
        f"{section}.stem_blocks must be 1 or more and at most {MOST_BLOCKS}",
        shape.stem_blocks,
    )
    require(shape.initial_std >= 0, f"{section}.initial_std must be 0 or more", shape.initial_std)
