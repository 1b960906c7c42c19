"""Charts as values of Vega-Lite: rows, what is drawn of them, and how the columns are called where they stand as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasir.reporting.history import History

Spec = dict[str, Any]
"""A chart, or a part of one, as Vega-Lite's JSON."""

HEIGHT = 220  # pixels
MOST = 200
"""Points of a curve; of a longer one, means of equal stretches."""


def view(title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], layers: Sequence[Spec]) -> Spec:
    """A chart as wide as its place on the page.

    Args:
        title: above it, and what a screen reader says.
        columns: of the rows, what each is called in the table of the chart's numbers.
        rows: one for each mark.
        layers: what is drawn, the first below.
    """
    return {
        "title": title,
        "description": title,
        "width": "container",
        "height": HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(rows)},
        "layer": list(layers),
        "usermeta": {"columns": dict(columns)},
    }


def quantity(field: str, title: str, **scale: Any) -> Spec:
    """A numeric axis whose ends are those of the values."""
    ends = {} if scale.get("type") == "log" else {"zero": False}  # which a logarithmic one has never
    return {"field": field, "type": "quantitative", "title": title, "scale": ends | {"nice": True} | scale}


def series(field: str, names: Sequence[str]) -> Spec:
    """A colour for each name, with a legend where there are several."""
    legend = {"legend": None} if len(names) < 2 else {"legend": {"title": None}}
    return {"field": field, "type": "nominal", "scale": {"domain": list(names)}, **legend}


def tooltip(columns: Mapping[str, str]) -> list[Spec]:
    """What is shown where the mouse points; of a title `image` or `title` Vega's tooltip makes something of its own."""
    assert not {"image", "title"} & set(columns.values())
    return [{"field": field, "title": title} for field, title in columns.items()]


def curves(title: str, history: History, metrics: Mapping[str, str], x: str = "step") -> Spec | None:
    """Lines over steps; None where none of the metrics was recorded.

    A logarithmic axis stands where the largest value is twice the smallest and all are positive, as a loss is.

    Args:
        title: of the chart, with the unit.
        history: curves by metric.
        metrics: what each is called.
        x: what a step is.
    """
    there = {metric: label for metric, label in metrics.items() if metric in history}
    if not there:
        return None
    span = max(1, -(-max(len(history[metric].steps) for metric in there) // MOST))
    rows: list[dict[str, Any]] = [
        {"step": step, "value": value, "series": label}
        for metric, label in there.items()
        for step, value in thin(history[metric].steps, history[metric].values, span)
    ]
    values = [row["value"] for row in rows]
    is_log = "loss" in title.lower() and min(values) > 0 and max(values) >= 2 * min(values)
    title += f", means of {span} records" if span > 1 else ""
    columns = {"step": x, "value": title, "series": "of"}
    encoding = {
        "x": quantity("step", x, nice=False) | {"axis": {"tickMinStep": 1}},  # there is no half step
        "y": quantity("value", "", **({"type": "log"} if is_log else {})),
        "color": series("series", list(there.values())),
        "tooltip": tooltip(columns),
    }
    return view(title, columns, rows, [{"mark": line(len(rows) / len(there)), "encoding": encoding}])


def line(points: float) -> Spec:
    """A line; where there are many points they are not seen, but answer the mouse."""
    return {"type": "line", "point": {"opacity": 1, "size": 25} if points < 40 else {"opacity": 0, "size": 60}}


def band(steps: NDArray[np.int64], low: NDArray[np.float64], high: NDArray[np.float64]) -> Spec:
    """What lies between two curves, to stand below the lines of `curves`; thinned as they are."""
    span = max(1, -(-len(steps) // MOST))
    both = zip(thin(steps, low, span), thin(steps, high, span), strict=True)
    return {
        "data": {"values": [{"step": step, "low": lower, "high": upper} for (step, lower), (_, upper) in both]},
        "mark": {"type": "area", "style": "random", "opacity": 0.25},
        "encoding": {
            "x": {"field": "step", "type": "quantitative"},
            "y": quantity("low", ""),
            "y2": {"field": "high"},
        },
    }


def guides(field: str, values: Mapping[str, float]) -> Spec:
    """Upright lines at values of a column, with their meaning in the legend."""
    return {
        "data": {"values": [{field: value, "guide": text} for text, value in values.items()]},
        "mark": {"type": "rule", "style": "guide"},
        "encoding": {
            "x": {"field": field, "type": "quantitative"},
            "strokeDash": {"field": "guide", "type": "nominal", "sort": None, "legend": {"title": None, "columns": 1}},
            "tooltip": tooltip({"guide": " ", field: field}),
        },
    }


def thin(xs: NDArray[np.int64], ys: NDArray[np.float64], span: int) -> list[tuple[int, float]]:
    """Of each `span` neighbours the last x and the mean of y; the last stretch may be shorter."""
    stretches = range(0, len(xs), span)
    return [(int(xs[i : i + span][-1]), rounded(float(ys[i : i + span].mean()))) for i in stretches]


def rounded(value: float) -> float:
    """Six digits that count: more than a chart or its table can show."""
    return float(f"{value:.6g}")
