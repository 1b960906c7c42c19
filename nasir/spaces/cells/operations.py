"""The candidate operations of an edge; each keeps channels and size.

IR-NAS (Zhang et al., 2019), section 3.1: each convolution is ReLU, convolution, batch normalisation. The authors' later code
has a leaky ReLU and applies separable convolutions twice, as DARTS does (`Style`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasir.layers.deformable import DeformableConv
from nasir.layers.normalisation import BatchNorm

SLOPE = 0.2
"""Of the leaky ReLU for negative values."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What a space's operations have in common."""

    activation: str  # relu, leaky_relu
    separable: int  # how often a separable convolution is applied
    partial: int = 1  # of a supernet's cell: 1 / partial of the channels pass through the operations (PC-DARTS)


def activation(name: str) -> nn.Module:
    """`relu`, or `leaky_relu` of slope 0.2."""
    return nn.LeakyReLU(SLOPE) if name == "leaky_relu" else nn.ReLU()


class Zero(nn.Module):
    """`none`: no connection; returns zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


KERNELS = {"conv_3x3": (3, 1), "sep_3x3": (3, 1), "sep_5x5": (5, 1), "dil_3x3": (3, 2), "dil_5x5": (5, 2)}
"""Side and dilation of each operation that is a convolution on a fixed grid."""


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
            activation(style.activation), DeformableConv(channels, channels), BatchNorm(channels, affine=affine)
        )
    if name not in KERNELS:
        raise ValueError(f"an operation must be one of {[*KERNELS, 'def_3x3', 'skip', 'none']}; got {name!r}.")
    size, dilation = KERNELS[name]
    padding = dilation * (size // 2)
    layers: list[nn.Module] = []
    for _ in range(style.separable if name.startswith("sep") else 1):
        layers.append(activation(style.activation))
        groups = channels if name.startswith("sep") else 1
        layers.append(
            nn.Conv2d(channels, channels, size, padding=padding, dilation=dilation, groups=groups, bias=False)
        )
        if name.startswith("sep"):
            layers.append(nn.Conv2d(channels, channels, 1, bias=False))
        layers.append(BatchNorm(channels, affine=affine))
    return nn.Sequential(*layers)


def pointwise(channels_in: int, channels_out: int, affine: bool) -> nn.Module:
    """The 1x1 convolution with batch normalisation that brings features to a cell's width (section 3.2)."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, bias=False), BatchNorm(channels_out, affine=affine))
