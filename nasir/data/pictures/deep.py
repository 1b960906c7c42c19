"""Images of 16 bits a channel: what Pillow gives only in halves is put together, and written as PNG.

Pillow has 16 bits for grey alone. Of a colour image of 16 bits it decodes the upper byte of each value; told that the file has
the other byte order it decodes the lower one, so two readings are the whole value.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

FORMATS = ("PNG", "TIFF", "PPM")
"""Of Pillow, those whose images of 16 bits are read; PPM is PGM, too."""

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders as Pillow names them: big, little, this machine's."""

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> what PNG calls grey, grey with alpha, RGB, RGB with alpha."""

ROWS = 256
"""Of an image that are compressed at a time."""

UP = 2
"""PNG's filter that stores each byte less the one above it."""

WHITE_IS_ZERO = 0
PHOTOMETRIC = 262  # TIFF's tag: what the smallest value means


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened, not loaded yet, has 16 bits a channel that `read` gives."""
    if not isinstance(image, ImageFile.ImageFile) or image.format not in FORMATS or getattr(image, "n_frames", 1) > 1:
        return False
    if image.mode in ("I;16", "I;16B", "I;16L"):
        return all(_raw(tile.args).startswith("I;16") for tile in image.tile)
    if image.format == "PPM":
        return image.mode == "I"
    return bool(image.tile) and all(
        _raw(tile.args)[:-1] in ("RGB;16", "RGBA;16", "LA;16") and image.mode in ("RGB", "RGBA") for tile in image.tile
    )


def read(path: Path) -> NDArray[np.uint16]:
    """The values of an image of which `is_deep` holds.

    Returns:
        Values in [0, 65535], shape (H, W), or (H, W, C) with C = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
    """
    with Image.open(path) as image:
        assert isinstance(image, ImageFile.ImageFile)  # as of all that is opened
        if image.mode not in ("RGB", "RGBA"):
            is_inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
            grey = np.array(image).astype(np.uint16)
            return ~grey if is_inverted else grey
        if _raw(image.tile[0].args) == "LA;16B":  # four bytes a pixel, as those of an image of four channels
            image.tile = [tile._replace(args="RGBA") for tile in image.tile]
            pairs = np.array(image)
            return pairs[..., ::2].astype(np.uint16) << 8 | pairs[..., 1::2]
        whole = np.array(image).astype(np.uint16)
    whole <<= 8
    with Image.open(path) as image:
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = [tile._replace(args=_turned(tile.args)) for tile in image.tile]
        whole |= np.array(image)
    return whole


def _raw(args: object) -> str:
    """How a decoder's arguments call the order of a pixel's bits: "RGB;16B"."""
    return str(args[0] if isinstance(args, tuple) else args)


def _turned(args: object) -> str | tuple[object, ...]:
    raw = _raw(args)
    other = raw[:-1] + OTHER_ORDER[raw[-1]]
    return (other, *args[1:]) if isinstance(args, tuple) else other


def encode_png(pixels: NDArray[np.uint16], profile: bytes | None, exif: bytes | None) -> bytes:
    """A PNG of 16 bits a channel.

    Args:
        pixels: shape (H, W, C), C as in `read`, and 1 for grey.
        profile: ICC profile, of grey or RGB as the pixels are.
        exif: EXIF data from the header of TIFF on.
    """
    height, width, channels = pixels.shape
    size = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", size)]
    if profile is not None:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if exif is not None:
        parts.append(_chunk(b"eXIf", exif))
    compressor = zlib.compressobj()
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for first in range(0, height, ROWS):
        part = pixels[first : first + ROWS].astype(">u2", order="C")
        rows = part.reshape(len(part), -1).view(np.uint8)
        lines = np.full((len(rows), 1 + rows.shape[1]), UP, np.uint8)
        lines[:, 1:] = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        if data := compressor.compress(lines.tobytes()):
            parts.append(_chunk(b"IDAT", data))
    parts += [_chunk(b"IDAT", compressor.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
