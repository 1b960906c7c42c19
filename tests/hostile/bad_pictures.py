"""Broken, lying and odd image files, given to `nasir restore`, `nasir score` and the data set `folder`."""

import io
import itertools
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from judging import Answer, Case, function, nasir
from PIL import ExifTags, Image

from nasir.config.download import DownloadConfig
from stages import download

SUFFIXES = ("png", "jpg", "tif", "bmp", "gif", "webp", "ppm")
"""Of what is cut off."""

FORMATS = {"jpg": "JPEG", "tif": "TIFF"}

FLIPS = 14
"""Bits that are flipped in each of a PNG, a JPEG and a TIFF, one in each input."""

HUGE = 60_000
"""Side that a little file claims."""

LEVELS = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)


def encoded(suffix: str = "png", levels: np.ndarray = LEVELS, mode: str | None = None, **options: object) -> bytes:
    """An image file's bytes."""
    image = Image.fromarray(levels)
    data = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(data, FORMATS.get(suffix, suffix.upper()), **options)
    return data.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG with any header, the compressed data as they are, and further chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(*tags: tuple[int, int, int, int], start: int = 8, then: int = 0) -> bytes:
    """A little-endian TIFF of (tag, type, count, value) and nothing else."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", start) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", then)


GREY_TIFF = (256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)


def cut() -> Iterator[tuple[str, bytes]]:
    """Files that end too soon."""
    for suffix in SUFFIXES:
        whole = encoded(suffix)
        for part in (0.02, 0.1, 0.3, 0.5, 0.8):
            yield f"{suffix}-{part}.{suffix}", whole[: max(1, int(part * len(whole)))]


def flipped() -> Iterator[tuple[str, bytes]]:
    """Files with one bit that is another."""
    for suffix in SUFFIXES[:3]:
        chance = random.Random(suffix)
        for number in range(FLIPS):
            data = bytearray(encoded(suffix))
            place = chance.randrange(min(len(data), 700)) if number % 2 else chance.randrange(len(data))
            data[place] ^= 1 << chance.randrange(8)
            yield f"flip-{number}.{suffix}", bytes(data)


def other() -> Iterator[tuple[str, bytes]]:
    """Files that are no image, whatever they are called."""
    yield from ((f"empty.{suffix}", b"") for suffix in SUFFIXES)
    texts = {
        "html": b"<!doctype html><title>404</title>",
        "script": b"#!/bin/sh\ntouch ran\n",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "pickle": b"cos\nsystem\n(S'touch ran'\ntR.",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file closefile\nshowpage\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/passwd"/></svg>',
        "zip": b"PK\3\4" + bytes(60),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "numpy": b"\x93NUMPY" + bytes(60),
    }
    yield from ((f"{name}.png", data) for name, data in texts.items())


def lying() -> Iterator[tuple[str, bytes]]:
    """Headers that claim what is not there, and small files that grow."""
    row = zlib.compress(bytes(9))
    yield "png-60000.png", png(HUGE, HUGE, row)
    yield "png-2147483647.png", png(2**31 - 1, 2**31 - 1, row)
    yield "png-0.png", png(0, 8, row)
    yield "png-depth-7.png", png(8, 8, row, depth=7)
    yield "png-colour-5.png", png(8, 8, row, colour=5)
    yield "png-short-data.png", png(64, 64, row)
    yield "png-no-data.png", png(64, 64, b"")
    yield "png-chunk-too-long.png", png(8, 8, row)[:-12] + struct.pack(">I", 2**31 - 1) + b"tEXt"
    yield "png-13000-twice.png", png(14_000, 14_000, zlib.compress(bytes(1000)))
    yield (
        "bmp-60000.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "bmp-negative.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -8, 8, 1, 24, 0, 0, 0, 0, 0, 0)
    yield (
        "gif-65535.gif",
        b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2\0;",
    )
    yield "ppm-huge.ppm", b"P6 1000000000 1000000000 255\n"
    yield "ppm-letters.ppm", b"P6 x y 255\n" + bytes(100)
    yield "ppm-digits.ppm", b"P6 " + b"9" * 5000 + b" 8 255\n"
    yield "ppm-comment.ppm", b"P6\n#" + b"c" * 200_000
    yield "ppm-zero-levels.ppm", b"P6 4 4 0\n" + bytes(48)
    yield (
        "jpg-65500.jpg",
        bytes.fromhex("ffd8ffc0001108ffdcffdc03012200021101031101ffda000c03010002110311003f00") + bytes(50),
    )
    yield "jpg-only-start.jpg", b"\xff\xd8"
    yield "jpg-segments.jpg", b"\xff\xd8" + (b"\xff\xe1\x00\x04ab" * 20_000)
    yield "webp-16383.webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + struct.pack("<I", 0x0FFF_FFFF) + bytes(9)
    yield "tif-outside.tif", tiff(*GREY_TIFF, (273, 4, 1, 2**31), (279, 4, 1, 64))
    yield "tif-start-outside.tif", tiff(*GREY_TIFF, start=2**30)
    yield "tif-no-strips.tif", tiff(*GREY_TIFF)
    yield "tif-huge.tif", tiff((256, 4, 1, HUGE), (257, 4, 1, HUGE), *GREY_TIFF[2:], (273, 4, 1, 8), (279, 4, 1, 64))
    yield "tif-tags.tif", b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + bytes(12 * 2000)
    yield "tif-count.tif", tiff(*GREY_TIFF, (273, 4, 2**30, 8), (279, 4, 2**30, 8))


def bombs() -> Iterator[tuple[str, bytes]]:
    """PNG text and colour profiles of a few KB that unpack to 256 MB: what is not needed is not unpacked, or refused."""
    pack = zlib.compressobj(9)
    packed = b"".join(pack.compress(bytes(2**20)) for _ in range(256)) + pack.flush()
    whole = encoded()
    for kind, data in (("zTXt", b"a\0\0" + packed), ("iTXt", b"a\0\1\0\0\0" + packed), ("iCCP", b"a\0\0" + packed)):
        yield f"{kind}.png", whole[:33] + chunk(kind.encode(), data) + whole[33:]
    yield "text.png", whole[:33] + chunk(b"tEXt", b"a\0" + b"b" * 3_000_000) + whole[33:]


def animated(suffix: str) -> bytes:
    """Two frames."""
    frames = [Image.fromarray(np.roll(LEVELS, by, 0)) for by in (1, 2)]
    data = io.BytesIO()
    frames[0].save(data, FORMATS.get(suffix, suffix.upper()), save_all=True, append_images=frames[1:])
    return data.getvalue()


def grey(kind: object) -> np.ndarray:
    return (LEVELS[..., 0].astype(np.float64) / 255 * 1000).astype(kind)


def odd() -> Iterator[tuple[str, bytes, str, str]]:
    """Modes and colours: (name, bytes, end in `restore`, end as a clean image of a data set)."""
    for mode, suffix in (
        ("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("YCbCr", "jpg"),
        ("CMYK", "tif"), ("L", "bmp"), ("P", "bmp"),
    ):  # fmt: skip
        yield f"{mode}.{suffix}", encoded(suffix, mode=mode), "done", "done"
    yield "16-bit.png", encoded(levels=grey(np.uint16)), "done", "refused"
    yield "16-bit.tif", encoded("tif", levels=grey(np.uint16)), "done", "refused"
    yield "int32.tif", encoded("tif", levels=grey(np.int32)), "refused", "refused"
    yield "float.tif", encoded("tif", levels=grey(np.float32)), "refused", "refused"
    yield "lab.tif", encoded("tif", mode="LAB"), "refused", "refused"
    yield "frames.gif", animated("gif"), "refused", "refused"
    yield "frames.png", animated("png"), "refused", "refused"
    yield "pages.tif", animated("tif"), "refused", "refused"
    yield "1x1.png", encoded(levels=LEVELS[:1, :1]), "done", "done"
    yield "png-called.jpg", encoded("png"), "done", "done"
    yield "jpg-called.png", encoded("jpg"), "done", "done"
    yield "tif-called.bmp", encoded("tif"), "done", "done"


def turned() -> Iterator[tuple[str, bytes, int]]:
    """Orientations that EXIF may say, and some that it may not; (name, bytes, whether height and width change places)."""
    for suffix, value in itertools.product(("jpg", "png"), (*range(1, 9), 0, 9, 65_535)):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = value
        yield f"turned-{value}.{suffix}", encoded(suffix, exif=exif.tobytes()), int(5 <= value <= 8)
    wrong = {"text": tiff((274, 2, 4, 0x00_70_75)), "cut": b"II*\0\x08\0\0\0\x09", "loop": tiff(then=8), "none": b""}
    for name, data in wrong.items():
        yield f"exif-{name}.jpg", encoded("jpg", exif=b"Exif\0\0" + data), 0


NAMES = (
    b"with space.png", b'quo"te.png', b"apos'trophe.png", b"new\nline.png", b"tab\t.png", b"back\\slash.png",
    b"no-utf8-\xff\xfe.png", b"\x1b[31mred\x1b[0m.png", b"\x1b]0;title\x07.png", b"-dash.png", b"$(touch ran).png",
    b"; touch ran; .png", b"`touch ran`.png", b"%s%n{0}.png", b"..png..png", "\u202egnp.png".encode(), "\U0001f600.png".encode(),
    b"a" * 251 + b".png",
)  # fmt: skip


def restore(model: Path, name: bytes | str, data: bytes) -> Callable[[Path], Answer]:
    """Restore one picture to a file."""

    def act(place: Path) -> Answer:
        path = place / Path(name.decode(errors="surrogateescape") if isinstance(name, bytes) else name)
        path.write_bytes(data)
        return nasir("restore", "--model", model, "--out", place / "out" / "restored.png", "--", path)

    return act


def score(name: str, data: bytes) -> Callable[[Path], Answer]:
    """Score a folder of one picture against itself."""

    def act(place: Path) -> Answer:
        for side in ("restored", "clean"):
            (place / side).mkdir()
            (place / side / name).write_bytes(data)
        words = ("--restored", place / "restored", "--clean", place / "clean", "--csv", place / "out" / "scores.csv")
        return nasir("score", *words)

    return act


def own(name: bytes | str, data: bytes, layout: str = "clean") -> Callable[[Path], Answer]:
    """A folder with this picture and a good one as a data set."""

    def act(place: Path) -> Answer:
        images = place / "images"
        images.mkdir()
        (images / "good.png").write_bytes(encoded())
        (images / (name.decode(errors="surrogateescape") if isinstance(name, bytes) else name)).write_bytes(data)
        return as_dataset(images, place / "out", layout)

    return act


def as_dataset(images: Path, out: Path, layout: str = "clean") -> Answer:
    """A folder as a data set."""
    patience = DownloadConfig(attempts=1, timeout=1)
    return function(
        lambda: download.run(
            dataset="folder", folder=images, layout=layout, shipped=out / "nowhere", out=out, config=patience,
            log=lambda step, news: None,
        )
    )  # fmt: skip


def is_upright(is_sideways: int) -> Callable[[Path], None]:
    """Checks a restored picture's size and that EXIF says nothing else any more."""

    def check(place: Path) -> None:
        with Image.open(place / "out" / "restored.png") as image:
            height, width = LEVELS.shape[:2]
            assert image.size == ((height, width) if is_sideways else (width, height)), image.size
            assert image.getexif().get(274) not in range(2, 9), "turned a second time by what shows it"

    return check


