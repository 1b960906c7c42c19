"""What a search needs of a space of columns: random genotypes, the supernet with what is asked of it, shared weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nasir.layers.cost import parameters
from nasir.layers.keeping import put_back
from nasir.spaces.clearer import SPACE, Supernet, branches_of, module_of
from nasir.spaces.contract import random_tokens
from nasir.spaces.resolutions.genotype import LETTERS, Genotype
from nasir.spaces.resolutions.section import ColumnsSection
from nasir.spaces.shared.logits import CERTAIN, mean_entropy, places
from nasir.spaces.shared.parts import SharedParts

PUBLISHED = (0.7, 0.3)
"""Shares of a parallel and of a fusion module in the parameters of both, as the authors' code rounds them."""

CLAMP = 1e-6
"""Weights closer to 0 or 1 count as so far away: the logarithm of the authors' code is not a number there."""


def random_genotype(space: str, section: ColumnsSection, generator: torch.Generator) -> Genotype:
    """A random genotype, every letter as likely as the other."""
    return SPACE.from_tokens(section, random_tokens(SPACE, section, generator))


def relax(space: str, section: ColumnsSection, channels: int, seed: int) -> "RelaxedColumns":
    """The supernet for images of so many channels, with weights and alpha drawn from the seed."""
    torch.manual_seed(seed)
    return RelaxedColumns(Supernet(channels, section, torch.Generator().manual_seed(seed)), section)


def share(space: str, section: ColumnsSection, channels: int, seed: int) -> SharedParts:
    """The shared weights of all networks for images of so many channels, drawn from the seed."""
    sizes = SPACE.candidate_sizes(section)
    ends = [SPACE.genotype(section, letter * sum(section.columns)) for letter in LETTERS]
    return SharedParts(lambda genotype, take: SPACE.assemble(genotype, sizes, channels, take), ends, seed)


class RelaxedColumns:
    """A supernet of columns, its alpha read by the rules of the space.

    Args:
        network: the supernet.
        section: what it was built with.
    """

    def __init__(self, network: Supernet, section: ColumnsSection) -> None:
        self.network, self.section = network, section
        self._costs: dict[str, Tensor] = {}

    @property
    def alpha(self) -> nn.Parameter:
        """Logits of the columns' letters, shape (columns, 2)."""
        return self.network.alpha

    def weights(self) -> list[nn.Parameter]:
        """w."""
        return self.network.weights()

    def architecture(self) -> list[nn.Parameter]:
        """alpha."""
        return [self.alpha]

    def decode(self, tensors: Mapping[str, Tensor]) -> Genotype:
        """The genotype of a state dict: each column's largest logit, P if both are the same."""
        return SPACE.genotype(self.section, "".join(LETTERS[int(row[1] > row[0])] for row in tensors["alpha"]))

    def runner_up(self, tensors: Mapping[str, Tensor]) -> Genotype | None:
        """The genotype with the other letter in the column that is least decided."""
        letters = list(self.decode(tensors).letters)
        gaps = (tensors["alpha"][:, 0] - tensors["alpha"][:, 1]).abs()
        least = int(gaps.argmin())
        letters[least] = LETTERS[letters[least] == LETTERS[0]]
        return SPACE.genotype(self.section, "".join(letters))

    def evidence(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """alpha."""
        return {"alpha": tensors["alpha"]}

    def facts(self) -> dict[str, float]:
        """`choice_entropy`, the mean over the columns in nats; `fusion_share`, the mean weight of fusion modules; and that of
        each column, `fusion_1` and so on.
        """
        fusion = self.alpha.detach().softmax(dim=-1)[:, 1]
        by_column = {f"fusion_{number}": weight for number, weight in enumerate(fusion.tolist(), start=1)}
        return {"choice_entropy": mean_entropy(self.alpha), "fusion_share": fusion.mean().item()} | by_column

    def indecision(self) -> Tensor:
        """L_Arch of CLEARER: the mean over all weights w of -w log10 w - (1 - w) log10(1 - w), a scalar."""
        weights = self.alpha.softmax(dim=-1).clamp(CLAMP, 1 - CLAMP)
        return -(weights * weights.log10() + (1 - weights) * (1 - weights).log10()).mean()

    def size(self, of: str) -> Tensor:
        """L_Comp of CLEARER over its value at equal weights: the columns' expected cost, see `space.costs`."""
        if of not in self._costs:
            self._costs[of] = column_costs(self.section, of)
        costs = self._costs[of].to(self.alpha)
        return (self.alpha.softmax(dim=-1) * costs).sum() / (costs.sum() / len(LETTERS))

    def ranking(self) -> Tensor:
        """The place of each letter in its column, 0 = strongest."""
        return places(self.alpha)

    def skips(self) -> float:
        """Neither module is idle."""
        return 0.0

    @contextmanager
    def shuffled(self, generator: torch.Generator) -> Iterator[None]:
        """Meanwhile alpha is random, N(0, 1)."""
        with put_back([self.alpha]):
            self.alpha.data.copy_(torch.randn(self.alpha.shape, generator=generator))
            yield

    @contextmanager
    def discretised(self) -> Iterator[None]:
        """Meanwhile alpha weighs each column's chosen module alone."""
        with put_back([self.alpha]):
            first = self.alpha.data[:, :1] >= self.alpha.data[:, 1:]
            self.alpha.data.copy_(CERTAIN * torch.cat([first, ~first], dim=1))
            yield

    def smoothness(self) -> Tensor:
        """The mean of logsumexp(alpha) over the columns, a scalar."""
        return self.alpha.logsumexp(dim=-1).mean()


def column_costs(section: ColumnsSection, of: str) -> Tensor:
    """What a parallel and a fusion module cost in each column, shape (columns, 2), float64.

    Args:
        section: with `costs: published` the same pair in each column, whatever it is `of`; with `counted` their own.
        of: parameters, or flops (operations for a pixel of the image, a multiply-add counting two).
    """
    if section.costs == "published":
        return torch.tensor([PUBLISHED] * sum(section.columns), dtype=torch.float64)
    rows = []
    for cell, count in enumerate(section.columns):
        widths = section.widths[: branches_of(cell, section.widths, section.transition)]
        modules = [module_of(letter, widths, "batch") for letter in LETTERS]
        costs = [_flops(module, widths) if of == "flops" else float(parameters(module)) for module in modules]
        rows += [costs] * count
    return torch.tensor(rows, dtype=torch.float64)


@torch.no_grad()
def _flops(module: nn.Module, widths: tuple[int, ...]) -> float:
    side = 2 ** len(widths)
    branches = [torch.zeros(1, width, side >> level, side >> level) for level, width in enumerate(widths)]
    with FlopCounterMode(display=False) as counter:
        module.eval()(branches)
    return counter.get_total_flops() / side**2
