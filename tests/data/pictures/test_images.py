import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nasir.data.pictures.images import has_transparency, load_grey, save_png, to_uint8


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
    with pytest.raises(ValueError, match=r"colour\.png must have 8 bits .* got mode RGB cut from more bits"):
        load_grey(tmp_path / "colour.png")


def patched(image, kind, mark, place, value):
    """The bytes of an image with one of them changed, `place` bytes behind a mark."""
    file = io.BytesIO()
    image.save(file, format=kind)
    data = bytearray(file.getvalue())
    data[data.index(mark) + len(mark) + place] = value
    return bytes(data)


COLOURS = Image.new("RGB", (16, 16), (200, 100, 50))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.ppm", b"P6 1 1 65535\n" + bytes(6)),
        ("b.ppm", b"P6 1 1 1023\n" + bytes(6)),
        ("c.ppm", b"P3 1 1 65535\n0 1000 2000\n"),
        ("d.jp2", patched(COLOURS, "JPEG2000", b"\xff\x4f\xff\x51", 36 + 2, 15)),  # SIZ says 16 bits
    ],
)
def test_deep_colours_that_pillow_cuts_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(
        ValueError, match=rf"{name} must have 8 bits a channel .*, got mode RGB cut from more bits; convert"
    ):
        load_grey(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ppm", "a.jp2", "a.webp", "a.gif", "a.bmp", "a.tif"])
def test_eight_bits_of_other_formats_are_read(tmp_path, name):
    COLOURS.save(tmp_path / name)

    assert abs(int(load_grey(tmp_path / name)[0, 0]) - 124) <= 2  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50


@pytest.mark.parametrize(("name", "kind"), [("a.gif", "GIF"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")])
def test_an_animation_and_several_pages_are_refused(tmp_path, name, kind):
    others = [Image.new("RGB", (16, 16), (0, 0, level)) for level in (100, 200)]
    COLOURS.save(tmp_path / name, save_all=True, append_images=others)

    with pytest.raises(
        ValueError, match=rf"{name} must be one picture, got 3 frames or pages \({kind}\); save the one"
    ):
        load_grey(tmp_path / name)


def test_a_photograph_with_a_second_one_for_its_display_is_the_first(tmp_path):
    COLOURS.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])

    assert load_grey(tmp_path / "a.jpg").shape == (16, 16)


@pytest.mark.parametrize(
    ("side", "refusal"),
    [
        (60_000, r"a\.bmp must be of a usual size, got: Image size \(3600000000 pixels\) exceeds .*; cut"),
        (16_385, r"a\.bmp must be of a usual size, got: Image size \(268468225 pixels\) exceeds .*; cut"),
        (16_384, r"a\.bmp must be a whole image"),  # MOST_PIXELS; the file ends behind 16 rows
    ],
)
def test_a_header_that_claims_an_endless_image_is_refused(tmp_path, side, refusal):
    file = io.BytesIO()
    COLOURS.save(file, format="BMP")
    data = bytearray(file.getvalue())
    data[18:26] = struct.pack("<ii", side, side)
    (tmp_path / "a.bmp").write_bytes(data)

    with pytest.raises(ValueError, match=refusal):
        load_grey(tmp_path / "a.bmp")


def test_a_pipe_a_folder_an_endless_name_and_no_bytes_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()

    for name in ("pipe.png", "folder.png"):
        with pytest.raises(ValueError, match=rf"{name} must be an image file, got something else \(a folder, a pipe\)"):
            load_grey(tmp_path / name)
    with pytest.raises(ValueError, match=r"empty\.png must be an image that Pillow reads, got other bytes"):
        load_grey(tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"x\.png must be readable, got File name too long; check its name"):
        load_grey(tmp_path / f"{'x' * 300}.png")


@pytest.mark.parametrize("text", [b"P6 1 x 255\n", b"P6 1 1 \x8b6\n   ", b"P3 1 1 255\n1 2 300\n"])
def test_what_a_decoder_stumbles_over_is_named(tmp_path, text):
    (tmp_path / "odd.ppm").write_bytes(text)

    with pytest.raises(ValueError, match=r"odd\.ppm must be a whole image, got a broken one"):
        load_grey(tmp_path / "odd.ppm")


def test_pixels_that_are_not_opaque_are_seen(tmp_path):
    clear = COLOURS.convert("RGBA")
    clear.save(tmp_path / "opaque.png")
    clear.putpixel((3, 3), (0, 0, 0, 254))
    clear.save(tmp_path / "clear.png")
    COLOURS.quantize(4).save(tmp_path / "hole.gif", transparency=0)
    COLOURS.save(tmp_path / "plain.png")

    seen = [has_transparency(tmp_path / name) for name in ("opaque.png", "clear.png", "hole.gif", "plain.png")]
    assert seen == [False, True, True, False]


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
