"""A trained network as it runs fastest: batch normalisation folded away, weights laid out channels last."""

import copy

import torch
from torch import Tensor, nn

from nasir.layers.deformable import DeformableConv
from nasir.layers.merging import is_fixed, merge


class Shift(nn.Module):
    """x + b for each channel: what a batch normalisation leaves behind a convolution that has no bias to take it.

    Added in place: the values before it are a convolution's own and nobody else reads them. The result is laid out channels
    last, as a plain convolution's is; sums and concatenations of mixed layouts would cost more than this copy.
    """

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.bias.view(-1, 1, 1)).contiguous(memory_format=torch.channels_last)


def fuse(network: nn.Module) -> nn.Module:
    """A copy for inference with every batch normalisation folded into the convolution right before it.

    Plain and deformable convolutions that a batch normalisation follows in one `nn.Sequential` are folded; a batch
    normalisation that reads something else (that of MemNet comes before its convolution) stays. The weights of
    convolutions are laid out channels last, which is how a CPU and a GPU read them fastest.

    Args:
        network: left as it is.

    Returns:
        The function of `network` in evaluation mode, up to rounding. Not to be trained or counted: scale and shift are gone.
    """
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(twin.modules()):
        if isinstance(module, nn.Sequential):
            merge(module)
            _merge_deformable(module)
    lay_out(twin)
    return twin


def lay_out(network: nn.Module) -> None:
    """Lay the weights of plain convolutions out channels last, in place; their outputs follow. The values stay."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _merge_deformable(layers: nn.Sequential) -> None:
    """Fold the scale of each batch normalisation behind a deformable convolution into its weights; a shift is left."""
    for index in range(1, len(layers)):
        before, norm = layers[index - 1], layers[index]
        if isinstance(before, DeformableConv) and is_fixed(norm):
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
            scale = torch.rsqrt(norm.running_var + norm.eps)
            if norm.weight is not None:
                scale = scale * norm.weight
            shift = -norm.running_mean * scale
            if norm.bias is not None:
                shift = shift + norm.bias
            folded = copy.deepcopy(before)
            with torch.no_grad():
                folded.weight.mul_(scale.view(-1, 1, 1, 1))
            layers[index - 1], layers[index] = folded, Shift(shift.detach())
