"""The drawing of a genotype: on top the decoder's blocks and what they read, below the cell that all of them have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nasir.canvas import plain_style, to_png, to_svg
from nasir.files import write_bytes
from nasir.spaces.contextual.genotype import TAPS, Genotype
from nasir.spaces.contextual.section import ContextualSizes

TAP_NAMES = ("full", "half", "quarter", "full, wide")
"""Resolution of the encoder's features."""

_INK, _LINE, _TAP, _BLOCK, _IDLE, _END = "#222222", "#8c8c8c", "#5a5a5a", "#0072b2", "#b0b7bd", "#c07c00"

# Lengths in inches: one data unit of the drawing's axes is one inch.
_MARGIN, _TITLE, _ROW, _PITCH, _BOX = 0.3, 0.45, 0.48, 1.75, (1.15, 0.3)


def draw(genotype: Genotype, section: Mapping[str, Any], svg: Path, png: Path) -> None:
    """Draw a genotype into an SVG and a PNG file; the same genotype gives the same bytes.

    Args:
        genotype: what to draw.
        section: of the search; `taps` are the channels of the encoder's features, `width` those of the decoder.
        svg, png: files to write.
    """
    with plain_style():
        figure = compose(genotype, section)
        write_bytes(svg, to_svg(figure))
        write_bytes(png, to_png(figure))


def outline(genotype: Genotype, sizes: ContextualSizes) -> dict[str, str]:
    """The drawing as text: by what it is, one line on each choice of the genotype, with the channels that these sizes give."""
    features = [f"tap {tap}" for tap in range(TAPS)] + [f"block {block}" for block in range(len(genotype.blocks))]
    said = {
        "normalisation": genotype.norm,
        "global residual": "yes" if genotype.residual else "no",
        "separable convolutions": "applied once" if sizes.repeats == 1 else f"applied {sizes.repeats} times",
    }
    for tap, (name, channels) in enumerate(zip(TAP_NAMES, sizes.taps, strict=True)):
        said[f"tap {tap}"] = f"{channels} channels ({name})"
    for number, inputs in enumerate(genotype.blocks):
        said[f"block {number}"] = f"cell({features[inputs[0]]}) + cell({features[inputs[1]]}); {sizes.width} channels"
    said["head"] = f"concat({', '.join(features[index] for index in (0, *genotype.kept_blocks))})"
    names = ["x", "a"]
    said["cell, a"] = f"{genotype.first}(x)"
    for layer in genotype.layers:
        letters = [chr(ord("a") + len(names) - 1 + place) for place in range(3)]
        for letter, index, operation in zip(letters, layer.inputs, layer.operations, strict=False):
            said[f"cell, {letter}"] = f"{operation}({names[index]})"
        said[f"cell, {letters[2]}"] = f"{letters[0]} + {letters[1]}"
        names += letters
    return said | {"cell gives": " + ".join(names[index] for index in genotype.kept_of_cell)}


def compose(genotype: Genotype, section: Mapping[str, Any]) -> Figure:
    """The drawing as a figure whose one axes is measured in inches from the lower left corner."""
    columns = 2 + max(len(genotype.blocks), len(genotype.layers))
    width = 2 * _MARGIN + (columns - 1) * _PITCH + _BOX[0]
    lower = 2 * _ROW + 0.35
    height = 2 * _MARGIN + 2 * _TITLE + (TAPS - 1) * _ROW + _BOX[1] + 0.5 + lower
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    top = height - _MARGIN
    axes.text(_MARGIN, top, f"decoder of {section['width']} channels", va="top", size=10, weight="bold", color=_INK)
    _draw_blocks(axes, genotype, section["taps"], top - _TITLE - _BOX[1] / 2)
    below = top - _TITLE - (TAPS - 1) * _ROW - _BOX[1] - 0.5
    axes.text(_MARGIN, below, "cell", va="top", size=10, weight="bold", color=_INK)
    _draw_cell(axes, genotype, below - _TITLE - _BOX[1] / 2)
    return figure


def _draw_blocks(axes: Axes, genotype: Genotype, channels: Sequence[int], top: float) -> None:
    places = [(_column(0), top - tap * _ROW) for tap in range(TAPS)]
    for place, name, count in zip(places, TAP_NAMES, channels, strict=True):
        _box(axes, place, f"{name}: {count}", _TAP)
    middle = top - (TAPS - 1) / 2 * _ROW
    for number, inputs in enumerate(genotype.blocks):
        place = (_column(1 + number), middle + (0.5 if number % 2 else -0.5) * _ROW)
        places.append(place)
        for side, index in enumerate(inputs):
            _arrow(axes, places[index], place, 0.06 * (1 - 2 * side))
        _box(axes, place, f"block {number}", _BLOCK)
    head = (_column(1 + len(genotype.blocks)), middle)
    for index in (0, *genotype.kept_blocks):
        _arrow(axes, places[index], head, 0.0)
    _box(axes, head, "head", _END)


def _draw_cell(axes: Axes, genotype: Genotype, top: float) -> None:
    """A sum's two operations stand above each other, with the feature that each reads in front."""
    names = ["x", "a"]
    _box(axes, (_column(0), top), genotype.first, _colour(genotype.first))
    axes.text(_column(0), top - 0.25, "a, of x" + _kept(genotype, 1), ha="center", va="top", size=7, color=_INK)
    for number, layer in enumerate(genotype.layers):
        letters = [chr(ord("b") + 3 * number + place) for place in range(3)]
        x = _column(1 + number)
        for row, (index, name) in enumerate(zip(layer.inputs, layer.operations, strict=True)):
            _box(axes, (x, top - row * _ROW), name, _colour(name))
            axes.text(
                x - _BOX[0] / 2 - 0.06,
                top - row * _ROW,
                f"{names[index]} →",
                ha="right",
                va="center",
                size=7,
                color=_INK,
            )
            axes.text(
                x + _BOX[0] / 2 + 0.04, top - row * _ROW, letters[row], ha="left", va="center", size=7, color=_LINE
            )
        said = f"{letters[2]} = {letters[0]} + {letters[1]}" + _kept(genotype, 4 + 3 * number)
        axes.text(x, top - _ROW - 0.25, said, ha="center", va="top", size=7, color=_INK)
        names += letters
    output = " + ".join(names[index] for index in genotype.kept_of_cell)
    axes.text(
        _column(1 + len(genotype.layers)),
        top - _ROW / 2,
        f"gives {output}",
        va="center",
        ha="center",
        size=8,
        color=_INK,
    )


def _kept(genotype: Genotype, index: int) -> str:
    return "" if index in genotype.kept_of_cell else ", read later"


def _colour(name: str) -> str:
    return _IDLE if name in ("skip", "none") else _BLOCK


def _column(number: int) -> float:
    return _MARGIN + _BOX[0] / 2 + number * _PITCH


def _box(axes: Axes, place: tuple[float, float], text: str, colour: str) -> None:
    corner = (place[0] - _BOX[0] / 2, place[1] - _BOX[1] / 2)
    axes.add_patch(
        FancyBboxPatch(corner, *_BOX, boxstyle="round,pad=0,rounding_size=0.05", color=colour, lw=0, zorder=2)
    )
    axes.text(*place, text, ha="center", va="center", size=7.5, color="white", zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], shift: float) -> None:
    ends = (start[0] + _BOX[0] / 2, start[1]), (end[0] - _BOX[0] / 2, end[1] + shift)
    axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=7, lw=0.9, color=_LINE, zorder=1))
