"""The search space of CLEARER (Gou, Li, Liu, Yang, Peng, NeurIPS 2020): its supernet and its derived network side by side.

A stem at full resolution; cells, each on one branch more than that before it, a branch having half the resolution of that above;
in each cell columns, of which every one is a parallel module (each branch for itself) or a fusion module (all branches to all).
What is searched is the letter of each column, P or F. Where the paper leaves something open, or the authors' code differs:

- Equation 1 mixes both modules of the same input. In the released code the parallel module writes into the list that the fusion
  module reads, so that a fusion follows a parallel module, which no derived network has. `aliasing: fixed` is the equation,
  `released` the code.
- Sides that are no multiple of the lowest branch's pixels are filled up by mirroring, and what was filled up is cut off; where
  the authors' code runs, on multiples, it is the same.
- Not in the paper, for small budgets: blocks of pixels as channels (`downscale`), no normalisation (`norm`), a global residual
  whose last convolution starts at zero (`residual`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from nasir.layers.downscaling import enlarge, fill, shrink
from nasir.layers.starting import start_at_zero, start_normal
from nasir.spaces import contract
from nasir.spaces.contract import Token
from nasir.spaces.resolutions import genotype as genotypes
from nasir.spaces.resolutions.genotype import LETTERS, Genotype, split
from nasir.spaces.resolutions.modules import Branches, Fusion, Parallel, Transition, stem
from nasir.spaces.resolutions.section import ColumnsSection, ColumnsSizes
from nasir.spaces.shared.parts import Take, fresh


def branches_of(cell: int, widths: Sequence[int], transition: str) -> int:
    """On how many branches a cell works, counted from 0: its transition stands before it, or after."""
    return min(cell + (2 if transition == "before" else 1), len(widths))


class Frame(nn.Module):
    """What all networks of the space have: stem, transitions and head around the columns, and the way through them.

    Args:
        channels: of the images.
        columns: of each cell.
        widths, stem_blocks, initial_std, norm, residual, downscale, transition: see `nasir.spaces.resolutions.section`.
        column: makes a column out of its number, counted over the cells, and its branches' widths.
        take: gives the other parts.
    """

    def __init__(
        self,
        *,
        channels: int,
        columns: Sequence[int],
        widths: Sequence[int],
        stem_blocks: int,
        initial_std: float,
        norm: str,
        residual: bool,
        downscale: int,
        transition: str,
        column: Callable[[int, Sequence[int]], nn.Module],
        take: Take,
    ) -> None:
        super().__init__()
        self.residual, self.shrinking = residual, downscale
        self.downscale = downscale * 2 ** (len(widths) - 1)  # the side of the blocks of pixels that it works on
        ends = channels * downscale**2

        def enter(before: int, after: int) -> nn.Module:
            return start_normal(Transition(widths[:after], before, norm), initial_std)

        def head() -> nn.Module:
            last = _output(widths[0], ends, norm, residual, initial_std)
            return nn.ModuleDict({"fusion": start_normal(Fusion(widths, 1, norm), initial_std), "output": last})

        self.stem = take("stem", lambda: start_normal(stem(ends, widths[0], stem_blocks, norm), initial_std))
        self.transitions, self.cells, number = nn.ModuleList(), nn.ModuleList(), 0
        before = 0
        for cell, count in enumerate(columns):
            after = branches_of(cell, widths, transition)
            self.transitions.append(take(f"transition {cell}", partial(enter, before, after)))
            self.cells.append(nn.ModuleList(column(number + place, widths[:after]) for place in range(count)))
            number, before = number + count, after
        if before < len(widths):  # that of the last cell stands after it
            self.transitions.append(take(f"transition {len(columns)}", partial(enter, before, before + 1)))
        self.head = take("head", head)

    def enter(self, x: Tensor) -> Tensor:
        """What the stem is given of images, shape (N, C, H, W)."""
        x = shrink(fill(x, self.downscale), self.shrinking)
        if x.shape[1] > 1:
            return x
        # One channel is laid out either way; its strides have to say channels last, or the stem's 1x1 convolutions choose the
        # other layout, in which bfloat16 is ten times as slow, and whatever adds their output to another is, too.
        count, _, height, width = x.shape
        return x.reshape(count, height, width, 1).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, C, H, W), any H and W; not clipped."""
        branches: Branches = [self.stem(self.enter(x))]
        number = 0
        for transition, cell in zip_longest(self.transitions, self.cells, fillvalue=nn.ModuleList()):
            branches = transition(branches)
            assert isinstance(cell, nn.ModuleList)
            for column in cell:
                branches = self.pass_on(column, number, branches)
                number += 1
        result = enlarge(self.head["output"](self.head["fusion"](branches)[0]), self.shrinking, x)  # type: ignore[index]
        return x - result if self.residual else result

    def pass_on(self, column: nn.Module, number: int, branches: Branches) -> Branches:
        """The features behind a column."""
        result: Branches = column(branches)
        return result


