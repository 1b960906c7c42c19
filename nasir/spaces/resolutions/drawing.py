"""The drawing of a genotype: columns from left to right, branches from top to bottom, a box for each module on each branch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from nasir.canvas import plain_style, to_png, to_svg
from nasir.files import write_bytes
from nasir.spaces.resolutions.genotype import Genotype
from nasir.spaces.resolutions.section import ColumnsSizes

COLOURS = {"P": "#0072b2", "F": "#c07c00"}
"""Of parallel and fusion modules (after Okabe and Ito, darkened so that white letters stand out)."""

_NAMES = {"P": "parallel", "F": "fusion"}

_INK, _LINE, _CELL, _ENDS = "#222222", "#8c8c8c", "#f1f4f7", "#5a5a5a"

# Lengths in inches: one data unit of the drawing's axes is one inch.
_MARGIN, _TITLE, _PITCH, _ROW, _BOX, _FOOT = 0.25, 0.5, 0.5, 0.55, (0.34, 0.34), 0.1
_LABEL, _END, _GAP = 1.15, 0.75, 0.45


def draw(genotype: Genotype, section: Mapping[str, Any], svg: Path, png: Path) -> None:
    """Draw a genotype into an SVG and a PNG file; the same genotype gives the same bytes.

    Args:
        genotype: what to draw.
        section: of the search; `widths` are the channels of the branches.
        svg, png: files to write.
    """
    with plain_style():
        figure = compose(genotype, tuple(section["widths"]))
        write_bytes(svg, to_svg(figure))
        write_bytes(png, to_png(figure))


def outline(genotype: Genotype, sizes: ColumnsSizes) -> dict[str, str]:
    """The drawing as text: by what it is, one line on each choice of the genotype, with the branches that these sizes give."""
    said = {
        "blocks": "pixels"
        if genotype.downscale == 1
        else f"{genotype.downscale}x{genotype.downscale} pixels as channels",
        "normalisation": genotype.norm,
        "global residual": "yes" if genotype.residual else "no",
        "transition": f"{genotype.transition} a cell's columns",
    }
    for level, width in enumerate(sizes.widths):
        scale = genotype.downscale * 2**level
        said[f"branch {level + 1}"] = f"{width} channels at {'full' if scale == 1 else f'1/{scale}'} resolution"
    for number, word in enumerate(genotype.cells):
        branches = min(number + (2 if genotype.transition == "before" else 1), len(sizes.widths))
        on = "1 branch" if branches == 1 else f"{branches} branches"
        said[f"cell {number + 1}"] = f"{', '.join(_NAMES[letter] for letter in word)}; on {on}"
    return said


def compose(genotype: Genotype, widths: tuple[int, ...]) -> Figure:
    """The drawing as a figure whose one axes is measured in inches from the lower left corner."""
    columns = len(genotype.letters)
    width = 2 * _MARGIN + _LABEL + 2 * _END + columns * _PITCH + len(genotype.cells) * _GAP
    height = 2 * _MARGIN + _TITLE + len(widths) * _ROW + _FOOT
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    top = height - _MARGIN
    axes.text(_MARGIN, top, genotype.text, va="top", size=10, weight="bold", color=_INK)
    axes.text(
        _MARGIN,
        top - 0.22,
        "P: each branch for itself; F: every branch gets the sum of all",
        va="top",
        size=8,
        color=_LINE,
    )
    rows = [top - _TITLE - (level + 0.5) * _ROW for level in range(len(widths))]
    for level, y in enumerate(rows):
        scale = "" if level == 0 and genotype.downscale == 1 else f"1/{genotype.downscale * 2**level}"
        axes.text(_MARGIN, y, f"{widths[level]} channels", va="center", size=8, color=_INK)
        axes.text(_MARGIN, y - 0.15, f"{scale or 'full'} resolution", va="center", size=6.5, color=_LINE)
    _draw_columns(axes, genotype, rows)
    return figure


def _draw_columns(axes: Axes, genotype: Genotype, rows: list[float]) -> None:
    x = _MARGIN + _LABEL + _BOX[0] / 2
    _box(axes, x, rows[0], "stem", _ENDS, 0.5)
    begins, joint = [x], x + 0.38  # of each branch's line; where the next branch leaves the lowest
    x += _END - _BOX[0] / 2
    for number, word in enumerate(genotype.cells):
        if number > 0 or genotype.transition == "before":
            _branch(axes, joint, rows, begins)
        left, lowest = x + _GAP / 2, rows[len(begins) - 1] - _ROW / 2
        area = (len(word) * _PITCH + 0.1, rows[0] + _ROW / 2 - lowest)
        axes.add_patch(Rectangle((left, lowest), *area, color=_CELL, lw=0, zorder=0))
        foot = rows[-1] - _ROW / 2 - 0.17
        axes.text(left + area[0] / 2, foot, f"cell {number + 1}", ha="center", size=8, color=_LINE)
        x = left + 0.05
        for letter in word:
            _draw_column(axes, x + _PITCH / 2, letter, rows[: len(begins)])
            x += _PITCH
        x += 0.05
        joint = x + _GAP / 4
    if genotype.transition == "after":
        _branch(axes, joint, rows, begins)
    end = x + _GAP / 2 + _BOX[0]
    for y, begin in zip(rows, begins, strict=False):
        axes.plot([begin, end], [y, y], color=_LINE, lw=1, zorder=1)
    axes.plot([end, end], [rows[0], rows[len(begins) - 1]], color=_LINE, lw=1, zorder=1)
    _box(axes, end, rows[0], "head", _ENDS, 0.5)


def _branch(axes: Axes, x: float, rows: list[float], begins: list[float]) -> None:
    """Let a branch begin below the lowest, where there is one more."""
    if len(begins) < len(rows):
        axes.plot([x, x], [rows[len(begins) - 1], rows[len(begins)]], color=_LINE, lw=1, zorder=1)
        begins.append(x)


def _draw_column(axes: Axes, x: float, letter: str, rows: list[float]) -> None:
    """A module: a box on each branch, those of a fusion module joined."""
    if letter == "F" and len(rows) > 1:
        axes.plot([x, x], [rows[0], rows[-1]], color=COLOURS[letter], lw=3, zorder=2)
    for y in rows:
        _box(axes, x, y, letter, COLOURS[letter], _BOX[0])


def _box(axes: Axes, x: float, y: float, text: str, colour: str, width: float) -> None:
    corner = (x - width / 2, y - _BOX[1] / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, _BOX[1], boxstyle="round,pad=0,rounding_size=0.05", color=colour, lw=0, zorder=3)
    )
    axes.text(x, y, text, ha="center", va="center", size=8, color="white", weight="bold", zorder=4)