def cases(model: Path) -> Iterator[Case]:
    """All of them; `model` is the folder of a small network for grey."""
    for kind, inputs, ends in (
        ("pictures cut off", cut(), "refused"),
        ("pictures with a flipped bit", flipped(), "either"),
        ("files that are no picture", other(), "refused"),
        ("pictures whose header lies", lying(), "refused"),
        (
            "pictures whose header lies",
            [("tif-loop.tif", tiff(*GREY_TIFF, (273, 4, 1, 8), (279, 4, 1, 64), then=8))],
            "done",
        ),
        ("pictures that unpack to more", bombs(), "either"),
    ):
        for name, data in inputs:
            yield Case(kind=kind, name=f"restore {name}", act=restore(model, name, data), named=name, ends=ends)
            if not name.startswith("png-13000"):  # as large as a picture of a data set may be
                yield Case(
                    kind=kind, name=f"folder {name}", act=own(name, data), named=name, ends=_of_folder(name, ends)
                )
    for name, data, ends, in_folder in odd():
        yield Case(kind="odd modes", name=f"restore {name}", act=restore(model, name, data), named=name, ends=ends)
        yield Case(
            kind="odd modes", name=f"folder {name}", act=own(name, data), named=name, ends=_of_folder(name, in_folder)
        )
        ends = "refused" if name == "1x1.png" else in_folder  # SSIM has a window of 11 pixels
        yield Case(kind="odd modes", name=f"score {name}", act=score(name, data), named=name, ends=ends)
    for name, data, is_sideways in turned():
        act, check = restore(model, name, data), is_upright(is_sideways)
        yield Case(kind="EXIF orientations", name=f"restore {name}", act=act, ends="done", check=check)
    for raw in NAMES:
        named, kind = repr(raw), "odd names"
        yield Case(kind=kind, name=f"restore {named}", act=restore(model, raw, encoded()), ends="done")
        yield Case(
            kind=kind, name=f"restore damaged {named}", act=restore(model, raw, b"no image"), named="must be an image"
        )
        is_usual = b"\\" not in raw and b"\xff" not in raw and not raw.startswith(b".")
        ends = "done" if is_usual else "refused"
        yield Case(kind=kind, name=f"folder {named}", act=own(raw, encoded()), ends=ends)
    yield from _places(model)


