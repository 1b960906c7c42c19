"""How far a network reaches: the radius of its receptive field, in pixels."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from nasir.layers.deformable import DeformableConv

FIRST_PROBE = 129
"""Length of the first strip of pixels that is tried, odd; each further one is about twice as long."""

LONGEST_PROBE = 2**14
"""Pixels, beyond those of the offsets; a network that spans them all counts as boundless."""


def deformable_layers(network: nn.Module) -> list[DeformableConv]:
    """The deformable convolutions of a network, in the order of `network.modules()`."""
    return [module for module in network.modules() if isinstance(module, DeformableConv)]


def block_of(network: nn.Module) -> int:
    """The side of the blocks of pixels that a network works on (`nasir.layers.downscaling`); 1 for most."""
    return int(getattr(network, "downscale", 1))


def radius(network: nn.Module, channels: int, offsets: Sequence[int] = ()) -> int:
    """The smallest r such that no output pixel depends on an input pixel more than r rows or columns away.

    Measured, not added up, so that it holds for any graph of layers: a strip of pixels, one half of it NaN, goes through a
    copy in float64, and where the output is NaN it depends on that half. A NaN passes every product, also one with a weight
    of 0, so the answer is that of the layers whatever their weights; and a half, unlike one pixel, leaves no gaps for the
    taps of the next layer to fall into. Strips lie along a row and along a column, with either half NaN.

    Args:
        network: every layer has stride 1, but in one that works on blocks of pixels; a copy is run, on the CPU and in evaluation
            mode.
        channels: of its input.
        offsets: for each of `deformable_layers` the largest offset, in whole pixels, that is reckoned with; none means 0.
            The taps of such a layer reach 1 + offset pixels (its prediction of the offset reaches 1).

    Returns:
        r, 0 or more.

    Raises:
        ValueError: if a layer has a stride without blocks, if the output has another size than the input, or if there is no
            such r below 8,192 and the sum of the offsets (global pooling).
    """
    block = block_of(network)
    for name, module in network.named_modules():
        if block == 1 and any(
            step != 1 for step in torch.atleast_1d(torch.tensor(getattr(module, "stride", 1))).tolist()
        ):
            raise ValueError(f"every layer must have stride 1 for a reach that is the same at every pixel, got {name}.")
    probe = nn.Sequential(copy.deepcopy(network).cpu().double()).eval()
    _replace_deformable(probe, offsets)
    length = max(
        FIRST_PROBE, 2 * block * _longest_step(probe) + 1
    )  # a half as long as a step, so that none leaps over it
    while length <= LONGEST_PROBE + 4 * block * sum(offsets):
        reached = max(_spread(probe, (channels, *sides)) for sides in ((1, length), (length, 1)))
        if reached < length // 2:
            return reached + block - 1  # the strip's middle lies at one place in its block
        length = 2 * length + 1
    raise ValueError(
        f"the network's reach must be bounded, got one of {LONGEST_PROBE // 2} pixels or more (global pooling?); "
        "restore images in one piece (tile 0)."
    )


def _replace_deformable(probe: nn.Module, offsets: Sequence[int]) -> None:
    """Put a plain convolution of the same reach in the place of each deformable one."""
    reaches = {
        id(layer): 1 + offset
        for layer, offset in zip(deformable_layers(probe), offsets or [0] * len(deformable_layers(probe)), strict=True)
    }
    for parent in list(probe.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, DeformableConv):
                out_channels, in_channels = layer.weight.shape[:2]
                reach = reaches[id(layer)]
                plain = nn.Conv2d(in_channels, out_channels, 3, padding=reach, dilation=reach, bias=False).double()
                setattr(parent, name, plain)


def _longest_step(probe: nn.Module) -> int:
    """How far the taps of one layer lie apart at most, pixels."""
    sides = [
        (size - 1) * rate
        for layer in probe.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        for size, rate in zip(layer.kernel_size, layer.dilation, strict=True)
    ]
    return max(sides, default=0)


def _spread(probe: nn.Module, shape: tuple[int, int, int]) -> int:
    """How many pixels beyond the NaN half of a strip the output is NaN; half its length if up to its end."""
    strip = torch.zeros(1, *shape, dtype=torch.float64)
    length = strip[0, 0].numel()
    middle, farthest = length // 2, 0
    for is_later_half in (False, True):
        half = slice(middle, None) if is_later_half else slice(None, middle + 1)
        strip.zero_().flatten(2)[..., half] = torch.nan
        with torch.no_grad():
            output = probe(strip)
        if output.shape[-2:] != strip.shape[-2:]:
            raise ValueError(
                f"the network must return images of its input's size, got {tuple(output.shape[-2:])} for {shape[1:]}."
            )
        found = output.isnan().flatten(2).any(dim=1).nonzero()[:, 1]
        beyond = middle - found if is_later_half else found - middle
        farthest = max(farthest, *beyond.tolist(), 0)
    return farthest
