"""The studies of search strategies that lie beside the report: found networks among random ones, and what size buys."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nasir.files import read_csv, to_int
from nasir.reporting.html.views import HEIGHT, Spec, guides, quantity, rounded, series, tooltip, view
from nasir.reporting.searches.judgement import ENOUGH, enough, middle
from nasir.shapes import require_numbers, require_unique

RANDOM = "random"
"""What random networks are called, as in the names of their jobs."""

GIVEN = "given-"
"""How the names of jobs begin that train a network from the plan, which nobody searched."""

BY_HAND = "given by hand"
"""What those are called together."""

COLUMNS = {
    "group": "search",
    "network": "network",
    "psnr": "PSNR, dB",
    "parameters": "parameters",
    "operations": "operations for a pixel",
}
"""Of a chart's table."""


Row = dict[str, str | float]
"""A network, by `COLUMNS`."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that has trained random networks."""

    name: str  # of its page: search, search-clearer
    about: str  # its page's words before the first section: data set, noise, budget, what is missing, what came of it
    rows: list[Row]  # random networks first


def read(folder: Path) -> list[Study]:
    """Every study of a folder: pages `search*.md`, each with its networks in `networks.csv` of the page's folder.

    A second training of a network is no other network and stays away; so does a study with fewer than two random ones.
    """
    found = []
    for path in sorted(folder.glob("search*/networks.csv")):
        page = path.parent.with_suffix(".md")
        rows: list[Row] = [
            {
                "group": row["search"] or RANDOM,
                "network": row["network"],
                "psnr": float(row["psnr_db"]),
                "parameters": int(row["parameters"]),
                "operations": rounded(float(row["flops_per_pixel"])),
            }
            for row in _networks(path)
            if row["search"] or row["network"].startswith(RANDOM)
        ]
        rows.sort(key=lambda row: row["group"] != RANDOM)
        if page.is_file() and sum(row["group"] == RANDOM for row in rows) > 1:
            found.append(Study(name=path.parent.name, about=_about(page.read_text()), rows=rows))
    return found


def _networks(path: Path) -> list[dict[str, str]]:
    rows = read_csv(path, ("search", "network", "seed", "psnr_db", "parameters", "flops_per_pixel"))
    require_unique(rows, ("network", "search", "seed"), path, "run the study again")
    for row in rows:
        to_int(row, "parameters", path)
    require_numbers(rows, ("psnr_db", "flops_per_pixel"), path)
    return rows


def _about(page: str) -> str:
    """What stands between a page's title and its first section."""
    return page.partition("\n## ")[0].partition("\n\n")[2].strip()


def place(study: Study) -> str:
    """What a study's charts are called; a search has charts, too."""
    return f"study/{study.name}"


def text(study: Study) -> str:
    """What stands above a study's charts, as Markdown; the charts' place is an image."""
    return "\n\n".join(
        [
            f"### Study: {study.name}",
            study.about,
            f"![random and found networks of {study.name}: PSNR, parameters, operations]({place(study)})",
        ]
    )


def charts(study: Study) -> list[Spec]:
    """Where the found networks stand among the random ones; PSNR against parameters and against operations."""
    groups = list(dict.fromkeys(str(row["group"]) for row in study.rows))
    y = {"y": {"field": "group", "type": "nominal", "sort": groups, "title": None}}
    means = [float(row["psnr"]) for row in study.rows if row["group"] == RANDOM]
    marks = {"median of random": rounded(middle(means)), f"{ENOUGH}th percentile": rounded(enough(means))}
    dots = _dots(study.rows, {"x": quantity("psnr", "PSNR, dB, test images")} | y, has_legend=False)
    distribution = view("Found networks among random ones", COLUMNS, study.rows, [guides("psnr", marks), *dots])
    distribution["height"] = max(HEIGHT, 26 * len(groups))
    return [distribution, *(_against(study.rows, field) for field in ("parameters", "operations"))]


def _dots(rows: Sequence[Row], axes: Spec, has_legend: bool) -> list[Spec]:
    """A point for each network, grey for a random one, else in the colour of its strategy."""
    strategy = f"indexof(datum.network, '{GIVEN}') === 0 ? '{BY_HAND}' : split(datum.group, ',')[0]"
    names = list(
        dict.fromkeys(
            BY_HAND if str(row["network"]).startswith(GIVEN) else str(row["group"]).partition(",")[0]
            for row in rows
            if row["group"] != RANDOM
        )
    )
    colour = series("strategy", names) | ({"legend": {"title": None}} if has_legend else {"legend": None})
    mark = {"type": "point", "filled": True, "size": 55, "opacity": 0.8}
    encoding = axes | {"tooltip": tooltip(COLUMNS)}
    return [
        {
            "transform": [{"filter": f"datum.group === '{RANDOM}'"}],
            "mark": mark | {"style": RANDOM},
            "encoding": encoding,
        },
        {
            "transform": [
                {"filter": f"datum.group !== '{RANDOM}'"},
                {"calculate": strategy, "as": "strategy"},
            ],
            "mark": mark,
            "encoding": encoding | {"color": colour},
        },
    ]


def _against(rows: Sequence[Row], field: str) -> Spec:
    """PSNR over a cost, with a line along the networks that none beats at the same or a lower cost."""
    axes = {"x": quantity(field, COLUMNS[field]), "y": quantity("psnr", "PSNR, dB")}
    edge = {
        "data": {"values": front(rows, field)},
        "mark": {"type": "line", "style": "guide", "interpolate": "step-after"},
        "encoding": axes,
    }
    return view(f"PSNR against {field} (grey: random)", COLUMNS, rows, [edge, *_dots(rows, axes, has_legend=True)])


def front(rows: Sequence[Row], field: str) -> list[dict[str, float]]:
    """Cost and PSNR of the networks than which no other is better at the same or a lower cost, ascending in both."""
    best: list[dict[str, float]] = []
    for row in sorted(rows, key=lambda row: (float(row[field]), -float(row["psnr"]))):
        if not best or float(row["psnr"]) > best[-1]["psnr"]:
            best.append({field: float(row[field]), "psnr": float(row["psnr"])})
    return best
