"""The search space of Nekrasov, Chen, Shen and Reid (CVPR 2019) for restoration: a decoder on an encoder's features.

Blocks read two features each, the encoder's or those of blocks before; every one has two instances of one contextual cell, which
is searched together with what the blocks read. Theirs decodes the features of a classifier into a map of classes. Here:

- The encoder is four convolutions on the noisy image, at full, full (dilated), half and a quarter of the resolution, without
  normalisation; it is trained with the rest, or once for all candidates of a search.
- The head reads the first of its features, too, which is at full resolution, and gives what to subtract from the image.
- Cells' later layers may read each of the features before them, as in the authors' release of 2019; that of 2020 leaves the last
  one out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nasir.layers.dilated import DilatedConv
from nasir.layers.downscaling import fill
from nasir.layers.starting import start_at_zero
from nasir.spaces import contract
from nasir.spaces.contextual import genotype as genotypes
from nasir.spaces.contextual.decoder import AuxiliaryCell, Decoder
from nasir.spaces.contextual.genotype import OPERATIONS, TAPS, Genotype, Layer
from nasir.spaces.contextual.section import ContextualSection, ContextualSizes
from nasir.spaces.contract import Token

SLOPE = 0.2
"""Of the encoder's leaky ReLU for negative values."""

COARSEST = 4
"""Pixels of the image's side for each of the coarsest feature's."""

RATE = 4
"""Dilation of the last tap."""


class Encoder(nn.Module):
    """Four features of an image: at full, half and a quarter of its resolution, and at full with a wider view."""

    def __init__(self, channels: int, taps: Sequence[int]) -> None:
        super().__init__()
        full, half, quarter, wide = taps
        self.to_full = nn.Conv2d(channels, full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 3, 2, 1)
        self.to_quarter = nn.Conv2d(half, quarter, 3, 2, 1)
        self.to_wide = DilatedConv(full, wide, 3, padding=RATE, dilation=RATE)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of images, shape (N, C, H, W), H and W multiples of 4."""
        full = _activate(self.to_full(x))
        half = _activate(self.to_half(full))
        return [full, half, _activate(self.to_quarter(half)), _activate(self.to_wide(full))]


def _activate(x: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(x, SLOPE)


class Network(nn.Module):
    """An encoder and a genotype's decoder.

    Args:
        genotype: of this space.
        channels: of the images.
        sizes: of both.
    """

    def __init__(self, genotype: Genotype, channels: int, sizes: ContextualSizes) -> None:
        super().__init__()
        self.residual, self.downscale = genotype.residual, COARSEST
        self.encoder = Encoder(channels, sizes.taps)
        self.decoder = Decoder(genotype, sizes.taps, sizes.width, channels, sizes.repeats, reads_first=True)
        if self.residual:
            start_at_zero(self.decoder.output)

    def enter(self, x: Tensor) -> Tensor:
        """What the encoder is given of images, shape (N, C, H, W)."""
        return fill(x, COARSEST)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W), any H and W; not clipped."""
        result = self.decoder(self.encoder(self.enter(x)))[..., : x.shape[-2], : x.shape[-1]]
        return x - result if self.residual else result


