"""The charts of a run: scores with intervals, every test image, search and training."""

import json
import re
from collections.abc import Sequence

import numpy as np

from nasir.evaluation.statistics import Interval, mean_interval
from nasir.reporting import tables
from nasir.reporting.history import Curve, moving
from nasir.reporting.html.views import Spec, band, curves, guides, line, quantity, rounded, series, tooltip, view
from nasir.reporting.run.record import Record

Charts = dict[str, list[Spec]]
"""Charts that stand side by side, by the name of their place."""


def of_run(record: Record) -> Charts:
    """Every chart that the run has values for, by the name of the figure in whose place it stands."""
    charts = {
        "scores": scores(record),
        "images": [every_image(record)],
        "search": search(record),
        "choices": choices(record),
        "rewards": rewards(record),
        "training": training(record),
    }
    return {name: those for name, those in charts.items() if those}


def scores(record: Record) -> list[Spec]:
    """Mean PSNR with its interval, a chart for each protocol; without the input, which lies far below all else."""
    charts, every = [], [short(record, method) for method in reversed(tables.methods(record))]
    for protocol in tables.protocols(record):
        shown = [method for method in tables.methods(record) if protocol in record.scores.get(method, {})]
        if len(shown) > 2:
            shown.remove(tables.INPUT)
        rows = []
        for method in shown:
            values = list(record.scores[method][protocol]["psnr_db"].values())
            found = (
                mean_interval(values) if len(values) > 1 else Interval(mean=values[0], low=values[0], high=values[0])
            )
            bounds = {"mean": found.mean, "low": found.low, "high": found.high}
            rows.append({"method": short(record, method)} | {key: rounded(value) for key, value in bounds.items()})
        columns = {"method": "method", "mean": "PSNR, dB", "low": "from", "high": "to"}
        y = {"field": "method", "type": "nominal", "sort": None, "title": None}
        bar: Spec = {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {"x": quantity("low", "PSNR, dB"), "x2": {"field": "high"}},
        }
        dot: Spec = {
            "mark": {"type": "point", "filled": True, "size": 90},
            "encoding": {"x": quantity("mean", "PSNR, dB")},
        }
        colour = series("method", every) | {"legend": None}
        layers = [
            part | {"encoding": part["encoding"] | {"y": y, "color": colour, "tooltip": tooltip(columns)}}
            for part in (bar, dot)
        ]
        charts.append(view(f"{protocol}: mean PSNR with its 95 % interval", columns, rows, layers))
        charts[-1]["height"] = 34 * len(rows)
    return charts


def short(record: Record, method: str) -> str:
    """A method in words, without its setting."""
    return re.split(r",| \(", tables.label(record, method))[0]


def every_image(record: Record) -> Spec:
    """PSNR of every test image under the first protocol, the found network's worst first."""
    protocols = tables.protocols(record)
    protocol = "whole" if "whole" in protocols else protocols[0]
    shown = [method for method in reversed(tables.methods(record)) if protocol in record.scores.get(method, {})]
    values = {method: record.scores[method][protocol]["psnr_db"] for method in shown}
    own = values[tables.OURS]
    rows = [
        {"rank": rank, "image": name} | {m: rounded(values[m][name]) for m in shown if name in values[m]}
        for rank, name in enumerate(sorted(own, key=lambda name: own[name]), start=1)
    ]
    names = {method: short(record, method) for method in shown}
    transform: list[Spec] = [
        {"fold": shown, "as": ["key", "psnr"]},
        {"calculate": f"({json.dumps(names)})[datum.key]", "as": "method"},
        {"filter": "isValid(datum.psnr)"},
    ]
    encoding = {
        "x": quantity("rank", "test images, the worst first", nice=False) | {"axis": {"tickMinStep": 1}},
        "y": quantity("psnr", "PSNR, dB"),
        "color": series("method", list(names.values())),
        "tooltip": tooltip({"image": "test image", "method": "method", "psnr": "PSNR, dB"}),
    }
    dot = {"type": "point", "filled": True, "size": 28 if len(rows) > 40 else 70}
    layers = [{"transform": transform, "mark": dot, "encoding": encoding}]
    columns = {"rank": "rank", "image": "image"} | {m: f"{name}, dB" for m, name in names.items()}
    return view(f"{protocol}: PSNR of every test image", columns, rows, layers) | {"height": 320}


