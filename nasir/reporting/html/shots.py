"""The pictures of the report in the page: noisy, restored, clean and error of a few test images, pixel for pixel."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from nasir.reporting.figures import detail
from nasir.reporting.run.record import PANELS

SIDES = (640, 512, 448, 384, 320, 256, 192, 128)
"""What pictures are cut to, pixels; the first at which all of them fit."""

MOST = 4_500_000
"""Bytes of all pictures; a third more as text. With charts and tables the page stays below ten million."""


PNG, SVG = "image/png", "image/svg+xml"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One test image in `PANELS`."""

    width: int  # of what is shown
    height: int
    is_detail: bool  # cut from a larger picture
    pictures: Mapping[str, bytes]  # a PNG file for each of PANELS


def load(folders: Sequence[Path]) -> list[Shot]:
    """The pictures of test images, cut to a square of one of `SIDES` if they are too large for a page.

    The square is where the clean image has most detail, in the same place in all four.

    Args:
        folders: of each image, with a PNG file for each of `PANELS`, all of one size.
    """
    for side in SIDES:
        shots = [_cut(folder, side) for folder in folders]
        if sum(len(picture) for shot in shots for picture in shot.pictures.values()) <= MOST:
            break
    return shots


def _cut(folder: Path, side: int) -> Shot:
    paths = {name: folder / f"{name}.png" for name in PANELS}
    with Image.open(paths["clean"]) as clean:
        width, height = clean.size
        if width <= side and height <= side:
            pictures = {name: path.read_bytes() for name, path in paths.items()}
            return Shot(width=width, height=height, is_detail=False, pictures=pictures)
        side = min(side, width, height)
        top, left = detail(np.asarray(clean.convert("L"), float), side)
    pictures = {}
    for name, path in paths.items():
        with Image.open(path) as picture:
            encoded = io.BytesIO()
            picture.crop((left, top, left + side, top + side)).save(encoded, format="PNG")
            pictures[name] = encoded.getvalue()
    return Shot(width=side, height=side, is_detail=True, pictures=pictures)


def to_html(shot: Shot, rank: str, name: str, captions: Mapping[str, str]) -> str:
    """A test image's four pictures; the page's script puts a slider and zoom around them.

    Args:
        shot: the pictures.
        rank: worst, median or best.
        name: of the image.
        captions: of each picture, by `PANELS`.
    """
    order = ("noisy", "restored", "clean", "error")
    figures = [
        f'<figure><div class="pane" style="aspect-ratio: {shot.width} / {shot.height}">'
        f'<img data-panel="{panel}" width="{shot.width}" height="{shot.height}" '
        f'alt="{escape(f"{name}: {captions[panel]}")}" src="{address(shot.pictures[panel])}"></div>'
        f"<figcaption>{escape(captions[panel])}</figcaption></figure>"
        for panel in order
    ]
    return f'<div class="shot" id="shot-{rank}" data-name="{escape(name)}"><div class="panels">{"".join(figures)}</div></div>'


def address(data: bytes, kind: str = PNG) -> str:
    """Bytes as an address that a page can show without a file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
