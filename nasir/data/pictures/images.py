"""Images between files and arrays: grey levels are uint8 on disk and in memory, floats in [0, 1] only in between."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nasir.files import write_bytes

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes with at most 8 bits a channel, whose conversion to grey keeps the range [0, 255]."""

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""What the files of data sets end in, in any case."""

GREY_MODES = ("1", "L", "LA")


def load_grey(path: Path) -> NDArray[np.uint8]:
    """Read an image as grey levels through Pillow's `convert("L")`: ITU-R 601-2, L = (299 R + 587 G + 114 B) / 1000.

    Args:
        path: an 8-bit image in any format that Pillow reads. Transparency and EXIF orientation are ignored; of several
            frames the first is taken.

    Returns:
        Grey levels in [0, 255], shape (H, W).

    Raises:
        ValueError: if there is no such file, if it is no whole image, or if it has more than 8 bits a channel.
    """
    return _load(path, "L")


def load_colour(path: Path) -> NDArray[np.uint8]:
    """Read an image as it is: grey levels (H, W), or colours (H, W, 3); a colour image of equal channels stays colour.

    Raises:
        ValueError: as `load_grey`.
    """
    return _load(path, None)


def load_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as colours (H, W, 3); a grey one has equal channels.

    Raises:
        ValueError: as `load_grey`.
    """
    return _load(path, "RGB")


def halves(image: NDArray[np.uint8], path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The left and the right half of an image, shape (H, W) or (H, W, C), that holds two side by side.

    Raises:
        ValueError: if the width is odd; `path` is named.
    """
    width = image.shape[1]
    if width % 2:
        raise ValueError(
            f"{path} must hold two images of one size side by side, got an odd width of {width} pixels; "
            "cut it into two files (layout two_folders) or leave it out."
        )
    return image[:, : width // 2], image[:, width // 2 :]


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write grey levels (H, W) or colours (H, W, 3), both uint8, as an 8-bit PNG; atomic.

    Raises:
        ValueError: if the array is not uint8 or has another shape.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"{path} takes uint8, got {image.dtype}; to_uint8 converts floats in [0, 1].")
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"{path} takes an array of shape (H, W) or (H, W, 3), got {image.shape}; drop further axes.")
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(encoded, format="PNG")
    write_bytes(path, encoded.getvalue())


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Quantise intensities to grey levels: round(255 min(max(x, 0), 1)), halves to even; any shape.

    Raises:
        ValueError: if a value is not finite, or if the array is not of a float type.
    """
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"to_uint8 takes floats in [0, 1], got {image.dtype}; integers are grey levels already.")
    if not np.isfinite(image).all():
        raise ValueError("to_uint8 takes finite intensities, got NaN or infinity; look where they were computed.")
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def _load(path: Path, mode: str | None) -> NDArray[np.uint8]:
    if not path.is_file():
        raise ValueError(f"{path} must be an image file, got nothing under that name; check the path.")
    try:
        with Image.open(path) as image:
            _require_eight_bits(path, image)
            own = "L" if image.mode in GREY_MODES else "RGB"
            return np.array(image.convert(mode or own), dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} must be an image that Pillow reads, got other bytes; fetch it again.") from error
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} must be a whole image, got a broken one ({error}); fetch it again.") from error


def _require_eight_bits(path: Path, image: Image.Image) -> None:
    """Refuse deep images; Pillow would cut 16-bit colour to its upper 8 bits without a word, so ask the decoder too."""
    decoders = [str(tile.args) for tile in getattr(image, "tile", [])]
    deep = next((args for args in decoders if any(mark in args for mark in (";16B", ";16L", ";16N"))), None)
    if image.mode not in EIGHT_BIT_MODES or deep:
        raise ValueError(
            f"{path} must have 8 bits a channel (mode {', '.join(EIGHT_BIT_MODES)}), "
            f"got mode {image.mode}{' cut from 16 bits' if deep else ''}; convert it to an 8-bit PNG first."
        )


def require_rgb(image: NDArray[np.uint8], name: str) -> None:
    """Refuse, by name, an image that is not uint8 of shape (H, W, 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"{name} must be uint8 of shape (H, W, 3), got {image.dtype} of shape {image.shape}; "
            "repeat a grey image for the three colours."
        )
