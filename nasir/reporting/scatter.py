"""Two sets of scores as a picture: a point for each image."""

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from nasir.canvas import plain_style, to_png
from nasir.evaluation.paired import Paired

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#6b6b6b"
_SIZE = (8.5, 4.1)  # inches

LONGEST = 40
"""Letters of a name beside an axis."""


def scatter(found: Paired, a: str, b: str) -> bytes:
    """At the left the second score of each image over the first, at the right their difference, with its mean and interval.

    Args:
        found: the scores.
        a, b: what to call the first and the second.

    Returns:
        A PNG file.
    """
    unit = " dB" if found.measure.endswith("_db") else ""
    name = found.measure.removesuffix("_db").replace("_", " ").replace("psnr", "PSNR").replace("ssim", "SSIM")
    with plain_style():
        figure = Figure(figsize=_SIZE, layout="constrained")
        both, difference = figure.subplots(1, 2)
        pairs = list(found.scores.values())
        ends = [min(map(min, pairs)), max(map(max, pairs))]
        both.plot(ends, ends, color=_GREY, lw=1, ls="--", zorder=1)
        both.set(title=f"{name}, a point for each image", xlabel=_label("A", a, unit), ylabel=_label("B", b, unit))
        both.set_aspect("equal", adjustable="datalim")
        gains = [first - second for first, second in pairs]
        drawn = _draw_points(both, found, [second for _, second in pairs])
        interval = found.comparison.difference
        difference.axhline(0, color=_GREY, lw=1, ls="--", zorder=1)
        difference.axhspan(interval.low, interval.high, color=_BLUE, alpha=0.15, lw=0, zorder=1)
        difference.axhline(interval.mean, color=_BLUE, lw=1, zorder=1)
        _draw_points(difference, found, gains)
        digits = 3 if unit else 5
        low, high = (f"{bound:+.{digits}f}" for bound in (interval.low, interval.high))
        said = f"A - B: {interval.mean:+.{digits}f}{unit} (95 %: {low} to {high})"
        difference.set(title=said, xlabel=_label("A", a, unit))
        figure.legend(list(drawn.values()), list(drawn), loc="outside lower center", ncols=len(drawn))
        return to_png(figure)


def _label(side: str, name: str, unit: str) -> str:
    """An axis' text: of a long name its end."""
    shown = name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}"
    return f"{side}: {shown}{unit and ','}{unit}"


def _draw_points(axes: Axes, found: Paired, heights: list[float]) -> dict[str, PathCollection]:
    """Points over the first score, coloured by who is ahead; what a legend says of each colour."""
    firsts = [first for first, _ in found.scores.values()]
    signs = [(first > second) - (first < second) for first, second in found.scores.values()]
    drawn = {}
    for colour, sign, text in ((_BLUE, 1, "A ahead"), (_ORANGE, -1, "B ahead"), (_GREY, 0, "equal")):
        places = [place for place, own in enumerate(signs) if own == sign]
        if places or sign:
            x, y = ([values[place] for place in places] for values in (firsts, heights))
            drawn[f"{text}: {len(places)}"] = axes.scatter(x, y, s=14, color=colour, alpha=0.7, lw=0)
    return drawn