def _of_folder(name: str, ends: str) -> str:
    """A data set passes over no image that it cannot have, so a GIF beside it is refused, too."""
    return "refused" if name.endswith((".gif", ".webp", ".ppm")) else ends


def _places(model: Path) -> Iterator[Case]:
    """Pipes, devices, loops of links, folders where files belong, and outputs that cannot be written."""
    import os

    def made(make: Callable[[Path], object]) -> Callable[[Path], Answer]:
        def act(place: Path) -> Answer:
            make(place / "x.png")
            return nasir("restore", place / "x.png", "--model", model, "--out", place / "out" / "restored.png")

        return act

    def link_to(target: str) -> Callable[[Path], object]:
        return lambda path: path.symlink_to(target)

    def in_folder(make: Callable[[Path], object]) -> Callable[[Path], Answer]:
        def act(place: Path) -> Answer:
            (place / "images").mkdir()
            for name in ("a.png", "b.png"):
                (place / "images" / name).write_bytes(encoded())
            make(place / "images" / "x.png")
            return as_dataset(place / "images", place / "out")

        return act

    kinds: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a link to itself": link_to("x.png"),
        "a link to nothing": link_to("nowhere.png"),
        "a link to a device": link_to("/dev/zero"),
        "a link to its folder": link_to("."),
        "a link above its folder": link_to(".."),
    }
    for name, make in kinds.items():
        ends = "either" if "folder" in name else "refused"
        yield Case(kind="pipes, links and places", name=f"restore {name}", act=made(make), ends=ends)
        yield Case(
            kind="pipes, links and places", name=f"folder {name}", act=in_folder(make), named="x.png|must not be a link"
        )

    def to(out: str, prepare: Callable[[Path], object] = lambda place: None) -> Callable[[Path], Answer]:
        def act(place: Path) -> Answer:
            (place / "x.png").write_bytes(encoded())
            shutil.rmtree(place / "out")
            prepare(place)
            answer = nasir("restore", place / "x.png", "--model", model, "--out", place / out)
            (place / "out").mkdir(exist_ok=True)
            return answer

        return act

    outputs = {
        "a folder called .png": to("here.png", lambda place: (place / "here.png" / "x.png").mkdir(parents=True)),
        "below a file": to("x.png/y.png"),
        "a name of 300 bytes": to("a" * 300 + ".png"),
        "a JPEG": to("x.jpg"),
        "a loop of links": to("loop/y.png", lambda place: (place / "loop").symlink_to("loop")),
        "its own input": to("x.png"),
    }
    for name, act in outputs.items():
        yield Case(kind="pipes, links and places", name=f"to {name}", act=act)