def _output(channels_in: int, channels: int, norm: str, residual: bool, initial_std: float) -> nn.Conv2d:
    conv = nn.Conv2d(channels_in, channels, 1, bias=norm == "none")
    start_normal(conv, initial_std)
    if residual:
        start_at_zero(conv)
    return conv


class Network(Frame):
    """The derived network: one module in each column.

    Args:
        genotype: of this space.
        channels: of the images.
        widths, stem_blocks, initial_std: see `nasir.spaces.resolutions.section.ColumnsSizes`.
        take: gives its parts; two networks may share those that have the same name.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int,
        widths: Sequence[int],
        stem_blocks: int,
        initial_std: float,
        take: Take = fresh,
    ) -> None:
        def column(number: int, own: Sequence[int]) -> nn.Module:
            letter = genotype.letters[number]
            return take(
                f"column {number}, {letter}", lambda: start_normal(module_of(letter, own, genotype.norm), initial_std)
            )

        columns = [len(word) for word in genotype.cells]
        if len(widths) > len(columns) + 1:
            raise ValueError(
                f"network.widths must be at most {len(columns) + 1} with a genotype of {len(columns)} cells, each of which adds "
                f"one, got {list(widths)}."
            )
        super().__init__(
            channels=channels, columns=columns, widths=widths, stem_blocks=stem_blocks, initial_std=initial_std,
            norm=genotype.norm, residual=genotype.residual, downscale=genotype.downscale, transition=genotype.transition,
            column=column, take=take,
        )  # fmt: skip


class AuxiliaryColumns(nn.Module):
    """One more instance of a cell's columns behind the cell, and a head as the network's.

    Args:
        genotype: of the network.
        cell: which one, counted from 0.
        channels: of the images.
        sizes: of the network.
    """

    def __init__(self, genotype: Genotype, cell: int, channels: int, sizes: ColumnsSizes) -> None:
        super().__init__()
        norm, widths = genotype.norm, sizes.widths[: branches_of(cell, sizes.widths, genotype.transition)]
        self.residual, self.downscale = genotype.residual, genotype.downscale
        modules = [module_of(letter, widths, norm) for letter in genotype.cells[cell]]
        self.columns = nn.Sequential(*(start_normal(module, sizes.initial_std) for module in modules))
        self.fusion = start_normal(Fusion(widths, 1, norm), sizes.initial_std)
        ends = channels * self.downscale**2
        self.output = _output(widths[0], ends, norm, self.residual, sizes.initial_std)

    def forward(self, branches: Branches, x: Tensor) -> Tensor:
        """Restore images x, shape (N, C, H, W), from the cell's output; not clipped."""
        result = enlarge(self.output(self.fusion(self.columns(branches))[0]), self.downscale, x)
        return x - result if self.residual else result


def module_of(letter: str, widths: Sequence[int], norm: str) -> nn.Module:
    """A column's module."""
    return Parallel(widths, norm) if letter == "P" else Fusion(widths, len(widths), norm)


class Supernet(Frame):
    """Both modules in every column, weighted by softmax(alpha) (equation 1).

    Args:
        channels: of the images.
        section: what the space holds.
        generator: draws alpha, N(0, 0.001^2), shape (columns, 2); the weights come from torch's default generator.
    """

    def __init__(self, channels: int, section: ColumnsSection, generator: torch.Generator) -> None:
        def column(number: int, own: Sequence[int]) -> nn.Module:
            both = nn.ModuleList(module_of(letter, own, "batch") for letter in LETTERS)
            return start_normal(both, section.initial_std)

        super().__init__(
            channels=channels, columns=section.columns, widths=section.widths, stem_blocks=section.stem_blocks,
            initial_std=section.initial_std, norm="batch", residual=section.residual, downscale=section.downscale,
            transition=section.transition, column=column, take=fresh,
        )  # fmt: skip
        self.is_aliased = section.aliasing == "released"
        self.alpha = nn.Parameter(1e-3 * torch.randn(sum(section.columns), len(LETTERS), generator=generator))

    def weights(self) -> list[nn.Parameter]:
        """w: every parameter but alpha."""
        return [parameter for name, parameter in self.named_parameters() if name != "alpha"]

    def pass_on(self, column: nn.Module, number: int, branches: Branches) -> Branches:
        """Equation 1: both modules' results, weighted."""
        assert isinstance(column, nn.ModuleList)
        parallel, fusion = column
        share = self.alpha[number].softmax(dim=-1)
        alone = parallel(branches)
        fused = fusion(alone if self.is_aliased else branches)
        return [share[0] * one + share[1] * other for one, other in zip(alone, fused, strict=True)]


