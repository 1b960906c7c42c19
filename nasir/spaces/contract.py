"""What a search space is, whatever it is made of: the contract that strategies, stages and reports rely on.

A space is one file of this folder that holds its `SPACE`. It owns its genotype, how that is decoded, built, counted,
described and drawn, and the settings of both. Nothing here knows of cells or widths.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from nasir import plugins, spaces
from nasir.messages import shown

if TYPE_CHECKING:  # settings are read by stages that need no torch
    import torch
    from torch import Tensor, nn

Genotype = Any
"""A discrete choice: a plain value without tensors, of whatever class the space has."""

OTHERS = ("contract",)
"""Files of this folder that are no space."""


class NothingToModifyError(ValueError):
    """The genotype has nothing that the modification changes."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """One choice of a controller that writes a genotype down as a sequence of numbers."""

    name: str
    choices: tuple[str, ...]  # what the numbers 0, 1, ... stand for


class Space(ABC):
    """A search space."""

    name: ClassVar[str]  # of its file
    settings: ClassVar[str]  # key of its sections in profiles, which several spaces may share
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # its sections `space` and `network` by profile, those of `base` first; for a space that stands in no profile
    Section: ClassVar[type]  # config class: what the space holds
    Sizes: ClassVar[type]  # config class: what, with a genotype, fixes a network that is retrained
    searching: ClassVar[str]  # module with what only a search needs, see `Searching`
    drawing: ClassVar[str]  # module with what only a drawing needs, see `Drawing`
    modifying: ClassVar[str] = ""  # module with `modify(genotype, kind, seed)`; empty: nothing can be modified
    # named and not imported, so that a change in a drawing trains nothing again
    stem: ClassVar[str] = ""
    # the part of its networks that reads what their method `enter` makes of an image, by its name in them: at the sizes of
    # candidates the same for all of them; empty: there is none

    @abstractmethod
    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        """A genotype as a JSON object; its key `space` is the space's name."""

    @abstractmethod
    def from_json(self, value: Any) -> Genotype:
        """The inverse of `to_json`; anything else is refused with a ValueError."""

    @abstractmethod
    def build(self, genotype: Genotype, sizes: Any, channels: int) -> "nn.Module":
        """A genotype's network with fresh weights from torch's default generator.

        Args:
            genotype: of this space.
            sizes: of the class `Sizes`.
            channels: of the images: 1 grey, 3 RGB.

        Returns:
            A module that maps float images, shape (N, channels, H, W), any H and W, to the same shape, not clipped.
        """

    @abstractmethod
    def candidate_sizes(self, section: Any) -> Any:
        """The sizes, of the class `Sizes`, at which a search with this section trains candidates."""

    def from_line(self, section: Any, text: str) -> Genotype:
        """The genotype that a person writes in one line; anything else is refused with a ValueError. By default its JSON."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise ValueError(
                f"a genotype of {self.name} must be one JSON object, got {shown(text)}; correct it."
            ) from err
        return self.from_json(value)

    def auxiliary(self, genotype: Genotype, sizes: Any, channels: int) -> "dict[str, nn.Module]":
        """Cells that a network has only while it is trained: further instances of its own, on what is half-way, with a head each.

        Nekrasov et al., CVPR 2019.

        Args:
            genotype, sizes, channels: as `build` takes them.

        Returns:
            Name of a part of the network -> what makes images of its output: a module of that output and of the network's
            input, shape (N, channels, H, W), that gives restored images of this shape. Fresh weights from torch's default
            generator. By default there are none.
        """
        return {}

    def other_sizes(self, sizes: Any) -> Iterable[Any]:
        """Sizes that differ in how wide the network is, narrow ones first; none in a space whose widths are not to be changed."""
        return ()

    @abstractmethod
    def tokens(self, section: Any) -> tuple[Token, ...]:
        """The choices that make up a genotype, in the order in which they are made."""

    @abstractmethod
    def mask(self, section: Any, chosen: Sequence[int]) -> tuple[bool, ...]:
        """Which choices of the next token are allowed after those that were made; at least one is."""

    @abstractmethod
    def from_tokens(self, section: Any, chosen: Sequence[int]) -> Genotype:
        """The genotype of one number for each token; a choice that the mask forbids is refused with a ValueError."""

    def operations_of(self, genotype: Genotype) -> list[str]:
        """The name of every operation that a genotype chose, as often as it did; none in a space that has no names for them."""
        return []

    def idle_share(self, genotype: Genotype) -> float:
        """The share of a genotype's operations that compute nothing, such as skips; 0 in a space that has none such."""
        return 0.0

    @abstractmethod
    def describe(self, genotype: Genotype, sizes: Any) -> str:
        """A sentence or two on a network, for a report."""


