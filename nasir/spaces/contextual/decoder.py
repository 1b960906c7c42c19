"""What a decoder is made of: operations, contextual cells, blocks and a head (Nekrasov et al., CVPR 2019).

Convolutions are followed by their normalisation and a ReLU. Features of a block have the size of the larger of the two that it
reads; the smaller is brought to it by bilinear interpolation.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasir.layers.dilated import DilatedConv
from nasir.layers.normalisation import BatchNorm
from nasir.layers.starting import start_at_zero
from nasir.spaces.contextual.genotype import Genotype
from nasir.spaces.shared.zero import Zero

SIDES = {
    "conv_1x1": (1, 1), "conv_3x3": (3, 1), "sep_3x3": (3, 1), "sep_5x5": (5, 1), "conv_3x3_rate_3": (3, 3),
    "conv_3x3_rate_12": (3, 12), "sep_3x3_rate_3": (3, 3), "sep_5x5_rate_6": (5, 6),
}  # fmt: skip
"""Side and dilation of each operation that is a convolution."""


class Pool(nn.Module):
    """The mean over the image, a 1x1 convolution, the same at every pixel."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.conv = conv(channels, channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.mean(dim=(2, 3), keepdim=True)).expand_as(x)


def conv(channels_in: int, channels: int, norm: str, side: int = 1, rate: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, its normalisation and a ReLU."""
    kind = DilatedConv if rate > 1 else nn.Conv2d
    layer = kind(channels_in, channels, side, padding=rate * (side // 2), dilation=rate, bias=norm == "none")
    return nn.Sequential(layer, *_behind(channels, norm))


def _behind(channels: int, norm: str) -> list[nn.Module]:
    return [BatchNorm(channels), nn.ReLU()] if norm == "batch" else [nn.ReLU()]


def operation(name: str, channels: int, repeats: int, norm: str) -> nn.Module:
    """One of `nasir.spaces.contextual.genotype.OPERATIONS`; it keeps channels and size."""
    if name == "skip":
        return nn.Identity()
    if name == "none":
        return Zero()
    if name == "pool":
        return Pool(channels, norm)
    side, rate = SIDES[name]
    if not name.startswith("sep"):
        return conv(channels, channels, norm, side, rate)
    kind = DilatedConv if rate > 1 else nn.Conv2d
    padding = rate * (side // 2)
    return nn.Sequential(
        *(
            nn.Sequential(
                kind(channels, channels, side, padding=padding, dilation=rate, groups=channels, bias=False),
                nn.Conv2d(channels, channels, 1, bias=norm == "none"),
                *_behind(channels, norm),
            )
            for _ in range(repeats)
        )
    )


class ContextualCell(nn.Module):
    """The cell of a genotype: `operations` has the first operation, then the two of each layer."""

    def __init__(self, genotype: Genotype, channels: int, repeats: int) -> None:
        super().__init__()
        self.inputs, self.kept = [layer.inputs for layer in genotype.layers], genotype.kept_of_cell
        names = [genotype.first, *(name for layer in genotype.layers for name in layer.operations)]
        self.operations = nn.ModuleList(operation(name, channels, repeats, genotype.norm) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        features = [x, self.operations[0](x)]
        for number, inputs in enumerate(self.inputs):
            first, second = (
                self.operations[1 + 2 * number + place](features[index]) for place, index in enumerate(inputs)
            )
            features += [first, second, first + second]
        kept = [features[index] for index in self.kept]
        return sum(kept[1:], kept[0])


class Block(nn.Module):
    """Two features, each through a cell and a 1x1 convolution of its own, summed at the size of the larger."""

    def __init__(self, genotype: Genotype, channels: int, repeats: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(ContextualCell(genotype, channels, repeats) for _ in range(2))
        self.joins = nn.ModuleList(conv(channels, channels, genotype.norm) for _ in range(2))

    def forward(self, *features: Tensor) -> Tensor:
        values = [join(cell(x)) for x, cell, join in zip(features, self.cells, self.joins, strict=True)]
        first, second = at_largest(values)
        return first + second


class Decoder(nn.Module):
    """Blocks on an encoder's features, and a head on those that no other block reads.

    Args:
        genotype: of the decoder.
        taps: channels of the features.
        width: channels of the decoder.
        outputs: channels of what it gives.
        repeats: how often a separable convolution is applied.
        reads_first: whether the head reads the first tap, too. Theirs reads no tap; but what is predicted at a fraction of the
            resolution can remove but a fraction of the noise.
    """

    def __init__(
        self, genotype: Genotype, taps: Sequence[int], width: int, outputs: int, repeats: int, reads_first: bool
    ) -> None:
        super().__init__()
        self.reads = genotype.blocks
        self.kept = (*((0,) if reads_first else ()), *genotype.kept_blocks)
        self.adapt = nn.ModuleList(conv(tap, width, genotype.norm) for tap in taps)
        self.blocks = nn.ModuleList(Block(genotype, width, repeats) for _ in genotype.blocks)
        self.reduce = conv(len(self.kept) * width, width, genotype.norm)
        self.output = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """What the head makes of features, each of shape (N, C, h, w), at the size of the largest that it reads."""
        features = [adapt(tap) for adapt, tap in zip(self.adapt, taps, strict=True)]
        for block, (first, second) in zip(self.blocks, self.reads, strict=True):
            features.append(block(features[first], features[second]))
        joined = torch.cat(at_largest([features[index] for index in self.kept]), dim=1)
        result: Tensor = self.output(self.reduce(joined.relu()))
        return result


def at_largest(features: Sequence[Tensor]) -> list[Tensor]:
    """All features at the size of the largest of them."""
    size = max((x.shape[-2:] for x in features), key=lambda sides: sides[0] * sides[1])
    return [
        x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        for x in features
    ]


class AuxiliaryCell(nn.Module):
    """One more instance of the cell on a block's output, and a 3x3 convolution to an image at the block's size.

    It says what to subtract from the means of the input's pixels there, and every pixel of the image gets what comes out: to the
    mean squared error that is as comparing it to the means of the clean image.
    """

    def __init__(self, genotype: Genotype, width: int, channels: int, repeats: int) -> None:
        super().__init__()
        self.residual = genotype.residual
        self.cell = ContextualCell(genotype, width, repeats)
        self.output = nn.Conv2d(width, channels, 3, padding=1)
        if self.residual:
            start_at_zero(self.output)

    def forward(self, features: Tensor, filled: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W), H and W multiples of the features'."""
        result: Tensor = self.output(self.cell(features))
        if self.residual:
            result = F.adaptive_avg_pool2d(filled, (result.shape[-2], result.shape[-1])) - result
        return F.interpolate(result, size=filled.shape[-2:], mode="nearest")
