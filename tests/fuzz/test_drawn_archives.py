"""Archives with any members and any bytes: only the right files are taken out of them, and nothing lands elsewhere."""

import hashlib
import io
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
from drawn_inputs import TEXTS, damaged, read_or_refused, tried
from hypothesis import given
from hypothesis import strategies as st

from nasir.data.fetch.sources import fetch
from nasir.data.manifest import Dataset, Entry

FILES = {"train/a.png": bytes(range(256)), "test/b.png": bytes(range(255, -1, -1)) * 2}

DATASET = Dataset(
    name="two", is_shipped=False, sources=(), terms="none", remedy="ask its maker",
    entries=tuple(
        Entry(path=path, split=path.partition("/")[0], bytes=len(content), width=1, height=1, mode="L",
              sha256=hashlib.sha256(content).hexdigest())
        for path, content in FILES.items()
    ),
)  # fmt: skip

PARTS = st.sampled_from(
    ["..", ".", "", "/", "a", "train", "test", "a.png", "b.png", "C:", "\\", "~", "\x1b[31m", "é", "\0"]
)

NAMES = st.one_of(st.lists(PARTS, min_size=1, max_size=5).map("/".join), st.sampled_from([*FILES]), TEXTS)

CONTENTS = st.one_of(
    st.binary(max_size=20), st.sampled_from([*FILES.values(), b"../../ran", b"/etc/passwd", b"test/b.png"])
)

MEMBERS = st.lists(st.tuples(NAMES, CONTENTS, st.integers(0, 4)), max_size=3)
"""Name, content and kind of each."""

MODES = (0o100644, 0, 0o100755, 0o120777, 0o40755)
"""Of a zip's members: files, then a link and a folder."""

TYPES = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("drawn")


def zipped(members: list[tuple[str, bytes, int]], method: int) -> bytes:
    """A zip."""
    data = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(data, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content, kind in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr = name.encode(errors="replace").decode(), MODES[kind] << 16
            archive.writestr(info, content)
    return data.getvalue()


def tarred(members: list[tuple[str, bytes, int]], mode: str) -> bytes:
    """A tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name.encode(errors="replace").decode().replace("\0", "0"))
            info.type, info.linkname = TYPES[kind], content.decode("latin-1").replace("\0", "0")
            info.size = len(content) if kind == 0 else 0
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


@st.composite
def archives(draw: st.DrawFn, members: list[tuple[str, bytes, int]]) -> tuple[str, bytes]:
    """A name and an archive of it."""
    if draw(st.booleans()):
        return "drawn.zip", zipped(members, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    mode = draw(st.sampled_from(["w:", "w:gz", "w:xz", "w:bz2"]))
    return "drawn.tar", tarred(members, mode)


def take(place: Path, name: str, data: bytes) -> bool:
    """Fetch the files out of an archive; whether all were there. What lies where they should, and nowhere else, is right."""
    shutil.rmtree(place / "out", ignore_errors=True)
    before = {path for path in place.rglob("*") if path.name != name}
    (place / name).write_bytes(data)

    done = read_or_refused(lambda: fetch(DATASET, place / "out", [str(place / name)], lambda step, news: None), name)

    found = {path.relative_to(place / "out").as_posix(): path for path in (place / "out").rglob("*") if path.is_file()}
    assert {path: file.read_bytes() for path, file in found.items()}.items() <= FILES.items()
    assert {path for path in place.rglob("*") if not path.is_relative_to(place / "out") and path.name != name} == before
    (place / name).unlink()
    return done is not None


@tried(200)
@given(data=st.data(), members=MEMBERS)
def test_nothing_but_the_right_files_comes_out_of_any_archive(place, data, members):
    name, whole = data.draw(archives(members))

    take(place, name, whole)


@tried(200)
@given(data=st.data())
def test_nothing_but_the_right_files_comes_out_of_a_damaged_archive(place, data):
    name, whole = data.draw(archives([(path, content, 0) for path, content in FILES.items()]))

    take(place, name, data.draw(damaged(whole)))


@tried(60)
@given(data=st.data(), tops=st.lists(st.sampled_from(["a", "b c", "ü", "..a", "."]), max_size=3))
def test_the_right_files_are_found_below_any_folders(place, data, tops):
    members = [("/".join([*tops, path]), content, 0) for path, content in FILES.items()]

    assert take(place, *data.draw(archives([("readme", b"x", 2), *members])))
