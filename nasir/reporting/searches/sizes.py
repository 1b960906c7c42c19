"""How good networks of different sizes are: those given by hand, and everything that was trained against what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nasir.files import write_bytes
from nasir.reporting.searches import figures
from nasir.reporting.searches.judgement import Found, Scores, judge, width
from nasir.reporting.tables import interval, number, psnr, signed, table

WIDE = 1.15
"""Largest over smallest network from which on sizes are compared."""


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
    return f"## Size against quality\n\n![PSNR against parameters and operations]({page.stem}/trade_off.png)"
