import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nasir.data.pictures.images import load_grey, save_png, to_uint8


def write_deep_colour_png(path):
    """A 1x1 PNG of 16 bits a channel, which Pillow cannot write: header, one filtered row, end."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    row = zlib.compress(b"\0" + struct.pack(">HHH", 1000, 2000, 3000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b""))


def test_grey_levels_are_weighted_as_in_itu_r_601(tmp_path):
    # 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.1; white stays 255.
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "colours.png")

    assert load_grey(tmp_path / "colours.png").tolist() == [[76, 150, 29, 255]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_all_eight_bit_modes_of_one_grey_image_give_the_same_levels(tmp_path, mode):
    levels = np.arange(0, 250, 10, dtype=np.uint8).reshape(5, 5)
    Image.fromarray(levels).convert(mode).save(tmp_path / "image.png")

    grey = load_grey(tmp_path / "image.png")

    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, levels)


def test_a_palette_is_looked_up_and_not_taken_for_grey_levels(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 200, 200, 30, 30, 30])
    image.putdata([0, 1])
    image.save(tmp_path / "palette.png")

    assert load_grey(tmp_path / "palette.png").tolist() == [[200, 30]]


def test_one_bit_becomes_black_and_white_and_cmyk_is_converted(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "white.jpg")

    assert load_grey(tmp_path / "bits.png").tolist() == [[255, 0]]
    assert load_grey(tmp_path / "white.jpg").min() >= 254  # no ink


def test_sixteen_bit_and_float_images_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)).save(tmp_path / "float.tiff")
    write_deep_colour_png(tmp_path / "colour.png")

    with pytest.raises(ValueError, match=r"deep\.png must have 8 bits a channel .* got mode I;16"):
        load_grey(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"float\.tiff must have 8 bits a channel .* got mode F"):
        load_grey(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match=r"colour\.png must have 8 bits .* got mode RGB cut from 16 bits"):
        load_grey(tmp_path / "colour.png")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, format="PNG" if suffix == "png" else "JPEG")
    (tmp_path / f"half.{suffix}").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])

    with pytest.raises(ValueError, match=rf"half\.{suffix} must be a whole image"):
        load_grey(tmp_path / f"half.{suffix}")


def test_a_text_file_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")

    with pytest.raises(ValueError, match=r"notes\.png must be an image that Pillow reads"):
        load_grey(tmp_path / "notes.png")
    with pytest.raises(ValueError, match=r"gone\.png must be an image file, got nothing"):
        load_grey(tmp_path / "gone.png")


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_png_gives_back_the_pixels_that_were_saved(tmp_path, shape):
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    save_png(tmp_path / "new" / "image.png", image)

    with Image.open(tmp_path / "new" / "image.png") as saved:
        np.testing.assert_array_equal(np.array(saved), image)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["image.png"]  # no temporary file stays


def test_floats_and_odd_shapes_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="takes uint8, got float64"):
        save_png(tmp_path / "image.png", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(H, W\) or \(H, W, 3\), got \(1, 2, 2\)"):
        save_png(tmp_path / "image.png", np.zeros((1, 2, 2), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_quantising_clips_and_rounds_to_the_nearest_level():
    # 0.4 / 255 -> 0, 0.6 / 255 -> 1, 1.5 / 255 -> 2 (halves to even), beyond the range -> its ends.
    floats = np.array([-0.2, 0.4 / 255, 0.6 / 255, 1.5 / 255, 1.0, 1.7])

    assert to_uint8(floats).tolist() == [0, 0, 1, 2, 255, 255]


def test_quantising_takes_back_every_level_in_both_precisions():
    levels = np.arange(256, dtype=np.uint8)

    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(to_uint8(levels.astype(kind) / kind(255)), levels)


def test_quantising_refuses_nan_and_grey_levels():
    with pytest.raises(ValueError, match="finite intensities"):
        to_uint8(np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match=r"floats in .* got uint8"):
        to_uint8(np.array([200], dtype=np.uint8))
