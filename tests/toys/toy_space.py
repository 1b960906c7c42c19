"""A search space that has neither cells nor widths: a chain of convolutions, each of a size of its own.

What a whole space takes, in one file; the tests drop it into nasir/spaces/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from nasir.canvas import plain_style, to_png, to_svg
from nasir.config.reading import require
from nasir.files import write_bytes
from nasir.spaces import contract
from nasir.spaces.contract import Token, random_tokens

Kernels = tuple[int, ...]
"""A genotype: the side of each convolution."""


@dataclass(frozen=True, kw_only=True)
class ChainSection:
    """What the space holds."""

    layers: int
    kernels: tuple[int, ...]  # what a layer may choose
    width: int  # channels between the layers, during the search

    def __post_init__(self) -> None:
        require(self.layers >= 1, "space.layers must be 1 or more", self.layers)
        require(all(k % 2 == 1 for k in self.kernels), "space.kernels must be odd", self.kernels)


@dataclass(frozen=True, kw_only=True)
class ChainSizes:
    """What, with a genotype, fixes a network."""

    width: int


class Chain(nn.Module):
    """Convolutions one after the other; they say what to subtract from the input."""

    def __init__(self, kernels: Kernels, channels: int, width: int) -> None:
        super().__init__()
        sides = [channels, *[width] * (len(kernels) - 1), channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(sides[i], sides[i + 1], kernel, padding=kernel // 2) for i, kernel in enumerate(kernels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W); not clipped."""
        hidden = x
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden.relu() if number else hidden)
        return x - hidden


class ToySpace(contract.Space):
    """This space as strategies and stages see it."""

    name = "toy_space"
    settings = "toy_space"
    presets = {  # noqa: RUF012 -- a ClassVar by its contract
        "base": {"space": {"layers": 3, "kernels": [1, 3, 5], "width": 4}, "network": {"width": 6}},
        "tiny": {"space": {"width": 2}},
    }
    Section = ChainSection
    Sizes = ChainSizes
    searching = "nasir.spaces.toy_space"
    drawing = "nasir.spaces.toy_space"

    def to_json(self, genotype: Kernels) -> dict[str, Any]:
        return {"space": self.name, "kernels": list(genotype)}

    def from_json(self, value: Any) -> Kernels:
        if not isinstance(value, dict) or set(value) != {"space", "kernels"} or value["space"] != self.name:
            raise ValueError(f"a genotype must have the keys space and kernels, got {value!r}; search again.")
        return tuple(value["kernels"])

    def build(self, genotype: Kernels, sizes: ChainSizes, channels: int) -> nn.Module:
        return Chain(genotype, channels, sizes.width)

    def candidate_sizes(self, section: ChainSection) -> ChainSizes:
        return ChainSizes(width=section.width)

    def tokens(self, section: ChainSection) -> tuple[Token, ...]:
        choices = tuple(str(kernel) for kernel in section.kernels)
        return tuple(Token(name=f"layer {layer}", choices=choices) for layer in range(section.layers))

    def mask(self, section: ChainSection, chosen: Sequence[int]) -> tuple[bool, ...]:
        """No two layers of side 1 behind each other."""
        is_one = bool(chosen) and section.kernels[chosen[-1]] == 1
        return tuple(not (is_one and kernel == 1) for kernel in section.kernels)

    def from_tokens(self, section: ChainSection, chosen: Sequence[int]) -> Kernels:
        for place, number in enumerate(chosen):
            require(self.mask(section, chosen[:place])[number], f"layer {place} must be allowed", number)
        return tuple(section.kernels[number] for number in chosen)

    def describe(self, genotype: Kernels, sizes: ChainSizes) -> str:
        sides = ", ".join(f"{kernel}x{kernel}" for kernel in genotype)
        return f"A toy_space chain of {len(genotype)} convolutions of {sides}, {sizes.width} channels between them."


SPACE = ToySpace()


def random_genotype(space: str, section: ChainSection, generator: torch.Generator) -> Kernels:
    return SPACE.from_tokens(section, random_tokens(SPACE, section, generator))


def draw(genotype: Kernels, section: Mapping[str, Any], svg: Path, png: Path) -> None:
    with plain_style():
        figure = Figure(figsize=(4, 2))
        axes = figure.subplots()
        axes.bar(range(1, len(genotype) + 1), genotype)
        axes.set(xlabel="layer", ylabel="side", title=f"chosen out of {section['kernels']}")
        write_bytes(svg, to_svg(figure))
        write_bytes(png, to_png(figure))
