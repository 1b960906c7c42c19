"""Batch normalisation folded into the convolution before it."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def merge(layers: nn.Sequential) -> None:
    """Fold, in place, every batch normalisation that directly follows a convolution of this sequence.

    With scale s, shift b, running mean m and variance v: weight' = weight * s / sqrt(v + eps),
    bias' = (bias - m) * s / sqrt(v + eps) + b. The function computed is that of evaluation mode.

    Args:
        layers: in evaluation mode. A convolution that stands elsewhere too is left alone there: the folded one is new.
    """
    for index in reversed(range(1, len(layers))):
        before, norm = layers[index - 1], layers[index]
        if not (isinstance(before, nn.Conv2d) and is_fixed(norm)):
            continue
        assert isinstance(norm, nn.BatchNorm2d)
        folded = fuse_conv_bn_eval(before, norm)
        assert folded.bias is not None
        # torch makes a new bias that cannot be trained; it is one where the shift or the bias it comes from is
        given = norm.bias if norm.bias is not None else before.weight
        folded.bias.requires_grad_(given.requires_grad)
        layers[index - 1] = folded
        del layers[index]


def is_fixed(layer: nn.Module) -> bool:
    """Whether a layer is a batch normalisation that uses running statistics in evaluation mode, not those of the batch."""
    return isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None