def search(record: Record) -> list[Spec]:
    """Losses, PSNR on V, and the best score so far against the operations that it took."""
    history = record.search_history
    charts = [
        curves("Loss", history, {"train_loss": "weights, on W", "val_loss": "architecture, on A"}),
        curves("PSNR on V, dB", history, {"psnr_db": "on V"}),
    ]
    if charts[1] and "best_step" in record.search:
        charts[1]["layer"].append(
            guides("step", {f"kept: step {record.search['best_step']}": record.search["best_step"]})
        )
    if {"spent_flops", "best_score"} <= set(history):
        spent, best = history["spent_flops"].values / 1e12, history["best_score"].values
        rows = [{"spent": rounded(float(s)), "best": rounded(float(b))} for s, b in zip(spent, best, strict=False)]
        columns = {"spent": "operations, 10¹²", "best": "Best score on V so far: SSIM + PSNR / 100"}
        encoding = {
            "x": quantity("spent", "operations of forward passes, 10¹²", nice=False),
            "y": quantity("best", ""),
            "tooltip": tooltip(columns),
        }
        mark = line(len(rows)) | {"interpolate": "step-after"}
        charts.append(view(columns["best"], columns, rows, [{"mark": mark, "encoding": encoding}]))
    return _there(charts)


def choices(record: Record) -> list[Spec]:
    """How decided a search by weights was."""
    history = record.search_history
    share = {"skip_share": "skip", "none_share": "none"}
    return _there(
        [
            curves("Mean entropy of the choices, nats", history, {"alpha_entropy": "alpha", "beta_entropy": "beta"}),
            curves("Mean share of an edge's weight", history, share),
        ]
    )


def rewards(record: Record) -> list[Spec]:
    """What a controller was rewarded with, with a moving mean and a band, its entropy, and the share that ended early."""
    history = record.search_history
    if "reward" not in history:
        return []
    reward = history["reward"]
    of = moving(reward.values)
    both = {"reward": reward, "mean": Curve(steps=reward.steps, values=of.mean)}
    charts = [
        curves("Reward", both, {"reward": "candidate", "mean": f"mean of {of.count}"}, "candidate"),
        curves("Entropy of the controller, nats", history, {"entropy": "entropy"}, "candidate"),
    ]
    if charts[0]:
        charts[0]["layer"].insert(0, band(reward.steps, of.mean - of.spread, of.mean + of.spread))
    if "stopped" in history:
        share = moving(history["stopped"].values)
        shown = {"share": Curve(steps=history["stopped"].steps, values=share.mean)}
        charts.append(curves(f"Share ended early, of {share.count}", shown, {"share": "share"}, "candidate"))
    return _there(charts)


def training(record: Record) -> list[Spec]:
    """Loss, PSNR and SSIM on V over steps, and PSNR over hours where one process trained from beginning to end."""
    history = record.train_history
    charts = [
        curves("Loss", history, {"train_loss": "on W and A"}),
        curves("PSNR on V, dB", history, {"psnr_db": "on V"}),
        curves("SSIM on V", history, {"ssim": "on V"}),
    ]
    if "psnr_db" in history and has_hours(record):
        charts.append(against_hours(record))
    return _there(charts)


def has_hours(record: Record) -> bool:
    """Whether the receipt's seconds are those of the whole training, not of what came behind a checkpoint alone."""
    return not record.receipts["retrain"]["is_resumed"]


def against_hours(record: Record) -> Spec:
    """PSNR on V over hours of training, a step's share of the steps being its share of the hours; the highest marked."""
    history = record.train_history
    curve, steps = history["psnr_db"], max(int(one.steps[-1]) for one in history.values())
    hours = np.asarray(curve.steps) / steps * record.receipts["retrain"]["seconds"] / 3600
    rows = [
        {"hours": rounded(float(hour)), "psnr": rounded(float(value)), "step": int(step)}
        for hour, value, step in zip(hours, curve.values, curve.steps, strict=True)
    ]
    columns = {"hours": "hours", "psnr": "PSNR on V, dB", "step": "step"}
    encoding = {
        "x": quantity("hours", "hours of training", nice=False),
        "y": quantity("psnr", ""),
        "tooltip": tooltip(columns),
    }
    best = int(curve.values.argmax())
    layers = [
        {"mark": line(len(rows)), "encoding": encoding},
        guides("hours", {f"highest: {curve.values[best]:.2f} dB": rounded(float(hours[best]))}),
    ]
    return view("PSNR on V against hours, dB", columns, rows, layers)


def _there(charts: Sequence[Spec | None]) -> list[Spec]:
    return [chart for chart in charts if chart is not None]