class Clearer(contract.Space):
    """This space as strategies and stages see it."""

    name = "clearer"
    settings = "columns"
    Section = ColumnsSection
    Sizes = ColumnsSizes
    searching = "nasir.spaces.resolutions.searching"
    drawing = "nasir.spaces.resolutions.drawing"
    stem = "stem"

    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        return genotypes.to_json(genotype)

    def from_json(self, value: Any) -> Genotype:
        return genotypes.from_json(value)

    def build(self, genotype: Genotype, sizes: ColumnsSizes, channels: int) -> nn.Module:
        return self.assemble(genotype, sizes, channels, fresh)

    def assemble(self, genotype: Genotype, sizes: ColumnsSizes, channels: int, take: Take) -> nn.Module:
        """`build`, out of parts that `take` gives."""
        return Network(
            genotype, channels=channels, widths=sizes.widths, stem_blocks=sizes.stem_blocks,
            initial_std=sizes.initial_std, take=take,
        )  # fmt: skip

    def auxiliary(self, genotype: Genotype, sizes: ColumnsSizes, channels: int) -> dict[str, nn.Module]:
        """One behind the last column of every cell but the last."""
        return {
            f"cells.{cell}.{len(word) - 1}": AuxiliaryColumns(genotype, cell, channels, sizes)
            for cell, word in enumerate(genotype.cells[:-1])
        }

    def candidate_sizes(self, section: ColumnsSection) -> ColumnsSizes:
        """The search's own."""
        return ColumnsSizes(widths=section.widths, stem_blocks=section.stem_blocks, initial_std=section.initial_std)

    def tokens(self, section: ColumnsSection) -> tuple[Token, ...]:
        """A letter for each column."""
        places = [(cell, place) for cell, count in enumerate(section.columns) for place in range(count)]
        return tuple(Token(name=f"cell {cell}, column {place}", choices=tuple(LETTERS)) for cell, place in places)

    def mask(self, section: ColumnsSection, chosen: Sequence[int]) -> tuple[bool, ...]:
        return (True,) * len(LETTERS)

    def from_tokens(self, section: ColumnsSection, chosen: Sequence[int]) -> Genotype:
        for place, number in enumerate(chosen):
            if not 0 <= number < len(LETTERS):
                raise ValueError(f"column {place} may be one of {list(range(len(LETTERS)))}, got {number}.")
        return self.genotype(section, "".join(LETTERS[number] for number in chosen))

    def genotype(self, section: ColumnsSection, letters: str) -> Genotype:
        """The genotype of these letters in a space with this section."""
        return Genotype(
            space=self.name, cells=split(letters, section.columns), residual=section.residual, norm=section.norm,
            downscale=section.downscale, transition=section.transition,
        )  # fmt: skip

    def from_line(self, section: ColumnsSection, text: str) -> Genotype:
        """Words of P and F, as in FPFF FPFF PFPF."""
        return self.genotype(section, text.replace(" ", ""))

    def operations_of(self, genotype: Genotype) -> list[str]:
        """The columns' modules."""
        return [{"P": "parallel", "F": "fusion"}[letter] for letter in genotype.letters]

    def describe(self, genotype: Genotype, sizes: ColumnsSizes) -> str:
        residual = "a global residual" if genotype.residual else "no global residual"
        scale = f", at 1 / {genotype.downscale} of the resolution" if genotype.downscale > 1 else ""
        widths = ", ".join(map(str, sizes.widths))
        return (
            f"Columns {genotype.text} (P parallel, F fusion){scale}, {residual}; branches of {widths} channels, each at half the "
            "resolution of that before it."
        )


SPACE = Clearer()
