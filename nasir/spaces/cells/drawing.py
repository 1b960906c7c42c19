"""The drawing of a genotype: its width path and its cell, or the cell of each layer.

Width path: layers from left to right, one row per width level. Cells that the search could have chosen are faint, the
chosen path is strong, and each box says its channels, width x factor.

Cell: a wiring plan. Every input and node owns a horizontal line; a node taps the lines of its kept inputs, sends each
through one operation (a coloured box) and sums the results. Every operation box has a place of its own and lines cross
at right angles only, so no label covers another however many nodes there are.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nasir.canvas import plain_style, to_png, to_svg
from nasir.files import write_bytes
from nasir.spaces import contract
from nasir.spaces.cells.genotype import Cell, Genotype
from nasir.spaces.cells.section import CellsSizes
from nasir.spaces.cells.space import CellSpace

COLOURS = {
    "conv_3x3": "#0072b2",
    "sep_3x3": "#009e73",
    "sep_5x5": "#00664b",
    "dil_3x3": "#c07c00",
    "dil_5x5": "#855600",
    "def_3x3": "#d55e00",
    "skip": "#7a7a7a",
}
"""Colour of each operation (after Okabe and Ito, darkened so that white letters stand out)."""

_INK = "#222222"
_FAINT = "#c4c4c4"
_LINE = "#8c8c8c"
_CHOSEN = "#cfe3f5"

# Every length below is in inches: one data unit of the drawing's axes is one inch.
_MARGIN = 0.25
_TITLE = 0.45
_PITCH = 0.95  # between layers
_ROW = 0.52  # between width levels
_BOX = (0.56, 0.32)
_LEVEL = 0.34  # between the edges that enter one node
_GAP = 0.16  # between one node's edges and the next node's
_TAP = 0.17  # between two vertical wires
_OPERATION = (0.74, 0.25)
_NODE = 0.34
_BETWEEN = 0.25  # between one layer's cell and the next


def draw(genotype: Genotype, section: Mapping[str, Any], svg: Path, png: Path) -> None:
    """Draw a genotype into an SVG and a PNG file; the same genotype gives the same bytes.

    Args:
        genotype: what to draw.
        section: of the search; its `width` is that of a cell at width factor 1, and level k shows width * width_factors[k].
        svg: file to write.
        png: file to write.

    Raises:
        ValueError: if `width` is less than 1.
    """
    with plain_style():
        figure = compose(genotype, section["width"])
        write_bytes(svg, to_svg(figure))
        write_bytes(png, to_png(figure))


def outline(genotype: Genotype, sizes: CellsSizes) -> dict[str, str]:
    """The drawing as text: by what it is, one line on each choice of the genotype, with the channels that these sizes give."""
    widths = [_channels(genotype, sizes.width, level) for level in genotype.path]
    said = {
        "blocks": "pixels"
        if genotype.downscale == 1
        else f"{genotype.downscale}x{genotype.downscale} pixels as channels",
        "activation": genotype.activation,
        "normalisation": genotype.norm,
        "global residual": "yes" if genotype.residual else "no",
        "output reads stem": "yes" if genotype.reads_stem else "no",
        "width path": " -> ".join(widths) + " channels",
    }
    inputs = ["h_{l-2}", "h_{l-1}", *(f"node {node + 1}" for node in range(genotype.nodes))]
    for layer, cell in enumerate(genotype.cells):
        where = "" if len(genotype.cells) == 1 else f"layer {layer + 1}, "
        for node, edges in enumerate(cell):
            terms = [f"{edge.operation}({inputs[edge.input]})" for edge in edges]
            said[f"{where}node {node + 1}"] = " + ".join(terms)
    said["h_l"] = f"concat({', '.join(inputs[2:])})"
    space = contract.find(genotype.space)
    assert isinstance(space, CellSpace)
    if space.reads_endpoint:
        endpoint = _endpoint(genotype)
        said["decoder reads"] = f"{'the stem' if endpoint is None else f'layer {endpoint + 1}'} and the last cell"
    return said


def compose(genotype: Genotype, width: int) -> Figure:
    """The drawing as a figure whose one axes is measured in inches from the lower left corner."""
    if width < 1:
        raise ValueError(f"width must be at least 1 channel, got {width}.")
    path_height = _TITLE + (len(genotype.width_factors) - 1) * _ROW + 1.05 + 0.3 * genotype.residual
    between = _BETWEEN * (len(genotype.cells) - 1)
    height = path_height + sum(_cell_height(cell) for cell in genotype.cells) + between + 2 * _MARGIN
    path_width = 0.95 + (genotype.layers + 3) * _PITCH + _BOX[0]
    total = 2 * _MARGIN + max(path_width, *(_cell_width(cell) for cell in genotype.cells), 6.4)
    figure = Figure(figsize=(total, height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, total), ylim=(0, height))
    axes.set_axis_off()
    _draw_path(axes, genotype, width, height - _MARGIN)
    top = height - _MARGIN - path_height
    for layer, cell in enumerate(genotype.cells):
        is_shared = len(genotype.cells) == 1
        title = "Cell" if is_shared else f"Cell of layer {layer + 1}"
        remark = "a node is the sum of its inputs after their operations"
        _draw_cell(axes, cell, top, title, f"the same in every layer; {remark}" if is_shared else remark)
        top -= _cell_height(cell) + _BETWEEN
    return figure


def _draw_path(axes: Axes, genotype: Genotype, width: int, top: float) -> None:
    """The width path, hanging from y = `top`."""
    levels = range(len(genotype.width_factors))
    _title(axes, top, "Width path", f"channels of each cell, W = {width}; faint: what the search could have chosen")
    first_row = top - _TITLE - 0.2 - 0.3 * genotype.residual
    rows = [first_row - level * _ROW for level in levels]
    columns = [_MARGIN + 0.95 + _BOX[0] / 2 + column * _PITCH for column in range(genotype.layers + 4)]
    names = ["noisy", "", *(f"layer {layer + 1}" for layer in range(genotype.layers)), "", "restored"]
    for x, name in zip(columns, names, strict=True):
        axes.text(x, rows[-1] - 0.42, name, ha="center", va="center", size=8, color=_LINE)
    for level, y in zip(levels, rows, strict=True):
        factor = genotype.width_factors[level]
        axes.text(_MARGIN, y, "W" if factor == 1 else f"{factor:g} W", va="center", size=9, color=_LINE)

    # Layer l can have level l + 1 at most: the stem has level 0 and each layer moves by one level.
    reachable = [[0]] + [[level for level in levels if level <= layer + 1] for layer in range(genotype.layers)]
    chosen = [0, *genotype.path]
    for layer in range(genotype.layers):
        for start in reachable[layer]:
            for end in reachable[layer + 1]:
                if abs(start - end) <= 1 and (start, end) != (chosen[layer], chosen[layer + 1]):
                    _arrow(axes, (columns[layer + 1], rows[start]), (columns[layer + 2], rows[end]), _FAINT, 0.8)
    for layer in range(genotype.layers):
        for level in reachable[layer + 1]:
            if level != chosen[layer + 1]:
                _box(axes, columns[layer + 2], rows[level], _channels(genotype, width, level), "white", _FAINT, _LINE)

    ends = [(columns[0], rows[0])]
    ends += [(columns[layer + 1], rows[level]) for layer, level in enumerate(chosen)]
    ends += [(columns[-2], rows[chosen[-1]]), (columns[-1], rows[chosen[-1]])]
    for start_point, end_point in pairwise(ends):
        _arrow(axes, start_point, end_point, _INK, 1.8)
    space = contract.find(genotype.space)
    assert isinstance(space, CellSpace)
    if space.reads_endpoint:  # the decoder also reads the endpoint, or the stem
        endpoint = _endpoint(genotype)
        column, above = ends[1 if endpoint is None else 2 + endpoint][0], rows[0] + 0.26
        axes.plot([column, column, columns[-2]], [rows[0], above, above], color=_INK, lw=1.2, zorder=2)
        _arrow(axes, (columns[-2], above), (columns[-2], ends[-2][1] + _BOX[1] / 2), _INK, 1.2, shrink=(0, 0))
    _box(axes, *ends[0], "x", "white", _INK, _INK)
    _box(axes, *ends[1], "stem", _CHOSEN, _INK, _INK)
    for (x, y), level in zip(ends[2:-2], genotype.path, strict=True):
        _box(axes, x, y, _channels(genotype, width, level), _CHOSEN, _INK, _INK, weight="bold")
    _box(axes, *ends[-2], space.tail, _CHOSEN, _INK, _INK)
    _box(axes, *ends[-1], "y", "white", _INK, _INK)
    if genotype.residual:
        above, arrival = rows[0] + 0.42, rows[chosen[-1]] + _BOX[1] / 2
        axes.plot([columns[0], columns[0], columns[-1]], [rows[0], above, above], color=_INK, lw=1.2, zorder=2)
        _arrow(axes, (columns[-1], above), (columns[-1], arrival), _INK, 1.2, shrink=(0, 0))
        axes.text(sum(columns) / len(columns), above + 0.04, "global residual", ha="center", va="bottom", size=8)


def _draw_cell(axes: Axes, cell: Cell, top: float, title: str, remark: str) -> None:
    """The wiring plan of a cell, hanging from y = `top`."""
    _title(axes, top, title, remark)
    first_row = top - _TITLE - 0.15
    lines = [(_MARGIN + 0.62, first_row), (_MARGIN + 0.62, first_row - 0.4)]  # where each line starts
    for (x, y), name in zip(lines, ("$h_{l-2}$", "$h_{l-1}$"), strict=True):
        _box(axes, x - _BOX[0] / 2, y, name, "white", _INK, _INK)
    column, bottom = _MARGIN + 0.62 + 0.1, first_row - 0.4 - 0.2
    last_use = [0.0, 0.0]
    taps: list[tuple[float, float]] = []
    for node, edges in enumerate(cell):
        right = column + len(edges) * _TAP + 0.16  # left edge of the operations
        target = right + _OPERATION[0] + 0.28 + _NODE / 2
        middle = bottom - _GAP - len(edges) * _LEVEL / 2
        for rank, edge in enumerate(edges):
            y = bottom - _GAP - (rank + 0.5) * _LEVEL
            x = column + (len(edges) - rank) * _TAP  # the lowest edge taps leftmost, so wires of a node never cross
            colour = COLOURS[edge.operation]
            axes.plot([x, x, right], [lines[edge.input][1], y, y], color=colour, lw=1.5, zorder=3)
            taps.append((x, lines[edge.input][1]))
            last_use[edge.input] = max(last_use[edge.input], x)
            _box(axes, right + _OPERATION[0] / 2, y, edge.operation, colour, colour, "white", size=_OPERATION)
            start, end = (right + _OPERATION[0], y), (target, middle)
            _arrow(axes, start, end, colour, 1.5, shrink=(0, _NODE / 2 * 72))
        _box(axes, target, middle, str(node + 1), "white", _INK, _INK, size=(_NODE, _NODE), weight="bold")
        lines.append((target + _NODE / 2, middle))
        last_use.append(0.0)
        column, bottom = target + _NODE / 2, bottom - _GAP - len(edges) * _LEVEL
    join = column + 0.3  # left edge of the concatenation
    for index, (x, y) in enumerate(lines):
        stop = join if index >= 2 else max(last_use[index], x + 0.1)
        axes.plot([x, stop], [y, y], color=_LINE, lw=1.3, zorder=2)
    axes.plot(*zip(*taps, strict=True), "o", color=_INK, ms=4, zorder=4)
    concat_top, concat_bottom = lines[2][1] + 0.2, lines[-1][1] - 0.2
    _box(
        axes, join + 0.13, (concat_top + concat_bottom) / 2, "concat", _CHOSEN, _INK, _INK,
        size=(0.26, max(concat_top - concat_bottom, 0.75)), rotation=90,
    )  # fmt: skip
    middle = (concat_top + concat_bottom) / 2
    _arrow(axes, (join + 0.26, middle), (join + 0.62, middle), _INK, 1.8, shrink=(0, 0))
    axes.text(join + 0.68, middle, "$h_l$", va="center", size=10, color=_INK)


def _endpoint(genotype: Genotype) -> int | None:
    """The layer that a decoder reads besides the last one; None for the stem."""
    return None if genotype.reads_stem else genotype.endpoint


def _cell_height(cell: Cell) -> float:
    """Height of a cell's drawing with its title, in inches."""
    return _TITLE + 0.75 + sum(len(edges) * _LEVEL + _GAP for edges in cell)


