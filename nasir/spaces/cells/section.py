"""The settings of the spaces of cells and widths: `space.cells` and `network.cells` of a profile."""

from dataclasses import dataclass

from nasir.config.reading import require

CHOICES = {
    "none": ("ranked", "left_out"),
    "beta_norm": ("incoming", "outgoing"),
    "activation": ("relu", "leaky_relu"),
    "norm": ("batch", "none"),
    "twin": ("fast", "plain"),
    "recompute": ("none", "edge", "cell"),
}
"""What the keys of text may be."""


MOST_LAYERS = 300

MOST_EDGES = 3000
"""Kept edges of all layers."""

MOST_DOWNSCALE = 64

LARGEST_FACTOR = 1000
"""Of a width."""

MOST_CHANNELS = 16_384
"""Of one layer of a network."""

LARGEST_RATE = 256

MOST_RATES = 100


@dataclass(frozen=True, kw_only=True)
class CellsSection:
    """What a space of cells and widths holds, and its supernet (IR-NAS, sections 3 and 4.1)."""

    layers: int  # L, cells one after the other
    nodes: int  # N, nodes in a cell
    operations: tuple[str, ...]  # that an edge may have, of the space's; none given: all of them
    inputs: int  # edges kept into each node; the paper keeps two
    none: str  # in the softmax that ranks a node's edges: ranked (DARTS, section 2.4: in it, never chosen), left_out
    width: int  # W, channels of the narrowest cell
    width_factors: tuple[float, ...]  # what a cell may choose, ascending
    stem_channels: int
    downscale: (
        int  # blocks of downscale x downscale pixels become channels (FFDNet); 1 = full resolution, as in the paper
    )
    residual: bool  # the network predicts what to subtract from its input; the paper has none
    norm: (
        str  # after each convolution of a network that is trained alone: batch (the paper), none; supernets have batch
    )
    reads_stem: bool  # what follows the last cell also reads the stem's output; the paper's does not
    share_cells: bool  # one cell for all incoming width paths (equation 5), or one for each (equation 6)
    share_alpha: bool  # one alpha for all layers (the paper), or one for each
    beta_norm: str  # incoming: over the cells that feed a cell (equation 5); outgoing: over a cell's own steps
    activation: str  # before every operation: relu, or leaky_relu of slope 0.2
    sigmoid: bool  # on the supernet's output
    partial: int  # 1 / partial of a cell's channels pass through the operations (PC-DARTS); 1 = all
    twin: str  # fast or plain: the same numbers, the plain one several times slower
    recompute: str  # what is computed again in the backward pass to save memory: none, edge (an edge's inside), cell
    compile: bool  # torch.compile on each cell of the plain twin; minutes of compiling

    def __post_init__(self) -> None:
        for name in ("layers", "nodes", "width", "stem_channels", "partial", "downscale"):
            require(getattr(self, name) >= 1, f"space.{name} must be 1 or more", getattr(self, name))
        for name, most in (
            ("layers", MOST_LAYERS),
            ("width", MOST_CHANNELS),
            ("stem_channels", MOST_CHANNELS),
            ("downscale", MOST_DOWNSCALE),
        ):
            require(getattr(self, name) <= most, f"space.{name} must be at most {most}", getattr(self, name))
        require(self.inputs in (1, 2), "space.inputs must be 1 or 2 (a first node has two inputs)", self.inputs)
        require(
            self.layers * self.nodes * self.inputs <= MOST_EDGES,
            f"space.layers times space.nodes and space.inputs must be at most {MOST_EDGES} edges",
            self.layers * self.nodes * self.inputs,
        )
        for name, choices in CHOICES.items():
            require(getattr(self, name) in choices, f"space.{name} must be one of {list(choices)}", getattr(self, name))
        require(
            self.twin == "plain" or not self.compile,
            "space.compile must be false with space.twin fast, whose passes are fused already (it is for the plain twin)",
            self.compile,
        )
        require(
            self.recompute == "none" or self.twin == "fast",
            "space.recompute must be none with space.twin plain",
            self.recompute,
        )
        factors = self.width_factors
        require(
            len(factors) > 0
            and factors[0] > 0
            and factors[-1] <= LARGEST_FACTOR
            and list(factors) == sorted(set(factors)),
            f"space.width_factors must be positive and ascending, none above {LARGEST_FACTOR}",
            factors,
        )
        require(
            all(float(self.width * f).is_integer() for f in factors),
            f"space.width times each of space.width_factors {list(factors)} must be whole channels",
            self.width,
        )
        require(
            all(int(self.width * f) % self.partial == 0 for f in factors),
            f"space.width times each of space.width_factors {list(factors)} must be a multiple of space.partial",
            self.partial,
        )


@dataclass(frozen=True, kw_only=True)
class CellsSizes:
    """What, with a genotype, fixes a derived network."""

    width: int  # channels of a cell of the lowest level
    stem_channels: int
    aspp_channels: int  # of each branch of the ASPP module; 0 = no ASPP
    aspp_rates: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("stem_channels", 1), ("aspp_channels", 0)):
            require(
                least <= getattr(self, name) <= MOST_CHANNELS,
                f"network.{name} must be {least} or more and at most {MOST_CHANNELS}",
                getattr(self, name),
            )
        require(
            all(1 <= rate <= LARGEST_RATE for rate in self.aspp_rates) and len(self.aspp_rates) <= MOST_RATES,
            f"network.aspp_rates must be 1 or more and at most {LARGEST_RATE}, {MOST_RATES} of them at most",
            self.aspp_rates,
        )
