"""The candidate operations of an edge; each keeps channels and size.

IR-NAS (Zhang et al., 2019), section 3.1: each convolution is ReLU, convolution, batch normalisation. The authors' later code
has a leaky ReLU and applies separable convolutions twice, as DARTS does (`Style`). Without normalisation (EDSR, Lim et al.,
CVPRW 2017, section 3.1) a step of training is faster, and short trainings get further.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from nasir.layers.deformable import DeformableConv
from nasir.layers.dilated import DilatedConv
from nasir.layers.normalisation import BatchNorm
from nasir.spaces.shared.zero import Zero

SLOPE = 0.2
"""Of the leaky ReLU for negative values."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What a space's operations have in common."""

    activation: str  # relu, leaky_relu
    separable: int  # how often a separable convolution is applied
    partial: int = 1  # of a supernet's cell: 1 / partial of the channels pass through the operations (PC-DARTS)
    norm: str = "batch"  # after every convolution: batch normalisation, or none and a bias in the convolution


def activation(name: str) -> nn.Module:
    """`relu`, or `leaky_relu` of slope 0.2."""
    return nn.LeakyReLU(SLOPE) if name == "leaky_relu" else nn.ReLU()


KERNELS = {"conv_3x3": (3, 1), "sep_3x3": (3, 1), "sep_5x5": (5, 1), "dil_3x3": (3, 2), "dil_5x5": (5, 2)}
"""Side and dilation of each operation that is a convolution on a fixed grid."""


def usable_or_none(operations: Sequence[str], usable: Sequence[str]) -> tuple[str, ...]:
    """`operations` with `none` in the place of those that are not usable, so that they cost nothing; empty: all are."""
    return tuple(name if not usable or name in usable else "none" for name in operations)


def operation(name: str, channels: int, affine: bool, style: Style) -> nn.Module:
    """Build one operation by its name.

    Args:
        name: `conv_3x3`, `sep_3x3` and `sep_5x5` (depthwise, then pointwise), `dil_3x3` and `dil_5x5` (rate 2), `def_3x3`
            (deformable, v2), `skip`, `none`.
        channels: of input and output.
        affine: whether batch normalisation has a learned scale and shift (not during the search, as in DARTS).
        style: of the space.
    """
    if name == "skip":
        return nn.Identity()
    if name == "none":
        return Zero()
    if name == "def_3x3":
        return nn.Sequential(
            activation(style.activation), DeformableConv(channels, channels), *normalise(channels, affine, style.norm)
        )
    if name not in KERNELS:
        raise ValueError(f"an operation must be one of {[*KERNELS, 'def_3x3', 'skip', 'none']}; got {name!r}.")
    size, dilation = KERNELS[name]
    padding = dilation * (size // 2)
    layers: list[nn.Module] = []
    for _ in range(style.separable if name.startswith("sep") else 1):
        layers.append(activation(style.activation))
        is_separable, is_bare = name.startswith("sep"), style.norm == "none"
        convolution = DilatedConv if dilation > 1 else nn.Conv2d
        layers.append(
            convolution(
                channels,
                channels,
                size,
                padding=padding,
                dilation=dilation,
                groups=channels if is_separable else 1,
                bias=is_bare and not is_separable,
            )
        )
        if is_separable:
            layers.append(nn.Conv2d(channels, channels, 1, bias=is_bare))
        layers += normalise(channels, affine, style.norm)
    return nn.Sequential(*layers)


def normalise(channels: int, affine: bool, norm: str) -> list[nn.Module]:
    """What follows a convolution: batch normalisation, or with the norm `none` nothing."""
    return [BatchNorm(channels, affine=affine)] if norm == "batch" else []


def pointwise(channels_in: int, channels_out: int, affine: bool, norm: str = "batch") -> nn.Module:
    """The 1x1 convolution with batch normalisation that brings features to a cell's width (section 3.2)."""
    conv = nn.Conv2d(channels_in, channels_out, 1, bias=norm == "none")
    return nn.Sequential(conv, *normalise(channels_out, affine, norm))