def _cell_width(cell: Cell) -> float:
    """Width of a cell's drawing without margins, in inches."""
    nodes = sum(len(edges) * _TAP + 0.16 + _OPERATION[0] + 0.28 + _NODE for edges in cell)
    return 0.72 + nodes + 0.3 + 0.95


def _channels(genotype: Genotype, width: int, level: int) -> str:
    return f"{width * genotype.width_factors[level]:g}"


def _title(axes: Axes, top: float, title: str, remark: str) -> None:
    axes.text(_MARGIN, top, title, size=11, weight="bold", va="top", color=_INK)
    axes.text(_MARGIN + 0.1 + 0.1 * len(title), top - 0.03, remark, size=8, va="top", color=_LINE)


def _box(
    axes: Axes, x: float, y: float, text: str, face: str, edge: str, ink: str, *,
    size: tuple[float, float] = _BOX, weight: str = "normal", rotation: float = 0,
) -> None:  # fmt: skip
    """A rounded box centred on (x, y) with a text inside."""
    corner = (x - size[0] / 2, y - size[1] / 2)
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=face, edgecolor=edge, lw=1.2, zorder=5))
    axes.text(
        x, y, text, ha="center", va="center_baseline" if rotation == 0 else "center", size=8.5, color=ink,
        weight=weight, rotation=rotation, zorder=6,
    )  # fmt: skip


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, thickness: float, *,
    shrink: tuple[float, float] = (_BOX[0] / 2 * 72, _BOX[0] / 2 * 72),
) -> None:  # fmt: skip
    """A straight arrow; `shrink` is what is left out at its ends, in points (72 to the inch)."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=8, shrinkA=shrink[0], shrinkB=shrink[1], color=colour,
            lw=thickness, zorder=2 if colour == _FAINT else 3,
        )
    )  # fmt: skip
