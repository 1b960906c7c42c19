"""What searches by reinforcement learning were rewarded with, candidate by candidate, and at equal seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.tables import number, table

LAST = 4
"""The last so many-th part of the candidates says what a controller has learnt to draw."""


@dataclass(frozen=True, kw_only=True)
class Rewarded:
    """A search whose candidates were rewarded."""

    candidates: int  # all of them, the first ones, too, which have no reward until they are all there
    numbers: list[int]  # of candidates behind the first ones
    rewards: list[float]  # theirs
    seconds: list[float]  # since the search began, when each was done
    stopped: dict[int, bool]  # by number, whether it had no second training; empty where that was not recorded
    ended: int | None  # how many had none, of all; None where that was not recorded

    def until(self, seconds: float) -> list[float]:
        """The rewards of candidates that were done within so many seconds."""
        return [reward for reward, done in zip(self.rewards, self.seconds, strict=True) if done <= seconds]

    @property
    def whole(self) -> float:
        """Seconds of all candidates."""
        return self.seconds[-1]

    @property
    def last(self) -> list[float]:
        """The rewards of the last candidates."""
        return self.rewards[-(-len(self.rewards) * (LAST - 1) // LAST) :]


def of(result: Mapping[str, Any]) -> Rewarded | None:
    """What a search's result says of its rewards; None where its candidates had none, or fewer than two.

    Seconds are the search's, shared out to its candidates as the operations of forward passes are: a result has seconds of the
    whole alone, as what is computed must not depend on them.
    """
    curves: dict[str, dict[int, float]] = {}
    for step, metric, value in result.get("history", []):
        curves.setdefault(metric, {})[step] = value
    if "reward" not in curves or "spent_flops" not in curves:
        return None
    spent, first = curves["spent_flops"], min(curves["reward"])
    numbers = [number for number in sorted(curves["reward"]) if number > first]
    if len(numbers) < 2:
        return None
    pace = result["seconds"] / max(spent.values())
    return Rewarded(
        candidates=max(spent),
        numbers=numbers,
        rewards=[curves["reward"][number] for number in numbers],
        seconds=[pace * spent[number] for number in numbers],
        stopped={number: bool(value) for number, value in sorted(curves.get("stopped", {}).items())},
        ended=result.get("facts", {}).get("stopped"),
    )


def rewards(page: Path, searched: Mapping[str, Any]) -> str:
    """The section, and its figure `rewards.png` in the folder of the page's name; nothing without rewards.

    Args:
        page: Markdown file.
        searched: results of searches, by name and seed.
    """
    known = {name: one for name, result in searched.items() if (one := of(result)) is not None}
    if not known:
        return ""
    shortest = min(one.whole for one in known.values())
    write_bytes(page.with_suffix("") / "rewards.png", figures.rewards(known, shortest))
    rows = []
    for name, one in known.items():
        equal = one.until(shortest)
        ended = "" if one.ended is None else f"{one.ended} of {one.candidates}"
        values = [fmean(equal), max(equal), fmean(one.last)] if equal else []
        cells = [number(value, 3) for value in values] or [""] * 3
        rows.append([name, number(one.whole, 0), str(len(equal)), *cells, ended])
    columns = ["search", "seconds", "rewards at equal seconds", "their mean", "the best", f"mean of the last {LAST}th"]
    return "\n\n".join(
        [
            "## What controllers were rewarded with",
            "Rewards of the candidates behind the first ones, which fix a search's scale: those of searches with one seed and "
            "the same trainings have one scale, others are not to be compared. A search whose controller is never taught "
            f"draws at random. Equal seconds: the {number(shortest, 0)} of the search that took the least, a candidate's "
            "share of a search's seconds being its share of the operations.",
            f"![rewards over candidates, their distribution, early ends]({page.stem}/rewards.png)",
            table([*columns, "ended early"], rows, columns[1:]),
        ]
    )
