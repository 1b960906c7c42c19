"""Which candidates are scored: random ones, or regularised evolution (Real et al., AAAI 2019)."""

from collections.abc import Callable

import torch

from nasir.search.sampling.tokens import Tokens

TRIES = 50
"""Draws that turn out known already after which one of them is taken again."""


def select_random(score: Callable[[Tokens], float], draw: Callable[[], Tokens], candidates: int) -> None:
    """Score `candidates` candidates, each drawn anew, none twice as long as there are others."""
    known: set[Tokens] = set()
    for _ in range(candidates):
        tokens = _unknown(draw, known)
        known.add(tokens)
        score(tokens)


def evolve(
    score: Callable[[Tokens], float],
    draw: Callable[[], Tokens],
    mutate: Callable[[Tokens], Tokens],
    *,
    candidates: int,
    population: int,
    tournament: int,
    generator: torch.Generator,
) -> None:
    """Regularised evolution (Real et al., AAAI 2019, algorithm 1), which lets the oldest die and not the worst.

    Args:
        score: of a candidate; more is better.
        draw: a random candidate, for the first `population`.
        mutate: a child.
        candidates: scored in all.
        population: how many live at a time.
        tournament: how many of them are drawn to find the parent of the next child, the best of these.
        generator: of the tournaments.
    """
    known: set[Tokens] = set()
    living: list[tuple[Tokens, float]] = []
    for number in range(candidates):
        if number < population:
            tokens = _unknown(draw, known)
        else:
            drawn = torch.randperm(len(living), generator=generator)[:tournament].tolist()
            parent, _ = max((living[one] for one in drawn), key=lambda candidate: candidate[1])
            tokens = _unknown(lambda parent=parent: mutate(parent), known)  # type: ignore[misc]
        known.add(tokens)
        living.append((tokens, score(tokens)))
        if len(living) > population:
            del living[0]


def _unknown(make: Callable[[], Tokens], known: set[Tokens]) -> Tokens:
    for _ in range(TRIES):
        tokens = make()
        if tokens not in known:
            break
    return tokens
