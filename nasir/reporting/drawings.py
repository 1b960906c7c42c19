"""The best candidates of a search, drawn below each other, each under a line that says what it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from nasir.canvas import DPI, plain_style, to_png
from nasir.spaces.contract import Genotype, Space, part

SHOWN = 3
"""Candidates."""

_TITLE, _MARGIN = 24, 8  # pixels


def best(candidates: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """The candidates with the highest rewards, each with its number; none that failed, and no network twice.

    Args:
        candidates: in their order, each with `tokens` and, but for failures, `reward`.
    """
    found: dict[tuple[int, ...], tuple[int, Mapping[str, Any]]] = {}
    ended = [(number, one) for number, one in enumerate(candidates, start=1) if "failure" not in one]
    for number, one in sorted(ended, key=lambda pair: -pair[1]["reward"]):
        found.setdefault(tuple(one["tokens"]), (number, one))
    return list(found.values())[:SHOWN]


def sheet(drawn: Sequence[tuple[str, Genotype]], space: Space, section: Mapping[str, Any]) -> bytes:
    """Networks as their space draws them, as one PNG.

    Args:
        drawn: what stands above each, and its genotype; one at least.
        space: of all of them.
        section: the space's, as its drawing takes it.
    """
    pictures = [_picture(genotype, space, section) for _, genotype in drawn]
    width = max(picture.shape[1] for picture in pictures) + 2 * _MARGIN
    height = sum(picture.shape[0] + _TITLE for picture in pictures) + _MARGIN
    with plain_style():
        figure = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI))
        top = height
        for (text, _), picture in zip(drawn, pictures, strict=True):
            figure.text(_MARGIN / width, (top - _TITLE / 2) / height, text, va="center", weight="bold")
            top -= _TITLE + picture.shape[0]
            figure.figimage(picture, xo=_MARGIN, yo=top, origin="upper")
        return to_png(figure)


def _picture(genotype: Genotype, space: Space, section: Mapping[str, Any]) -> Any:
    """A drawing as RGB, shape (H, W, 3)."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.png"
        part(space.drawing).draw(genotype, section, path.with_suffix(".svg"), path)
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
