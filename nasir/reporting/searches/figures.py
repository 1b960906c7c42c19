"""The figures of the study: found networks among random ones, and what shared weights say of these."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from nasir.canvas import plain_style, to_png
from nasir.reporting.searches.judgement import ENOUGH, Found, Scores, enough, middle

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#6b6b6b"


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
    """Score with shared weights against the score after training, one panel for each search."""
    with plain_style():
        columns = min(3, len(shared))
        rows = -(-len(shared) // columns)
        figure = Figure(figsize=(8.5, 3.0 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (name, scores) in zip(panels, shared.items(), strict=False):
            axes.plot(scores, trained, "o", color=_BLUE, ms=5, alpha=0.8)
            axes.set(title="\n".join(name.rsplit(", ", 1)), xlabel="shared weights, V, dB", ylabel="trained, test, dB")
        for axes in panels[len(shared) :]:
            axes.set_axis_off()
        return to_png(figure)
