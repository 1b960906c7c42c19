"""The pictures of the report in the page, pixel for pixel: a test image noisy, restored by each method, clean, and the error."""

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from nasir.data.pictures.collection import detail

SIDES = (640, 512, 448, 384, 320, 256, 192, 128)
"""What pictures are cut to, pixels; the first at which all of them fit."""

MOST = 3_200_000
"""Bytes of the pictures of the worst, middle and best test image; a third more as text."""

MOST_OTHERS = 2_900_000
"""Bytes of those of all others. With charts and tables the page stays below ten million."""


PNG, SVG = "image/png", "image/svg+xml"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One test image in `PANELS`."""

    width: int  # of what is shown
    height: int
    is_detail: bool  # cut from a larger picture
    pictures: Mapping[str, bytes]  # a PNG file for each panel

    def size(self) -> int:
        """Bytes of its pictures."""
        return sum(map(len, self.pictures.values()))


def load(files: Sequence[Mapping[str, Path]], most: int) -> list[Shot]:
    """The pictures of test images, cut to a square of one of `SIDES` if they are too large for a page.

    The square is where the clean image has most detail, in the same place in all. Where not even the smallest squares of all
    images fit, those of the first ones do; there is one at least, if there is an image.

    Args:
        files: of each image the PNG files by panel, `clean` among them, all of one size.
        most: bytes of all pictures.
    """
    for side in SIDES:
        shots = [_cut(paths, side) for paths in files]
        if sum(shot.size() for shot in shots) <= most:
            return shots
    sizes = itertools.accumulate(shot.size() for shot in shots)
    return shots[: max(1, sum(size <= most for size in sizes))]


def _cut(paths: Mapping[str, Path], side: int) -> Shot:
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
    """A test image's pictures; the page's script puts a slider and zoom around them.

    Args:
        shot: the pictures.
        rank: worst, median or best, or its place.
        name: of the image.
        captions: of each panel, in the order in which they stand.
    """
    figures = [
        f'<figure><div class="pane" style="aspect-ratio: {shot.width} / {shot.height}">'
        f'<img data-panel="{panel}" width="{shot.width}" height="{shot.height}" '
        f'alt="{escape(f"{name}: {captions[panel]}")}" src="{address(shot.pictures[panel])}"></div>'
        f"<figcaption>{escape(captions[panel])}</figcaption></figure>"
        for panel in captions
    ]
    return f'<div class="shot" id="shot-{rank}" data-name="{escape(name)}"><div class="panels">{"".join(figures)}</div></div>'


def gallery(items: Sequence[tuple[str, str]]) -> str:
    """Several test images, of which the page's script shows one at a time.

    Args:
        items: of each a title in plain text, and `to_html`.
    """
    return "".join(
        ['<div class="gallery">']
        + [f'<div class="item"><h4>{escape(title)}</h4>{html}</div>' for title, html in items]
        + ["</div>"]
    )


def address(data: bytes, kind: str = PNG) -> str:
    """Bytes as an address that a page can show without a file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
