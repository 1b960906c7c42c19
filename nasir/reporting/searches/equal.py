"""Strategies at equal cost: what each finds when the time of the longest search is spent on several runs of the shorter ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from statistics import fmean
from typing import Any

from nasir.reporting.searches.judgement import Found, seconds_of
from nasir.reporting.tables import number, psnr, table

NEAR = 0.1
"""Runs that take a tenth more than there is time for still count as within it: seconds of a run differ by as much."""


@dataclass(frozen=True, kw_only=True)
class Equal:
    """What a strategy reaches within some seconds."""

    runs: int  # that fit, of those that were made
    seconds: float  # of so many runs
    psnr_db: float  # of the network chosen among theirs by its score on V, mean over all choices of so many runs
    percentile: float  # of random networks, the same mean


def several(runs: Sequence[Found], seconds: float) -> Equal:
    """As many runs of a search as fit, the best of them by its score on V after training.

    Args:
        runs: of the search, from different seeds.
        seconds: how long all may take.
    """
    each = seconds_of(runs)
    count = min(len(runs), max(1, int(seconds / each + NEAR)))
    chosen = [max(some, key=lambda one: one.result["v_psnr_db"]) for some in combinations(runs, count)]
    return Equal(
        runs=count,
        seconds=count * each,
        psnr_db=fmean(one.psnr_db for one in chosen),
        percentile=fmean(one.percentile for one in chosen),
    )


def trained(random: Sequence[Mapping[str, Any]], seconds: float) -> Equal:
    """No search: as many random networks as can be trained whole, the best of them by its score on V.

    Of n networks, the one with the k-th highest score (from 0 on) is the best of m drawn ones with probability
    C(n - 1 - k, m - 1) / C(n, m).
    """
    each = fmean(one["seconds"] for one in random)
    count = min(len(random), max(1, int(seconds / each + NEAR)))
    means = [fmean(one["psnr_db"].values()) for one in random]
    order = sorted(range(len(random)), key=lambda place: -random[place]["v_psnr_db"])
    total = comb(len(random), count)
    shares = [comb(len(random) - 1 - rank, count - 1) / total for rank in range(len(random))]
    percentiles = [100 * fmean(other <= own for other in means) for own in means]
    return Equal(
        runs=count,
        seconds=count * each,
        psnr_db=sum(share * means[place] for share, place in zip(shares, order, strict=True)),
        percentile=sum(share * percentiles[place] for share, place in zip(shares, order, strict=True)),
    )


def compared(random: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[Found]], least: int) -> str:
    """The table of one study, the best first; nothing where no search was run with enough seeds.

    Args:
        random: results of the random networks.
        found: of each search.
        least: seeds that a search needs to stand in the table.
    """
    several_seeds = {name: runs for name, runs in found.items() if len(runs) >= least}
    if not several_seeds:
        return ""
    seconds = max(seconds_of(runs) for runs in several_seeds.values())
    rows = {name: several(runs, seconds) for name, runs in several_seeds.items()}
    rows["no search: random networks trained whole"] = trained(random, seconds)
    cells = [
        [name, str(one.runs), number(one.seconds, 0), psnr(one.psnr_db), number(one.percentile, 0)]
        for name, one in sorted(rows.items(), key=lambda pair: -pair[1].psnr_db)
    ]
    columns = ["within", "runs", "their seconds", "PSNR, dB", "percentile"]
    return "\n\n".join(
        [
            f"At equal cost, {number(seconds, 0)} seconds of search: as many runs as fit of each search with {least} seeds or "
            "more (of those that were made), the network among theirs that is best on V after training, mean over all choices "
            "of so many runs; the trainings of what they found are not counted. Where nothing is searched, the seconds go into "
            "whole trainings of random networks.",
            table(columns, cells, columns[1:]),
        ]
    )
