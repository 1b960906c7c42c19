"""The figures of the study: found networks among random ones, and what a search's own measure says of these."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasir.canvas import plain_style, to_png
from nasir.evaluation.statistics import Interval
from nasir.reporting.history import moving
from nasir.reporting.searches.judgement import ENOUGH, Found, Scores, enough, middle

if TYPE_CHECKING:
    from nasir.reporting.searches.rewarded import Rewarded

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
        _name_groups(figure, panels[0])
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


def rewards(known: "Mapping[str, Rewarded]", cost: float, within: str) -> bytes:
    """Rewards over candidates (mean that moves, band of a standard deviation), their distribution, and who ended early.

    Args:
        known: of each search.
        cost: at which a candidate must have been done to stand in the distribution.
        within: that cost in words.
    """
    has_ends = any(one.stopped for one in known.values())
    with plain_style():
        figure = Figure(figsize=(8.5, 3.6), layout="constrained")
        panels = figure.subplots(1, 3 if has_ends else 2)
        for place, (name, one) in enumerate(known.items()):
            colour, values = _COLOURS[place % len(_COLOURS)], np.array(one.rewards)
            of = moving(values)
            panels[0].plot(one.numbers, values, ".", color=colour, ms=3, alpha=0.5)
            panels[0].fill_between(
                one.numbers, of.mean - of.spread, of.mean + of.spread, color=colour, alpha=0.15, lw=0
            )
            panels[0].plot(one.numbers, of.mean, color=colour, label=name)
            if equal := sorted(one.until(cost)):
                shares = [rank / len(equal) for rank in range(len(equal) + 1)]
                panels[1].step([equal[0], *equal], shares, where="post", color=colour)
            if one.stopped:
                share = moving(np.array(list(one.stopped.values()), float))
                panels[2].plot(list(one.stopped), share.mean, color=colour)
        panels[0].set(title="Reward, with its moving mean", xlabel="candidate")
        panels[1].set(
            title=f"Within {within}",
            xlabel="reward",
            ylabel="share of rewards up to it",
            ylim=(0, 1.03),
        )
        if has_ends:
            panels[2].set(title="Share ended early", xlabel="candidate", ylim=(-0.03, 1.03))
        _name_groups(figure, panels[0])
        return to_png(figure)


Course = Sequence[tuple[int, Interval]]
"""A mean over tries, with its interval, after so many candidates."""


def regret(courses: Mapping[str, tuple[Course, Course]], noise: float | None) -> bytes:
    """How far what was found, and what is drawn of late, lies below the best of the space: means of the tries, and intervals.

    Args:
        courses: of each strategy: regret, and the mean of the last candidates, dB.
        noise: from one training to the next, dB, where it was measured.
    """
    with plain_style():
        figure = Figure(figsize=(8.5, 3.8), layout="constrained")
        panels = figure.subplots(1, 2)
        for place, (name, both) in enumerate(courses.items()):
            for axes, course in zip(panels, both, strict=True):
                steps, means = [step for step, _ in course], [one.mean for _, one in course]
                axes.plot(steps, means, color=_COLOURS[place], label=name)
                low, high = [one.low for _, one in course], [one.high for _, one in course]
                axes.fill_between(steps, low, high, color=_COLOURS[place], alpha=0.15, lw=0)
        if noise is not None:
            panels[0].axhline(noise, color=_GREY, lw=1, ls="--", label="one training to the next")
        for axes, title in zip(panels, ("the best by score so far", "mean of the last 50 candidates"), strict=True):
            axes.set(title=title, xscale="log", xlabel="candidates", ylim=(0, None))
        panels[0].set(ylabel="dB below the best of the space")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
        return to_png(figure)


def costs(spaces: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[tuple[float, float]]]]]) -> bytes:
    """What each search took against what it found, a panel for each space; random networks as a band and their median.

    Args:
        spaces: PSNR of the random networks, and of each search the minutes and the PSNR of what it found with each seed.
    """
    with plain_style():
        heights = [max(2.7, 0.19 * (len(found) + 4)) for _, found in spaces.values()]  # a line of the legend for each
        figure = Figure(figsize=(8.5, sum(heights)), layout="constrained")
        panels = figure.subplots(len(spaces), squeeze=False, height_ratios=heights).flat
        for axes, (title, (random, found)) in zip(panels, spaces.items(), strict=True):
            axes.axhspan(min(random), max(random), color=_GREY, alpha=0.12, lw=0, label="random networks")
            axes.axhline(middle(random), color=_GREY, lw=1, ls="--", label="their median")
            for place, (name, points) in enumerate(found.items()):
                mark, colour = _MARKS[place % len(_MARKS)], _COLOURS[place % len(_COLOURS)]
                minutes, scores = zip(*points, strict=True)
                axes.plot(minutes, scores, mark, color=colour, ms=6, alpha=0.8, label=name)
            axes.set(
                title=title, xlabel="minutes of search, one thread", ylabel="PSNR in dB, test images", xlim=(0, None)
            )
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return to_png(figure)


def _name_groups(figure: Figure, axes: Axes) -> None:
    """A legend above the panels, in as many columns as the names leave room for; the figure grows by its rows."""
    marks, names = axes.get_legend_handles_labels()
    for columns in (4, 3, 2, 1):
        legend = figure.legend(marks, names, loc="outside upper center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(3.2 + 0.2 * -(-len(names) // columns))
