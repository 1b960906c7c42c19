"""How good networks of different sizes are: those given by hand, and everything that was trained against what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.searches.judgement import Found, Scores, judge, tau, width
from nasir.reporting.tables import interval, number, psnr, signed, table

WIDE = 1.15
"""Largest over smallest network from which on sizes are compared."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What random networks of so many operations reach: the control of a search that finds larger ones."""

    doubling: float  # dB for twice the operations
    start: float  # dB at one operation a pixel
    explained: float  # share of the variance between random networks
    rest: list[float]  # what is left of each random network's PSNR, dB
    most: float  # operations of the largest of them

    def above(self, result: Mapping[str, Any]) -> float:
        """What is left of a network's PSNR when that of its operations is taken off, dB."""
        return (
            fmean(result["psnr_db"].values()) - self.start - self.doubling * float(np.log2(result["flops_per_pixel"]))
        )

    def percentile(self, result: Mapping[str, Any]) -> float:
        """Of random networks of which no more is left."""
        own = self.above(result)
        return 100 * fmean(one <= own for one in self.rest)

    def is_beyond(self, result: Mapping[str, Any]) -> bool:
        """Whether a network has more operations than any random one, where the line is only carried on."""
        return bool(result["flops_per_pixel"] > self.most)

    @property
    def spread(self) -> float:
        """Standard deviation of what is left, dB."""
        return float(np.sqrt(np.sum(np.square(self.rest)) / (len(self.rest) - 2)))


def line_of(random: Sequence[Mapping[str, Any]]) -> Line | None:
    """A line of PSNR over the logarithm of the operations by least squares; None of less than three networks or of one size."""
    operations = np.array([one["flops_per_pixel"] for one in random], float)
    if len(operations) < 3 or operations.max() < WIDE * operations.min():
        return None
    scores = np.array([fmean(one["psnr_db"].values()) for one in random])
    doubling, start = np.polyfit(np.log2(operations), scores, 1)
    rest = scores - start - doubling * np.log2(operations)
    explained = 1 - rest.var() / scores.var() if scores.var() > 0 else 0.0
    return Line(
        doubling=float(doubling), start=float(start), explained=float(explained), rest=rest.tolist(), most=float(operations.max())
    )  # fmt: skip


def explained(random: Sequence[Mapping[str, Any]]) -> str:
    """How much of what random networks differ by is their size; nothing where they are of one size."""
    line = line_of(random)
    if line is None:
        return ""
    scores = [fmean(one["psnr_db"].values()) for one in random]
    ranked = tau([one["flops_per_pixel"] for one in random], scores)
    return (
        f"Size alone: the operations of a random network explain {number(100 * line.explained, 0)} % of the variance between "
        f"them ({signed(line.doubling, 3)} dB for twice as many) and rank them with a tau of {number(ranked.mean, 2)} "
        f"{interval(ranked, 2)}; what is left has a standard deviation of {number(line.spread, 3)} dB."
    )


def _at_their_size(random: Mapping[str, Any], found: Mapping[str, Sequence[Found]], given: Mapping[str, Any]) -> str:
    """Where networks stand among random ones when what their operations explain is taken off all."""
    line = line_of(list(random.values()))
    if line is None:
        return ""
    groups = {name: [one.result for one in those] for name, those in found.items()}
    groups |= {name: [one] for name, one in given.items()}
    rows = []
    for name, those in groups.items():
        above = ", ".join(signed(line.above(one), 3) + ("*" if line.is_beyond(one) else "") for one in those)
        rows.append([name, above, ", ".join(number(line.percentile(one), 0) for one in those)])
    columns = ["network", "less what its operations give, dB", "percentile at its size"]
    return "\n\n".join(
        [
            table(columns, rows, columns[1:]),
            "By seed. What operations give: a line of PSNR over their logarithm, least squares over random networks; the "
            "percentile is of what is left. * More operations than any random network has, where the line is only carried on.",
        ]
    )


def by_hand(given: Mapping[str, Any], random: Sequence[Scores]) -> str:
    """The networks that the plan gives, among random ones."""
    rows = []
    for name, result in given.items():
        one = judge(name, 0, result, {}, random)
        median = one.against_median.difference
        rows.append(
            [
                name, psnr(one.psnr_db), number(one.percentile, 0), f"{signed(median.mean, 3)} {interval(median, 3)}",
                f"{result['parameters']:,}", f"{result['flops_per_pixel']:,.0f}", width(result["sizes"]), f"{result['steps']:,}",
            ]
        )  # fmt: skip
    columns = [
        "network",
        "PSNR, dB",
        "percentile",
        "less the median random",
        "parameters",
        "operations",
        "width",
        "steps",
    ]
    right = [column for column in columns[1:] if not column.startswith("less")]
    remark = "Operations: of a forward pass, for each pixel."
    return "\n\n".join(["## Networks given by hand", table(columns, rows, right), remark])


def trade_off(
    page: Path, random: Mapping[str, Any], found: Mapping[str, Sequence[Found]], given: Mapping[str, Any]
) -> str:
    """PSNR against parameters and operations, where sizes differ; else nothing."""
    groups: dict[str, list[Mapping[str, Any]]] = {"random": list(random.values())}
    groups |= {name: [one.result for one in those] for name, those in found.items()}
    if given:
        groups["given by hand"] = list(given.values())
    sizes = [one["parameters"] for those in groups.values() for one in those]
    if max(sizes) < WIDE * min(sizes):
        return ""
    points = {
        name: [(one["parameters"], one["flops_per_pixel"], fmean(one["psnr_db"].values())) for one in those]
        for name, those in groups.items()
    }
    write_bytes(page.with_suffix("") / "trade_off.png", figures.trade_off(points))
    drawn = f"![PSNR against parameters and operations]({page.stem}/trade_off.png)"
    parts = ["## Size against quality", drawn, _at_their_size(random, found, given)]
    return "\n\n".join(part for part in parts if part)