class Auxiliary(nn.Module):
    """An auxiliary cell for images of any size."""

    def __init__(self, cell: AuxiliaryCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        result: Tensor = self.cell(features, fill(x, COARSEST))
        return result[..., : x.shape[-2], : x.shape[-1]]


class Nekrasov(contract.Space):
    """This space as strategies and stages see it."""

    name = "nekrasov"
    settings = "contextual"
    Section = ContextualSection
    Sizes = ContextualSizes
    searching = "nasir.spaces.contextual.searching"
    drawing = "nasir.spaces.contextual.drawing"
    stem = "encoder"

    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        return genotypes.to_json(genotype)

    def from_json(self, value: Any) -> Genotype:
        return genotypes.from_json(value)

    def build(self, genotype: Genotype, sizes: ContextualSizes, channels: int) -> nn.Module:
        return Network(genotype, channels, sizes)

    def auxiliary(self, genotype: Genotype, sizes: ContextualSizes, channels: int) -> dict[str, nn.Module]:
        """One behind every block."""
        return {
            f"decoder.blocks.{block}": Auxiliary(AuxiliaryCell(genotype, sizes.width, channels, sizes.repeats))
            for block in range(len(genotype.blocks))
        }

    def candidate_sizes(self, section: ContextualSection) -> ContextualSizes:
        """The search's own."""
        return ContextualSizes(width=section.width, taps=section.taps, repeats=section.repeats)

    def other_sizes(self, sizes: ContextualSizes) -> Iterator[ContextualSizes]:
        """Every even width of the decoder from 4 to 128."""
        return (replace(sizes, width=width) for width in range(4, 129, 2))

    def tokens(self, section: ContextualSection) -> tuple[Token, ...]:
        """What each block reads, the cell's first operation, then of each layer both inputs and both operations."""
        features = [f"tap {tap}" for tap in range(TAPS)]
        tokens = []
        for block in range(section.blocks):
            choices = (*features, *(f"block {before}" for before in range(block)))
            tokens += [Token(name=f"block {block}: input {side}", choices=choices) for side in "ab"]
        tokens.append(Token(name="cell: first operation", choices=OPERATIONS))
        for layer in range(section.layers):
            places = tuple(str(place) for place in range(2 + 3 * layer))
            tokens += [Token(name=f"layer {layer}: input {side}", choices=places) for side in "ab"]
            tokens += [Token(name=f"layer {layer}: operation {side}", choices=OPERATIONS) for side in "ab"]
        return tuple(tokens)

    def mask(self, section: ContextualSection, chosen: Sequence[int]) -> tuple[bool, ...]:
        """All are allowed."""
        return (True,) * len(self.tokens(section)[len(chosen)].choices)

    def from_tokens(self, section: ContextualSection, chosen: Sequence[int]) -> Genotype:
        tokens = self.tokens(section)
        if len(chosen) != len(tokens):
            raise ValueError(f"a genotype of these settings has {len(tokens)} tokens, got {len(chosen)}.")
        for token, number in zip(tokens, chosen, strict=True):
            if not 0 <= number < len(token.choices):
                raise ValueError(f"{token.name} may be one of {list(range(len(token.choices)))}, got {number}.")
        ends = 2 * section.blocks
        layers = [chosen[place : place + 4] for place in range(ends + 1, len(chosen), 4)]
        return Genotype(
            space=self.name, first=OPERATIONS[chosen[ends]],
            layers=tuple(
                Layer(inputs=(int(a), int(b)), operations=(OPERATIONS[one], OPERATIONS[two])) for a, b, one, two in layers
            ),
            blocks=tuple((int(chosen[2 * block]), int(chosen[2 * block + 1])) for block in range(section.blocks)),
            residual=section.residual, norm=section.norm,
        )  # fmt: skip

    def operations_of(self, genotype: Genotype) -> list[str]:
        """Those of the cell."""
        return [genotype.first, *(name for layer in genotype.layers for name in layer.operations)]

    def idle_share(self, genotype: Genotype) -> float:
        """The share of `skip` and `none` among the cell's operations."""
        names = self.operations_of(genotype)
        return sum(name in ("skip", "none") for name in names) / len(names)

    def describe(self, genotype: Genotype, sizes: ContextualSizes) -> str:
        features = [
            *(f"tap {tap}" for tap in range(TAPS)),
            *(f"block {block}" for block in range(len(genotype.blocks))),
        ]
        reads = "; ".join(
            f"block {number} of {features[a]} and {features[b]}" for number, (a, b) in enumerate(genotype.blocks)
        )
        residual = "a global residual" if genotype.residual else "no global residual"
        return (
            f"A decoder of {len(genotype.blocks)} blocks of {sizes.width} channels on an encoder's features ({reads}), "
            f"{residual}; its cell has {len(self.operations_of(genotype))} operations."
        )


SPACE = Nekrasov()
