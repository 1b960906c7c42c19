"""Images between files and arrays: grey levels are uint8 on disk and in memory, floats in [0, 1] only in between."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nasir.files import write_bytes

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes with at most 8 bits a channel, whose conversion to grey keeps the range [0, 255]."""

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""What the files of data sets end in, in any case."""

READABLE = (*SUFFIXES, ".gif", ".jp2", ".pbm", ".pgm", ".pnm", ".ppm", ".webp")
"""What files that are only looked at may end in."""

OTHER_SUFFIXES = (".avif", ".heic", ".heif", ".jxl")
"""What images end in that are not read from folders."""

GREY_MODES = ("1", "L", "LA")

MOST_PIXELS = 2**28
"""Of an image that is read: 268 megapixels; one that claims more is refused before it is decoded."""

PILLOWS = 89_478_485
"""Pixels from which on Pillow warns; it refuses twice as many."""

if Image.MAX_IMAGE_PIXELS == PILLOWS:  # who wants another limit has set it
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2

START_AND_SIZ = b"\xff\x4f\xff\x51"
"""How a JPEG 2000 codestream begins; 36 bytes on stands the number of channels, then for each its depth - 1 and two bytes."""


def load_grey(path: Path) -> NDArray[np.uint8]:
    """Read an image as grey levels through Pillow's `convert("L")`: ITU-R 601-2, L = (299 R + 587 G + 114 B) / 1000.

    Args:
        path: an 8-bit image in any format that Pillow reads. Transparency and EXIF orientation are ignored.

    Returns:
        Grey levels in [0, 255], shape (H, W).

    Raises:
        ValueError: if there is no such file, if it is no whole image, has more than 8 bits a channel, is an animation or several
            pages, or claims more than `MOST_PIXELS`.
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


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings of large photographs and of metadata that are damaged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, read quietly."""
    with quiet(), Image.open(path) as image:
        yield image


def has_transparency(path: Path) -> bool:
    """Whether an image that can be read has pixels that are not opaque; reading takes them for opaque ones."""
    with Image.open(path) as image:
        return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _load(path: Path, mode: str | None) -> NDArray[np.uint8]:
    _require_file(path)
    try:
        with opened(path) as image:
            problem = _find_problem(path, image)
            own = "L" if image.mode in GREY_MODES else "RGB"
            levels = None if problem else np.array(image.convert(mode or own), dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} must be an image that Pillow reads, got other bytes; fetch it again.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} must be of a usual size, got: {error}; cut it into parts.") from error
    except Exception as error:  # decoders raise whatever they stumble over
        raise ValueError(f"{path} must be a whole image, got a broken one ({error}); fetch it again.") from error
    if levels is None:
        raise ValueError(f"{path} {problem}")
    return levels


def _require_file(path: Path) -> None:
    """Refuse what is not there or cannot be opened, and a pipe, which would never end."""
    try:
        is_file, is_there = path.is_file(), path.exists()
        if is_file:
            path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} must be readable, got {error.strerror}; check its name and permissions.") from error
    if not is_file:
        got = "something else (a folder, a pipe)" if is_there else "nothing"
        raise ValueError(f"{path} must be an image file, got {got} under that name; check the path.")


def _find_problem(path: Path, image: Image.Image) -> str | None:
    """What keeps an opened image from being one of 8 bits a channel, if anything does."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # that is a camera's photograph with a smaller one beside it
        return f"must be one picture, got {frames} frames or pages ({image.format}); save the one that is meant as PNG."
    is_cut = _is_cut(path, image)
    if image.mode in EIGHT_BIT_MODES and not is_cut:
        return None
    return (
        f"must have 8 bits a channel (mode {', '.join(EIGHT_BIT_MODES)}), "
        f"got mode {image.mode}{' cut from more bits' if is_cut else ''}; convert it to an 8-bit PNG first."
    )


def _is_cut(path: Path, image: Image.Image) -> bool:
    """Whether Pillow gives 8 bits of a deeper image, which it does without a word."""
    decoders = [tile.args for tile in getattr(image, "tile", [])]
    if any(mark in str(args) for args in decoders for mark in (";16B", ";16L", ";16N")):
        return True
    if image.format == "PPM":  # its decoder's arguments end in the largest value
        return any(isinstance(args, tuple) and args[-1] > 255 for args in decoders)
    if image.format == "JPEG2000":
        data = path.read_bytes()
        start = data.find(START_AND_SIZ) + len(START_AND_SIZ)
        channels = int.from_bytes(data[start + 36 : start + 38], "big")
        return any(depth & 0x7F > 7 for depth in data[start + 38 : start + 38 + 3 * channels : 3])
    return False


def require_rgb(image: NDArray[np.uint8], name: str) -> None:
    """Refuse, by name, an image that is not uint8 of shape (H, W, 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"{name} must be uint8 of shape (H, W, 3), got {image.dtype} of shape {image.shape}; "
            "repeat a grey image for the three colours."
        )