class Relaxed(Protocol):
    """A supernet with every choice weighed, as gradient-based strategies use it."""

    network: "nn.Module"

    def weights(self) -> "list[nn.Parameter]":
        """w: every parameter but the architecture's."""

    def architecture(self) -> "list[nn.Parameter]":
        """The parameters that weigh the choices."""

    def decode(self, tensors: "Mapping[str, Tensor]") -> Genotype:
        """The genotype of a state dict of the network."""

    def runner_up(self, tensors: "Mapping[str, Tensor]") -> Genotype | None:
        """What would be chosen next: the genotype that a state dict speaks for most, of those one choice away."""

    def evidence(self, tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """Of a state dict, what the architecture was decoded from."""

    def facts(self) -> dict[str, float]:
        """How decided the architecture is, logged as the search goes."""

    def size(self, of: str) -> "Tensor":
        """The expected `parameters` or `flops`, 1 before any learning; a scalar with a gradient to the architecture."""

    def ranking(self) -> "Tensor":
        """The place of each choice among its rivals, 0 = strongest, shape (decisions, choices)."""

    def skips(self) -> float:
        """The most operations in one unit of what would be derived now that compute nothing."""

    def discretised(self) -> AbstractContextManager[None]:
        """Meanwhile the architecture is one-hot at what it derives to; afterwards it is what it was."""

    def shuffled(self, generator: "torch.Generator") -> AbstractContextManager[None]:
        """Meanwhile the architecture is random, so that it derives to a random genotype; afterwards it is what it was."""

    # a supernet may leave out what follows; the options that need it are refused then

    def smoothness(self) -> "Tensor":
        """How far the logits of rival choices have grown, the mean of their logsumexp; a scalar with a gradient to them."""

    def indecision(self) -> "Tensor":
        """How far the weights of rival choices are from 0 and 1, a scalar with a gradient to the architecture."""


class Shared(Protocol):
    """The weights of all networks of a space, shared by those that have the same parts, as one-shot strategies use them."""

    network: "nn.Module"  # all parts

    def path(self, genotype: Genotype) -> "nn.Module":
        """A genotype's network, at the sizes of candidates, out of these parts; to train it is to train them."""


class Searching(Protocol):
    """The module `Space.searching`."""

    def random_genotype(self, space: str, section: Any, generator: "torch.Generator") -> Genotype:
        """A random genotype."""

    def relax(self, space: str, section: Any, channels: int, seed: int) -> Relaxed:
        """The supernet for images of so many channels, weights and architecture drawn from the seed.

        A space without a supernet leaves this function out.
        """

    def share(self, space: str, section: Any, channels: int, seed: int) -> Shared:
        """The shared weights for images of so many channels, drawn from the seed.

        A space without them leaves this function out.
        """


class Drawing(Protocol):
    """The module `Space.drawing`.

    It may also say in words what it draws: `outline(genotype, sizes) -> dict[str, str]`, a line for each choice by what it is,
    in the order in which a person reads them. Where it does not, the genotype's JSON is read.
    """

    def draw(self, genotype: Genotype, section: Mapping[str, Any], svg: Path, png: Path) -> None:
        """Draw a genotype into an SVG and a PNG file; the same genotype gives the same bytes.

        Args:
            genotype: what to draw.
            section: the space's section that it was searched with, as plain values.
            svg, png: files to write.
        """


def names() -> list[str]:
    """All spaces."""
    return plugins.names(spaces, OTHERS)


def find(name: object) -> Space:
    """The space of a name; an unknown one is refused with the known ones."""
    space: Space = plugins.find(spaces, name, "SPACE", "space", OTHERS)
    return space


def find_settings(key: object) -> list[Space]:
    """The spaces whose sections in profiles have this key; one that no space has is refused."""
    of_key = [space for space in map(find, names()) if space.settings == key]
    if not of_key:
        known = sorted({space.settings for space in map(find, names())})
        raise ValueError(f"a profile's space and network may have the sections {known}, got {key!r}; remove it.")
    return of_key


def of_json(value: Any) -> Space:
    """The space that a genotype's JSON names."""
    return find(value.get("space") if isinstance(value, dict) else None)


def part(module: str) -> Any:
    """A module that a space names: its `searching`, `drawing` or `modifying`."""
    return import_module(module)


def random_tokens(space: Space, section: Any, generator: "torch.Generator") -> list[int]:
    """One number for each token, each uniform among those that the mask allows."""
    import torch

    chosen: list[int] = []
    for _ in space.tokens(section):
        allowed = torch.tensor(space.mask(section, chosen)).nonzero().flatten()
        chosen.append(int(allowed[torch.randint(len(allowed), (1,), generator=generator)]))
    return chosen
