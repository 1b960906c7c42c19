"""What a search strategy is: it takes a space and a budget, and gives a genotype with the evidence for it.

A strategy is one file of this folder that holds its `STRATEGY`. It knows spaces by their contract alone
(`nasir.spaces.contract`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from nasir import plugins, search
from nasir.config.search import SearchConfig
from nasir.config.training import OFF, SafetyConfig
from nasir.files import Log
from nasir.spaces.contract import Genotype, Space

if TYPE_CHECKING:
    from torch import Tensor

    from nasir.data.patches import PatchSampler
    from nasir.data.pictures.collection import Sample
    from nasir.training.parallel import Team

OTHERS = ("contract",)
"""Files of this folder that are no strategy."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is to be searched, on which pictures, with how much training."""

    space: Space
    of_space: Any  # the space's section
    config: SearchConfig
    of_strategy: Any  # the strategy's section
    channels: int  # of the images
    patches_w: "PatchSampler"  # where the batches of W come from
    patches_a: "PatchSampler"  # and those of A
    images_v: "Mapping[str, Sample]"  # V, name -> clean image, shape (C, H, W), or pair of them
    seed: int  # of weights, patches, candidates and V's keyed noise
    state: dict[str, Any] | None  # what an earlier call gave to `save`, to carry on from there; None to start
    save: Callable[[dict[str, Any]], None]  # called with a checkpoint's content
    log: Log
    team: "Team"  # the processes that share each batch; the first one saves and logs
    safety: SafetyConfig = OFF  # of trainings that keep checkpoints: supernets and shared weights


@dataclass(frozen=True, kw_only=True)
class Control:
    """What was found against random genotypes, by the measure and with the weights that a search has anyway."""

    found: float
    random: list[float]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search ends with: a genotype, and the evidence for it."""

    genotype: Genotype  # the best by its score on V
    runner_up: Genotype | None  # what it would have chosen next
    step: int  # of the history, at which the best was scored
    scores: dict[str, float]
    spent_flops: float  # operations of forward passes in training, and of scoring where that is how it searches
    history: list[tuple[int, str, float]]
    tensors: "dict[str, dict[str, Tensor]]" = field(default_factory=dict)  # by name of the file they are kept in
    control: "Control | None" = None  # what chance reaches by this search's own measure
    candidates: list[dict[str, Any]] | None = None  # of a strategy that scores candidates, in their order
    facts: dict[str, Any] = field(default_factory=dict)  # what else is to be told of this search


class Strategy(ABC):
    """A search strategy."""

    name: ClassVar[str]  # of its file
    Section: ClassVar[type]  # config class of its section `strategy`
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # {"strategy": section} by profile, those of `base` first; for a strategy that stands in no profile

    @abstractmethod
    def search(self, problem: Problem) -> Found:
        """Search.

        Raises:
            FloatingPointError: if a loss is not finite; it names the step.
        """

    @abstractmethod
    def count(self, section: Any, config: SearchConfig) -> int:
        """The number of the last news."""

    def rank(self, problem: Problem, found: Found, networks: Sequence[Sequence[int]]) -> list[float] | None:
        """Scores, dB on V, of other networks of the space by the measure that a search chose by; None where it has none.

        Args:
            problem: that was searched.
            found: what it ended with.
            networks: as tokens.
        """
        return None

    def check(self, section: Any, config: SearchConfig) -> None:
        """Refuse a section that does not go with the search's, with a ValueError; by default all do."""
        return None


def names() -> list[str]:
    """All strategies."""
    return plugins.names(search, OTHERS)


def find(name: object) -> Strategy:
    """The strategy of a name; an unknown one is refused with the known ones."""
    strategy: Strategy = plugins.find(search, name, "STRATEGY", "search.strategy", OTHERS)
    return strategy
