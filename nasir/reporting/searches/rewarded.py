"""What searches by reinforcement learning were rewarded with, candidate by candidate, and at equal cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.tables import number, table

LAST = 4
"""The last so many-th part of the candidates says what a controller has learnt to draw."""

OTHER_MACHINE = 2.0
"""Searches of one study whose operations take more than so many times as long ran on different machines."""


@dataclass(frozen=True, kw_only=True)
class Rewarded:
    """A search whose candidates were rewarded."""

    candidates: int  # all of them, the first ones, too, which have no reward until they are all there
    numbers: list[int]  # of candidates behind the first ones
    rewards: list[float]  # theirs
    costs: list[float]  # since the search began, when each was done: seconds, or operations of forward passes
    seconds: float  # of the search, on the machine that it ran on
    stopped: dict[int, bool]  # by number, whether it had no second training; empty where that was not recorded
    ended: int | None  # how many had none, of all; None where that was not recorded

    def until(self, cost: float) -> list[float]:
        """The rewards of candidates that were done at this cost."""
        return [reward for reward, done in zip(self.rewards, self.costs, strict=True) if done <= cost]

    @property
    def whole(self) -> float:
        """The cost of all candidates."""
        return self.costs[-1]

    @property
    def pace(self) -> float:
        """Seconds of a unit of cost."""
        return self.seconds / self.whole

    def by_the_clock(self) -> "Rewarded":
        """The same, with seconds as its costs: the search's, shared out to its candidates as their operations are.

        A result has seconds of the whole alone, as what is computed must not depend on them.
        """
        return replace(self, costs=[cost * self.pace for cost in self.costs])

    @property
    def last(self) -> list[float]:
        """The rewards of the last candidates."""
        return self.rewards[-(-len(self.rewards) * (LAST - 1) // LAST) :]


def of(result: Mapping[str, Any]) -> Rewarded | None:
    """What a search's result says of its rewards; None where its candidates had none, or fewer than two. Costs are operations."""
    curves: dict[str, dict[int, float]] = {}
    for step, metric, value in result.get("history", []):
        curves.setdefault(metric, {})[step] = value
    if "reward" not in curves or "spent_flops" not in curves:
        return None
    spent, first = curves["spent_flops"], min(curves["reward"])
    numbers = [number for number in sorted(curves["reward"]) if number > first]
    if len(numbers) < 2:
        return None
    return Rewarded(
        candidates=max(spent),
        numbers=numbers,
        rewards=[curves["reward"][number] for number in numbers],
        costs=[spent[number] for number in numbers],
        seconds=result["seconds"],
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
    paces = [one.pace for one in known.values()]
    is_timed = max(paces) <= OTHER_MACHINE * min(paces)
    costs = {name: one.by_the_clock() if is_timed else one for name, one in known.items()}
    least = min(one.whole for one in costs.values())
    within = f"{number(least, 0)} seconds" if is_timed else f"{least:.2g} operations"
    about = (
        "a candidate's share of a search's seconds being its share of the operations"
        if is_timed
        else "of forward passes, since these searches ran on machines of which one takes more than "
        f"{OTHER_MACHINE:g} times as long as another"
    )
    write_bytes(page.with_suffix("") / "rewards.png", figures.rewards(costs, least, within))
    rows = []
    for name, one in costs.items():
        equal = one.until(least)
        ended = "" if one.ended is None else f"{one.ended} of {one.candidates}"
        values = [fmean(equal), max(equal), fmean(one.last)] if equal else []
        cells = [number(value, 3) for value in values] or [""] * 3
        rows.append([name, number(one.seconds, 0), f"{known[name].whole:.2g}", str(len(equal)), *cells, ended])
    equally = "rewards at equal seconds" if is_timed else "rewards at equal operations"
    columns = ["search", "seconds", "operations", equally, "their mean", "the best"]
    columns += [f"mean of the last {LAST}th", "ended early"]
    return "\n\n".join(
        [
            "## What controllers were rewarded with",
            "Rewards of the candidates behind the first ones, which fix a search's scale: those of searches with one seed and "
            "the same trainings have one scale, others are not to be compared. A search whose controller is never taught "
            f"draws at random. Equal: the {within} of the search that needed the fewest, {about}.",
            f"![rewards over candidates, their distribution, early ends]({page.stem}/rewards.png)",
            table(columns, rows, columns[1:-1]),
        ]
    )
