"""The figures of the study: found networks among random ones, and what a search's own measure says of these."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from nasir.canvas import plain_style, to_png
from nasir.reporting.searches.judgement import ENOUGH, Found, Scores, enough, middle

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#6b6b6b"
_COLOURS = (_BLUE, _ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKS = "osD^vP*X"


def distribution(random: Sequence[Scores], found: Mapping[str, Sequence[Found]]) -> bytes:
    """PSNR of every random network, and below it that of each search's networks, one row for each search."""
    means = [fmean(scores.values()) for scores in random]
    with plain_style():
        figure = Figure(figsize=(8.5, 1.1 + 0.32 * (len(found) + 1)), layout="constrained")
        axes = figure.subplots()
        rows = ["random", *found]
        axes.plot(means, [0] * len(means), "|", color=_GREY, ms=12, mew=1.5)
        for place, name in enumerate(found, start=1):
            axes.plot(
                [one.psnr_db for one in found[name]], [place] * len(found[name]), "o", color=_BLUE, ms=6, alpha=0.8
            )
        axes.axvline(middle(means), color=_GREY, lw=1, ls="--", label="median of random")
        axes.axvline(enough(means), color=_ORANGE, lw=1, ls="--", label=f"{ENOUGH}th percentile")
        axes.set(
            yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6), xlabel="PSNR in dB, test images"
        )
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return to_png(figure)


def rankings(trained: Sequence[float], shared: Mapping[str, Sequence[float]]) -> bytes:
    """Score that a search chooses by against the score after training, one panel for each search."""
    with plain_style():
        columns = min(3, len(shared))
        rows = -(-len(shared) // columns)
        figure = Figure(figsize=(8.5, 3.0 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (name, scores) in zip(panels, shared.items(), strict=False):
            axes.plot(scores, trained, "o", color=_BLUE, ms=5, alpha=0.8)
            axes.set(title="\n".join(name.rsplit(", ", 1)), xlabel="in the search, V, dB", ylabel="trained, test, dB")
        for axes in panels[len(shared) :]:
            axes.set_axis_off()
        return to_png(figure)


def trade_off(points: Mapping[str, Sequence[tuple[float, float, float]]]) -> bytes:
    """PSNR against parameters, and against operations; the group `random` lies behind the others.

    Args:
        points: parameters, operations for a pixel and PSNR in dB of the networks of each group.
    """
    with plain_style():
        figure = Figure(figsize=(8.5, 4.2), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for panel, label in enumerate(("parameters", "operations for a pixel")):
            axes, place = panels[panel], 0
            for name, those in points.items():
                mark, colour = _MARKS[place % len(_MARKS)], _COLOURS[place % len(_COLOURS)]
                if name == "random":
                    mark, colour = ".", _GREY
                else:
                    place += 1
                xs, ys = [one[panel] for one in those], [one[2] for one in those]
                axes.plot(xs, ys, mark, color=colour, ms=6, alpha=0.8, label=name)
            axes.set(xlabel=label)
            axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        panels[0].set(ylabel="PSNR in dB, test images")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return to_png(figure)


def weights(courses: Mapping[str, Mapping[int, Sequence[tuple[int, float]]]]) -> bytes:
    """Of each search a row: the weight of fusion in each column over the steps, and a histogram of all at the last one."""
    with plain_style():
        figure = Figure(figsize=(8.5, 1.9 * len(courses)), layout="constrained")
        rows = figure.subplots(len(courses), 2, squeeze=False, width_ratios=(3, 1))
        for (line, bars), (name, course) in zip(rows, courses.items(), strict=True):
            for values in course.values():
                line.plot([step for step, _ in values], [weight for _, weight in values], color=_BLUE, lw=1, alpha=0.7)
            line.axhline(0.5, color=_GREY, lw=0.8, ls="--")
            line.set(ylim=(-0.02, 1.02), ylabel="weight of fusion", title=name)
            bars.hist([values[-1][1] for values in course.values()], bins=10, range=(0, 1), color=_BLUE)
            bars.set(xlim=(0, 1), ylabel="columns")
        rows[-1][0].set(xlabel="step")
        rows[-1][1].set(xlabel="weight of fusion at the end")
        return to_png(figure)


def regret(courses: Mapping[str, Sequence[Sequence[float]]], best: float) -> bytes:
    """How far the best so far lies below the best of the space: mean of the tries, and a band with four of five of them.

    Args:
        courses: of each strategy the best score after each candidate, dB, a row for each try.
        best: of the space, dB.
    """
    with plain_style():
        figure = Figure(figsize=(8.5, 4.0), layout="constrained")
        axes = figure.subplots()
        for place, (name, tries) in enumerate(courses.items()):
            gaps = best - np.array(tries)
            steps = np.arange(1, gaps.shape[1] + 1)
            low, high = np.quantile(gaps, (0.1, 0.9), axis=0)
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(steps, gaps.mean(axis=0), color=colour, label=name)
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
        axes.set(xscale="log", xlabel="candidates", ylabel="dB below the best of the space")
        axes.legend()
        return to_png(figure)
