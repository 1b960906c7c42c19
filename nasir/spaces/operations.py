"""The candidate operations of an edge; each keeps channels and size.

IR-NAS (Zhang et al., 2019), section 3.1: each convolution is ReLU, convolution, batch normalisation.
"""

import torch
from torch import Tensor, nn

from nasir.spaces.deformable import DeformableConv


class Zero(nn.Module):
    """`none`: no connection; returns zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def operation(name: str, channels: int, affine: bool) -> nn.Module:
    """Build one operation by its name.

    Args:
        name: `conv_3x3`, `sep_3x3` (depthwise, then pointwise), `dil_3x3` (rate 2), `def_3x3` (deformable, v2), `skip`, `none`.
        channels: of input and output.
        affine: whether batch normalisation has a learned scale and shift (not during the search, as in DARTS).
    """
    if name == "skip":
        return nn.Identity()
    if name == "none":
        return Zero()
    if name == "conv_3x3":
        layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
    elif name == "sep_3x3":
        layers = [
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
        ]
    elif name == "dil_3x3":
        layers = [nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False)]
    elif name == "def_3x3":
        layers = [DeformableConv(channels, channels)]
    else:
        raise ValueError(f"an operation must be one of conv_3x3, sep_3x3, dil_3x3, def_3x3, skip, none; got {name!r}.")
    return nn.Sequential(nn.ReLU(), *layers, nn.BatchNorm2d(channels, affine=affine))


def pointwise(channels_in: int, channels_out: int, affine: bool) -> nn.Module:
    """The 1x1 convolution with batch normalisation that brings features to a cell's width (section 3.2)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out, affine=affine)
    )
