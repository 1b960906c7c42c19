"""The short table of the page of strategies: a row for each way to search, over all of its searches and seeds."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from nasir.evaluation.statistics import mean_interval
from nasir.reporting.searches.judgement import Found, seconds_of
from nasir.reporting.searches.rehearsed import Tries
from nasir.reporting.tables import number, psnr, table

CHOOSING = ("strategy.selection=", "strategy.estimator=")
"""How the changes begin that a way's name tells already."""

PLACES = (100, 1000)
"""Candidates on the table, at which regrets are told."""

UNIT = "darts"
"""The way whose seconds others are told in."""


def way(strategy: str, choosing: str | None, changes: Sequence[str]) -> str:
    """What a search is one of: its strategy, how that chooses, and whether a plan changes it otherwise."""
    is_changed = any(not change.startswith(CHOOSING) for change in changes)
    return ", ".join(part for part in (strategy, choosing or "", "changed" if is_changed else "") if part)


def short(spaces: Mapping[str, Mapping[str, Sequence[Found]]], tries: Mapping[str, Tries]) -> str:
    """The section; nothing where nothing was found.

    Args:
        spaces: of each space what was found in each way.
        tries: on the table, by strategy; may be empty.
    """
    names = list(dict.fromkeys(name for ways in spaces.values() for name, found in ways.items() if found))
    if not names:
        return ""
    places = [place for place in PLACES if tries and all(place in of for of in tries.values())]
    tabled = {_on_the_table(name): of for name, of in tries.items()} if places else {}
    columns, rows = ["way to search"], []
    for space in spaces:
        columns += [f"`{space}`: seconds (times {UNIT})", "PSNR, dB", "percentile"]
    columns += [f"table: regret, dB, after {place:,}" for place in places]
    for name in [*names, *(other for other in tabled if other not in names)]:
        cells = [name]
        for ways in spaces.values():
            cells += _cells(ways.get(name, []), ways.get(UNIT, []))
        for place in places:
            of = tabled.get(name)
            cells.append("" if of is None else number(mean_interval(of[place][0]).mean, 3))
        rows.append(cells)
    parts = [
        "## In short",
        "A row is a way to search, over all searches and seeds that were run: mean seconds (as a multiple of those of plain "
        f"{UNIT} in that space), mean PSNR and mean percentile of what was found, from the lowest to the highest where there are "
        "several. Changed: by the plan, as the cures of darts are; each search has a row of its own below.",
        table(columns, rows, columns[1:]),
    ]
    if places:
        parts.append(
            "Table: [searches on a table](#searches-on-a-table), where every score costs the same and nothing is trained."
        )
    return "\n\n".join(parts)


def _on_the_table(name: str) -> str:
    """What the rehearsal's strategies are called here: its evolution is that of `one_shot`."""
    return "one_shot, evolution" if name == "evolution" else name.lower()


def _cells(found: Sequence[Found], unit: Sequence[Found]) -> list[str]:
    if not found:
        return ["", "", ""]
    seconds = seconds_of(found)
    times = f" ({number(seconds / seconds_of(unit), 1)})" if unit else ""
    scores, percentiles = [one.psnr_db for one in found], [one.percentile for one in found]
    bounds = (
        (
            f" ({psnr(min(scores))} to {psnr(max(scores))})",
            f" ({number(min(percentiles), 0)} to {number(max(percentiles), 0)})",
        )
        if len(found) > 1
        else ("", "")
    )
    return [
        number(seconds, 0) + times,
        psnr(fmean(scores)) + bounds[0],
        number(fmean(percentiles), 0) + bounds[1],
    ]
