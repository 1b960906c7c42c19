"""A photograph comes from its file to a PNG with its bits, its alpha, its profile and EXIF, and the right way up."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps

from nasir.data.pictures import photographs
from nasir.data.pictures.photographs import Photograph

SHAPES = {"grey": (5, 7), "grey, alpha": (5, 7, 2), "rgb": (5, 7, 3), "rgb, alpha": (5, 7, 4)}
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of the PNG specification, table 11.1


def random(shape):
    return np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)


def plain_png(pixels, extra=b""):
    """16 bits written without filters, from the specification alone."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = np.atleast_3d(pixels).shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    middle = chunk(b"tRNS", extra) if extra else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def unfilter(data):
    """The values of a PNG of 16 bits, whose lines have filter 2 (up), by the specification."""
    position, parts, header = 8, [], None
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        assert data[position + 8 + length : position + 12 + length] == struct.pack(">I", zlib.crc32(kind + body))
        header = body if kind == b"IHDR" else header
        parts += [body] * (kind == b"IDAT")
        position += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", header)
    channels = {number: count for count, number in COLOUR_TYPES.items()}[colour]
    lines = np.frombuffer(zlib.decompress(b"".join(parts)), np.uint8).reshape(height, -1)
    assert depth == 16 and set(lines[:, 0].tolist()) == {2}
    values = np.cumsum(lines[:, 1:].astype(np.int64), axis=0).astype(np.uint8)
    return values.view(">u2").reshape(height, width, channels)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_sixteen_bits_come_back_as_they_were(tmp_path, shape):
    pixels = random(shape)
    (tmp_path / "in.png").write_bytes(plain_png(pixels))

    found = photographs.read(tmp_path / "in.png")
    photographs.save_png(tmp_path / "out.png", found)
    again = photographs.read(tmp_path / "out.png")

    np.testing.assert_array_equal(unfilter((tmp_path / "out.png").read_bytes()), np.atleast_3d(pixels))
    for photograph in (found, again):
        assert photograph.levels.dtype == np.uint16
        channels = [np.atleast_3d(photograph.levels)] + [a[..., None] for a in [photograph.alpha] if a is not None]
        np.testing.assert_array_equal(np.concatenate(channels, axis=-1), np.atleast_3d(pixels))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)], ids=str)
def test_sixteen_bits_of_a_tiff_are_read(tmp_path, shape, compression, order):
    pixels, kind = random(shape), "minisblack" if len(shape) == 2 else "rgb"
    extra = {"extrasamples": ["unassalpha"]} if shape[-1] == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=kind, compression=compression, byteorder=order, **extra)

    found = photographs.read(tmp_path / "a.tif")

    np.testing.assert_array_equal(found.levels, pixels[..., :3] if len(shape) == 3 else pixels)
    assert (found.alpha is not None) == (shape[-1] == 4)


def test_a_tiff_whose_white_is_zero_and_a_pgm_are_read(tmp_path):
    pixels = random((5, 7))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    (tmp_path / "a.pgm").write_bytes(b"P5 7 5 65535\n" + pixels.astype(">u2").tobytes())

    np.testing.assert_array_equal(photographs.read(tmp_path / "a.tif").levels, 65535 - pixels)
    np.testing.assert_array_equal(photographs.read(tmp_path / "a.pgm").levels, pixels)


def test_the_one_colour_that_is_not_drawn_is_alpha(tmp_path):
    pixels = random((5, 7, 3))
    (tmp_path / "a.png").write_bytes(plain_png(pixels, struct.pack(">HHH", *pixels[2, 3].tolist())))
    Image.fromarray(np.array([[9, 8], [9, 7]], np.uint8)).save(tmp_path / "b.png", transparency=9)

    alpha = photographs.read(tmp_path / "a.png").alpha
    assert np.argwhere(alpha == 0).tolist() == [[2, 3]] and np.unique(alpha).tolist() == [0, 65535]
    assert photographs.read(tmp_path / "b.png").alpha.tolist() == [[0, 255], [0, 255]]


def exif_of(**values):
    exif = Image.Exif()
    for name, value in values.items():
        exif[getattr(ExifTags.Base, name)] = value
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright_as_pillow_turns_it(tmp_path, orientation):
    exif = exif_of(Orientation=orientation, Model="a camera")
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.ExifImageWidth: 7, ExifTags.Base.ExifImageHeight: 5})
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(tmp_path / "in.png")))

    found = photographs.read(tmp_path / "in.png")
    photographs.save_png(tmp_path / "out.png", found)

    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.array(image), expected)
        exif = image.getexif()
        assert exif[ExifTags.Base.Orientation] == 1 and exif[ExifTags.Base.Model] == "a camera"
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == image.size
    assert found.notes == (("turned upright",) if orientation > 1 else ())


def test_a_tiff_is_turned_once_and_says_what_is_of_a_photograph(tmp_path):
    pixels = random((5, 7, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif_of(Orientation=6, Artist="a person"))

    found = photographs.read(tmp_path / "a.tif")

    np.testing.assert_array_equal(found.levels, np.rot90(pixels, -1))
    exif = Image.Exif()
    exif.load(found.exif)
    assert dict(exif) == {ExifTags.Base.Artist: "a person"}


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_profile_and_exif_are_kept(tmp_path, kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = exif_of(Model="a camera").tobytes().removeprefix(photographs.EXIF_HEADER)
    levels = random((5, 7, 3)).astype(kind)

    photographs.save_png(tmp_path / "a.png", Photograph(levels=levels, profile=profile, exif=exif))

    found = photographs.read(tmp_path / "a.png")
    assert (found.profile, found.exif, found.notes) == (profile, exif, ())
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == profile and image.getexif()[ExifTags.Base.Model] == "a camera"


def test_a_profile_for_other_colours_is_left_out_and_broken_exif_too(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("L", (4, 4)).save(tmp_path / "a.jpg", icc_profile=profile)
    Image.new("L", (4, 4)).save(tmp_path / "b.jpg", exif=b"Exif\0\0no header of TIFF")

    assert photographs.read(tmp_path / "a.jpg").notes == ("its ICC profile left out, which is for RGB",)
    assert photographs.read(tmp_path / "b.jpg").notes == ("its EXIF left out, which is broken",)


def test_other_depths_and_broken_files_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "cut.png").write_bytes(plain_png(random((50, 60, 3)))[:2000])
    (tmp_path / "colour.ppm").write_bytes(b"P6 7 5 65535\n" + bytes(7 * 5 * 6))

    with pytest.raises(
        ValueError, match=r"float.tif must have 8 bits a channel, or 16 in a PNG, TIFF or PGM, got mode F"
    ):
        photographs.read(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"cut.png must be a whole image, got a broken one"):
        photographs.read(tmp_path / "cut.png")
    with pytest.raises(ValueError, match=r"colour.ppm must have 8 bits a channel .* cut from more bits"):
        photographs.read(tmp_path / "colour.ppm")
    with pytest.raises(ValueError, match=r"nosuch.png must be an image file, got nothing"):
        photographs.read(tmp_path / "nosuch.png")
