"""What a network costs, counted and not timed."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(module: nn.Module) -> int:
    """Trainable parameters; buffers such as the running statistics of batch normalisation are none."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def flops_per_pixel(module: nn.Module, channels: int, size: int = 64) -> float:
    """Floating-point operations of one forward pass, divided by the pixels of the input.

    Counted are convolutions and matrix products, two operations (a multiplication and an addition) for each
    multiply-add, padded borders included. Not counted: biases, normalisation, activations, sums, pooling and the
    interpolation between pixels (grid sampling) of deformable convolutions.

    Args:
        module: maps images of shape (N, channels, H, W) to images; a copy is run, in evaluation mode.
        channels: channels of its input.
        size: side of the square input, pixels. For a fully convolutional network any size gives the same number, up to
            work that is done once for each image (global pooling).
    """
    twin = copy.deepcopy(module).cpu().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.zeros(1, channels, size, size))
    return counter.get_total_flops() / size**2
