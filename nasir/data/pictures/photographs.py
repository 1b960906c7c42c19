"""A person's photograph: pixels of 8 or 16 bits, alpha, ICC profile and EXIF, from any file that Pillow reads to a PNG.

Pixels are upright: where EXIF says that the camera was turned, they are turned, and what is written says 1 there (as taken).
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from nasir.data.pictures import deep
from nasir.data.pictures.images import EIGHT_BIT_MODES, load_colour, quiet
from nasir.files import write_bytes
from nasir.messages import bare

Levels = NDArray[Any]
"""Grey levels, uint8 or uint16."""

EXIF_HEADER = b"Exif\0\0"  # in front of EXIF in a JPEG, not in a PNG
UPRIGHT = 1
BROKEN_EXIF = "its EXIF left out, which is broken"

TURNS: dict[int, Callable[[Levels], Levels]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}
"""EXIF's orientations but the upright one (tag 274) -> stored pixels to upright ones, shape (H, W) or (H, W, C)."""

SIDEWAYS = 5
"""From this orientation on height and width change places."""

OF_TIFF = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
"""What a TIFF's own tags say of a photograph; the others say how that file is built."""

PROFILES = {2: b"GRAY", 3: b"RGB "}
"""Dimensions of the pixels' array -> the colours that a fitting ICC profile names in its header."""


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """What a file holds, and what of it a PNG takes."""

    levels: Levels  # (H, W) grey or (H, W, 3) RGB
    alpha: Levels | None = None  # (H, W), of the levels' type; None for a file without transparency
    profile: bytes | None = None  # ICC, for these levels
    exif: bytes | None = None  # without EXIF_HEADER
    notes: tuple[str, ...] = ()  # what was changed or is not kept, for a person


def read(path: Path) -> Photograph:
    """Read a photograph.

    Args:
        path: 8 bits a channel in any format that Pillow reads, or 16 bits in a PNG, TIFF or PGM.

    Raises:
        ValueError: as `nasir.data.pictures.images.load_grey`, but for what has 16 bits in these formats.
    """
    with quiet():  # of damaged metadata `notes` tells
        return _read(path)


def _read(path: Path) -> Photograph:
    values = _read_deep(path)
    pixels: Levels = load_colour(path) if values is None else values  # the former names whatever is wrong with the file
    with Image.open(path) as image:
        alpha = _read_alpha(image, pixels)
        levels = pixels if pixels.ndim == 2 else pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
        exif, orientation, notes = _read_exif(image)
        profile = image.info.get("icc_profile") or None
    if profile is not None and profile[16:20] != PROFILES[levels.ndim]:
        colours = bare(profile[16:20].decode("ascii", "replace").strip()) or "unnamed colours"
        notes.append(f"its ICC profile left out, which is for {colours}")
        profile = None
    if orientation in TURNS:
        levels, alpha = TURNS[orientation](levels), None if alpha is None else TURNS[orientation](alpha)
        notes.append("turned upright")
    return Photograph(levels=levels, alpha=alpha, profile=profile, exif=exif, notes=tuple(notes))


def _read_deep(path: Path) -> NDArray[np.uint16] | None:
    """Values of 16 bits; None for a file that has other ones, or that cannot be read."""
    try:
        if not path.is_file():
            return None
        with Image.open(path) as image:
            is_deep, mode = deep.is_deep(image), image.mode
    except Exception:  # decoders raise whatever they stumble over; load_colour says it
        return None
    if not is_deep:
        if mode not in EIGHT_BIT_MODES:
            raise ValueError(
                f"{path} must have 8 bits a channel, or 16 in a PNG, TIFF or PGM, got mode {mode}; convert it to PNG first."
            )
        return None
    try:
        return deep.read(path)
    except Exception as error:
        raise ValueError(f"{path} must be a whole image, got a broken one ({error}); fetch it again.") from error


def _read_alpha(image: Image.Image, pixels: Levels) -> Levels | None:
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        return pixels[..., -1]
    if pixels.dtype == np.uint8:
        return np.array(image.convert("RGBA").getchannel("A")) if image.has_transparency_data else None
    clear = image.info.get("transparency")  # a PNG's one value, or colour, that is not drawn
    if clear is None:
        return None
    is_clear = np.all(np.atleast_3d(pixels) == np.atleast_1d(clear), axis=-1)
    return np.where(is_clear, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _read_exif(image: Image.Image) -> tuple[bytes | None, int, list[str]]:
    """EXIF that says "upright", what it said before, and a note if it cannot be read."""
    try:
        found = image.getexif()
        orientation = found.get(ExifTags.Base.Orientation, UPRIGHT)
        if image.format == "TIFF":
            return _of_tiff(found), UPRIGHT, []  # Pillow has turned its pixels
        if not found:
            return None, UPRIGHT, [BROKEN_EXIF] if image.info.get("exif") else []
        if orientation not in TURNS:
            exif = image.info.get("exif") or found.tobytes()
            return exif.removeprefix(EXIF_HEADER), UPRIGHT, []
        found[ExifTags.Base.Orientation] = UPRIGHT
        if orientation >= SIDEWAYS and ExifTags.IFD.Exif in found:
            inner = found.get_ifd(ExifTags.IFD.Exif)
            width, height = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
            if width in inner and height in inner:
                inner[width], inner[height] = inner[height], inner[width]
        return found.tobytes().removeprefix(EXIF_HEADER), orientation, []
    except Exception:  # Pillow raises whatever it stumbles over
        return None, UPRIGHT, [BROKEN_EXIF]


def _of_tiff(found: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    for tag in OF_TIFF:
        if tag in found:
            kept[tag] = found[tag]
    for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if inner := found.get_ifd(part):
            kept[part] = inner
    return kept.tobytes().removeprefix(EXIF_HEADER) if kept else None


def save_png(path: Path, photograph: Photograph) -> None:
    """Write a photograph as a PNG of its bits and channels with its profile and EXIF; atomic."""
    pixels = np.atleast_3d(photograph.levels)
    if photograph.alpha is not None:
        pixels = np.concatenate([pixels, photograph.alpha[..., None]], axis=-1)
    if pixels.dtype == np.uint16:
        write_bytes(path, deep.encode_png(pixels, photograph.profile, photograph.exif))
        return
    encoded = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    metadata = {"icc_profile": photograph.profile, "exif": photograph.exif}
    image.save(encoded, format="PNG", **{key: value for key, value in metadata.items() if value is not None})
    write_bytes(path, encoded.getvalue())
