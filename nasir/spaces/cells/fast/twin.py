"""A plain supernet made its fast twin: its cells (`nasir.spaces.cells.fast.cell`), and what is around them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasir.layers.dilated import DilatedConv
from nasir.layers.normalisation import BatchNorm, follow, world_size
from nasir.spaces.cells.cell import SuperCell
from nasir.spaces.cells.fast.cell import FastCell
from nasir.spaces.cells.fast.fused import DilatedDepthwise, NormActivate


class ShiftedConv(DilatedConv):
    """A depthwise convolution of dilation above 1 that keeps the size and has no bias, as a sum of shifted images."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, shape (N, C, H, W)."""
        if x.is_cuda or x.dtype != self.weight.dtype or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        result: Tensor = DilatedDepthwise.apply(x, self.weight, self.dilation[0])
        return result


class NormActivation(BatchNorm):
    """Batch normalisation without scale and shift, and the activation after it, if any, in one pass of `NormActivate`."""

    slope: float  # 1 where no activation follows

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate, shape (N, C, H, W)."""
        if not self.training:
            normal = super().forward(x)
            return normal if self.slope == 1 else F.leaky_relu(normal, self.slope)
        result, mean, variance = NormActivate.apply(x, self.slope)
        follow([self], [mean], [variance], x.numel() // x.shape[1] * world_size())
        return result


def convert(supernet: nn.Module, recompute: str) -> None:
    """Make a plain supernet its fast twin, in place, with the same parameters.

    Every `SuperCell` becomes a `FastCell`; around the cells every batch normalisation without scale and shift becomes a
    `NormActivation`, with the activation that follows it, and every dilated depthwise convolution a `ShiftedConv`. The
    weights are brought into channels_last, so that features are.

    Args:
        supernet: of any space; its cells are `SuperCell`s.
        recompute: `none`, `edge` or `cell`.
    """
    for module in [*supernet.modules()]:
        if type(module) is SuperCell:
            module.__class__ = FastCell
            module.prepare(recompute)  # type: ignore[operator]
    inside = {id(m) for cell in supernet.modules() if isinstance(cell, FastCell) for m in cell.modules()}
    around = [module for module in supernet.modules() if id(module) not in inside]
    for module in around:
        if isinstance(module, nn.Sequential):
            _join_activations(module)
    for module in around:
        if type(module) is BatchNorm and not module.affine:
            module.__class__ = NormActivation
            module.slope = 1.0  # type: ignore[assignment]
        elif type(module) is DilatedConv and module.groups > 1 and module.dilation != (1, 1):
            module.__class__ = ShiftedConv
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _join_activations(layers: nn.Sequential) -> None:
    """Take each activation of a sequence into the batch normalisation before it, where that has no scale and shift."""
    for place in range(1, len(layers)):
        before, activation = layers[place - 1], layers[place]
        while isinstance(before, nn.Sequential):
            before = before[-1]
        if isinstance(activation, nn.ReLU | nn.LeakyReLU) and type(before) is BatchNorm and not before.affine:
            before.__class__ = NormActivation
            before.slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0  # type: ignore[assignment]
            layers[place] = nn.Identity()
