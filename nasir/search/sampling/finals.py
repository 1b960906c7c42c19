"""Finals: a few candidates that differ, each trained alone, in rounds of fewer and longer trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 3
"""A round keeps one of so many finalists, and trains them so many times as long (successive halving, Jamieson and Talwalkar,
AISTATS 2016, with 3 for 2)."""


def rounds(finalists: int, steps: int, count: int) -> list[tuple[int, int]]:
    """How many finalists each round trains, and for how many steps.

    Args:
        finalists: of the first round; with 0 there is none.
        steps: of its trainings.
        count: of rounds; one that would have a single finalist is left out.
    """
    found = [(finalists, steps)] if finalists > 0 else []
    for _ in range(count - 1):
        last, length = found[-1] if found else (0, 0)
        if -(-last // KEPT) > 1:
            found.append((-(-last // KEPT), length * KEPT))
    return found


def apart(candidates: Sequence[Mapping[str, Any]], count: int, least: int) -> list[int]:
    """The places of the best candidates, each of which differs from every better one among them in `least` tokens or more.

    Evolution ends with copies of its best that differ in a token or two, and two edges of a node may stand in either order.
    If there are not so many, the best of the rest follow.

    Args:
        candidates: each with `tokens` and `score`.
        count: how many.
        least: tokens.
    """
    order = sorted(range(len(candidates)), key=lambda place: -candidates[place]["score"])
    chosen: list[int] = []
    for place in order:
        own = candidates[place]["tokens"]
        gaps = (sum(a != b for a, b in zip(own, candidates[other]["tokens"], strict=True)) for other in chosen)
        if len(chosen) < count and all(gap >= least for gap in gaps):
            chosen.append(place)
    rest = [place for place in order if place not in chosen]
    return chosen + rest[: count - len(chosen)]
