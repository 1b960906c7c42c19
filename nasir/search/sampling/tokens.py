"""Genotypes as sequences of tokens: drawn fairly, changed a little, kept within a window of size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from nasir.config.reading import require
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.spaces.contract import Genotype, Space, random_tokens

Tokens = tuple[int, ...]

TRIES = 2000
"""Draws outside of a window after which it counts as empty."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a candidate may have, at the sizes at which a search trains candidates."""

    of: str  # parameters, or flops: operations of a forward pass per pixel
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        require(self.of in ("parameters", "flops"), "strategy.window_of must be parameters or flops", self.of)
        require(
            0 <= self.lowest <= self.highest,
            "strategy.window must hold two numbers, 0 or more, the second not below the first",
            [self.lowest, self.highest],
        )

    def holds(self, space: Space, section: Any, channels: int, genotype: Genotype) -> bool:
        """Whether a genotype's network, for images of so many channels, lies within."""
        return self.lowest <= self.measure(space, section, channels, genotype) <= self.highest

    def measure(self, space: Space, section: Any, channels: int, genotype: Genotype) -> float:
        """What the window is of, for a genotype's network."""
        return _measure(self.of, space, section, channels, genotype)


@lru_cache(maxsize=10_000)
def _measure(of: str, space: Space, section: Any, channels: int, genotype: Genotype) -> float:
    """In a small space the same networks are drawn again and again, and each takes 0.02 s to build."""
    network = outline(space, section, channels, genotype)
    if of == "parameters":
        return float(parameters(network))
    return flops_per_pixel(network.to_empty(device="cpu"), channels)


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """The part of a strategy's section that says of which size candidates are."""

    window_of: str  # parameters, flops
    window: tuple[float, ...]  # the lowest and the highest that a candidate may have, at the search's sizes

    def __post_init__(self) -> None:
        require(len(self.window) == 2, "strategy.window must hold two numbers", list(self.window))
        _ = self.limits

    @property
    def limits(self) -> Window:
        """The window."""
        return Window(of=self.window_of, lowest=self.window[0], highest=self.window[1])


def outline(space: Space, section: Any, channels: int, genotype: Genotype) -> nn.Module:
    """A genotype's network as it would be trained alone, without memory for its weights: to be counted, not run."""
    with torch.device("meta"):
        return space.build(genotype, space.candidate_sizes(section), channels)


def draw(space: Space, section: Any, channels: int, window: Window, generator: torch.Generator) -> Tokens:
    """Tokens within the window, each uniform among those that the mask allows, drawn until they are.

    Raises:
        ValueError: if none of 2,000 draws lies within.
    """
    return _until_within(lambda: random_tokens(space, section, generator), space, section, channels, window)


def mutate(
    parent: Sequence[int], space: Space, section: Any, channels: int, window: Window, generator: torch.Generator
) -> Tokens:
    """A copy within the window in which one token, drawn at random, has another value.

    Of those behind it, the ones that the mask then forbids are drawn anew.

    Raises:
        ValueError: if none of 2,000 copies lies within.
    """
    return _until_within(
        lambda: change(parent, space, section, generator), space, section, channels, window, other_than=tuple(parent)
    )


def change(parent: Sequence[int], space: Space, section: Any, generator: torch.Generator) -> Tokens:
    """A copy, of any size, in which one token has another value; where it has no other choice the parent itself."""
    place = int(torch.randint(len(parent), (1,), generator=generator))
    chosen = list(parent[:place])
    for position in range(place, len(parent)):
        allowed = [number for number, is_allowed in enumerate(space.mask(section, chosen)) if is_allowed]
        if position == place and len(allowed) > 1:
            allowed.remove(parent[place])
        is_kept = position > place and parent[position] in allowed
        chosen.append(parent[position] if is_kept else _pick(allowed, generator))
    return tuple(chosen)


def fair(space: Space, section: Any, generator: torch.Generator) -> list[Tokens]:
    """As many paths as the token with the most choices has, in which every token takes each of its choices equally often.

    FairNAS (Chu et al., ICCV 2021, section 3.3): the choices of a token are shuffled, and path k takes the k-th. Tokens of
    fewer choices begin again; a choice that the mask forbids is replaced by one drawn among the allowed.
    """
    tokens = space.tokens(section)
    count = max(len(token.choices) for token in tokens)
    orders = []
    for token in tokens:
        rounds = -(-count // len(token.choices))
        shuffled = [torch.randperm(len(token.choices), generator=generator) for _ in range(rounds)]
        orders.append(torch.cat(shuffled).tolist())
    paths = []
    for path in range(count):
        chosen: list[int] = []
        for order in orders:
            allowed = [number for number, is_allowed in enumerate(space.mask(section, chosen)) if is_allowed]
            chosen.append(order[path] if order[path] in allowed else _pick(allowed, generator))
        paths.append(tuple(chosen))
    return paths


def _pick(allowed: Sequence[int], generator: torch.Generator) -> int:
    return allowed[int(torch.randint(len(allowed), (1,), generator=generator))]


def _until_within(
    make: Callable[[], Sequence[int]],
    space: Space,
    section: Any,
    channels: int,
    window: Window,
    other_than: Tokens | None = None,
) -> Tokens:
    for _ in range(TRIES):
        tokens = tuple(make())
        genotype = space.from_tokens(section, tokens)
        if tokens != other_than and window.holds(space, section, channels, genotype):
            return tokens
    raise ValueError(
        f"strategy.window must leave room for candidates, got none of {TRIES} with {window.lowest:g} to "
        f"{window.highest:g} {window.of}; widen it (this one has {window.measure(space, section, channels, genotype):g})."
    )
