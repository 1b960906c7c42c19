"""How figures are drawn and encoded: the same bytes for the same content.

Figures are `matplotlib.figure.Figure` objects; pyplot and its global state are never used. Drawing and encoding happen
inside `plain_style()`, so a reader's own matplotlibrc changes nothing.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 110
"""Pixels per inch of every PNG: a figure 8.5 inches wide fills the text column of a code host."""

_STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": 9.0,
    "figure.dpi": DPI,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "svg.hashsalt": "nasir",  # fixes the ids inside an SVG
    "svg.fonttype": "path",  # letters as outlines: the same on a machine without the font
}


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's own defaults plus the project's few changes, for the length of a `with` block."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def to_png(figure: Figure) -> bytes:
    """Encode a figure as an 8-bit PNG without date and software version.

    A figure without colour becomes a one-channel PNG: noise pictures then take a third of the bytes.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    is_grey = bool((pixels == pixels[..., :1]).all())
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if is_grey else pixels))
    encoded = io.BytesIO()
    image.save(encoded, format="PNG", optimize=True)
    return encoded.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Encode a figure as SVG without date and software version."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="svg", metadata={"Date": None, "Creator": None})
    return encoded.getvalue()
