"""Wanted members of zip and tar archives, read without unpacking anything; archives that reach outside are refused."""

import bz2
import gzip
import io
import lzma
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, cast

from nasir.data.manifest import Entry
from nasir.files import shortened

SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar")


MOST_AT_ONCE = 16 * 2**20
"""Bytes that a tar may have read at once, be it a header's; of the files that are wanted as many as the largest has."""


class BrokenArchiveError(ValueError):
    """A file that carries an archive's name but cannot be read as one."""


class OutsideError(ValueError):
    """An archive whose members lead outside its folder."""


def is_archive_name(name: str) -> bool:
    """Whether a file name or the path of a URL ends like an archive's."""
    return name.lower().endswith(SUFFIXES)


def read_members(path: Path, wanted: list[Entry], label: str) -> Iterator[tuple[Entry, bytes]]:
    """Yield the contents of the members whose path ends with that of a wanted entry; their hash is not yet checked.

    All member names are looked at before any content: "../x", "/x", "C:x" and links that lead outside would be
    written outside the folder that the archive is unpacked in, and an archive with one of them is not to be trusted.

    Args:
        path: the archive, one of `SUFFIXES`.
        wanted: what to look for. Members of a different size are yielded with no more than entry.bytes + 1 bytes,
            so that a small archive cannot fill the memory.
        label: what to call the archive in errors (its URL, say).

    Raises:
        BrokenArchiveError: if it is no archive, or a broken one.
        OutsideError: if it has a member that leads outside.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in wanted:
        by_name.setdefault(PurePosixPath(entry.path).name, []).append(entry)
    read = _read_zip if path.name.lower().endswith(".zip") else _read_tar
    try:
        yield from read(path, by_name, label)
    except OutsideError:
        raise
    except Exception as error:
        # decompressors raise whatever they stumble over; RuntimeError is zipfile's word for a password
        raise BrokenArchiveError(f"no whole archive that can be read ({type(error).__name__}: {error})") from error


def _read_zip(path: Path, by_name: dict[str, list[Entry]], label: str) -> Iterator[tuple[Entry, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _require_inside(info.orig_filename, info.orig_filename, label)
            if _is_zip_link(info):
                with archive.open(info) as link:
                    target = link.read(4096).decode(errors="replace")
                _require_inside(_join(info.filename, target), info.filename, label)
        for info in archive.infolist():
            if info.is_dir() or _is_zip_link(info):
                continue
            for entry in _find_entries(info.filename, by_name):
                with archive.open(info) as member:
                    yield entry, member.read(entry.bytes + 1)


def _read_tar(path: Path, by_name: dict[str, list[Entry]], label: str) -> Iterator[tuple[Entry, bytes]]:
    largest = max((entry.bytes for entries in by_name.values() for entry in entries), default=0)
    with (
        _opened(path) as data,
        tarfile.open(fileobj=_Bounded(data, max(MOST_AT_ONCE, largest + 1)), mode="r:") as archive,
    ):
        for info in archive:
            _require_inside(info.name, info.name, label)
            if info.issym():  # relative to the link
                _require_inside(_join(info.name, info.linkname), info.name, label)
            if info.islnk():  # relative to the archive
                _require_inside(info.linkname, info.name, label)
        for info in archive:
            for entry in _find_entries(info.name, by_name) if info.isreg() else []:
                member = archive.extractfile(info)
                assert member is not None  # a regular file has content
                yield entry, member.read(entry.bytes + 1)


def _opened(path: Path) -> IO[bytes]:
    """The tar inside a file, whatever packs it."""
    with path.open("rb") as file:
        start = file.read(6)
    for mark, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if start.startswith(mark):
            return cast(IO[bytes], opener(path))
    return path.open("rb")


class _Bounded(io.RawIOBase):
    """A file that gives no more than so many bytes at once: a tar's header may claim gigabytes, which would be read whole."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._most:
            raise tarfile.ReadError(f"a header of {size} bytes, more than {self._most}")
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()


def _find_entries(member: str, by_name: dict[str, list[Entry]]) -> list[Entry]:
    """The entries whose path is the end of a member's path, whole folder names only."""
    path = PurePosixPath(member)
    return [entry for entry in by_name.get(path.name, []) if ends_with(path, entry.path)]


def ends_with(path: PurePath, end: str) -> bool:
    """Whether a path ends with another, whole folder names only: "a/train/x.jpg" with "train/x.jpg"."""
    parts = PurePosixPath(end).parts
    return path.parts[-len(parts) :] == parts


def _is_zip_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _join(link: str, target: str) -> str:
    """Where a symbolic link leads, seen from the top of the archive."""
    return posixpath.join(posixpath.dirname(link), target.replace("\\", "/"))


def _require_inside(place: str, member: str, label: str) -> None:
    """Refuse a place outside the archive's own folder, be it a member's name or where a link leads."""
    plain = place.replace("\\", "/")
    normal = posixpath.normpath(plain)
    if plain.startswith("/") or plain[1:2] == ":" or normal.split("/")[0] == "..":
        raise OutsideError(
            f"{label} must keep its files inside one folder, got the member {shortened(member)}, which leads to "
            f"{shortened(place)}; nothing of it was used: do not trust this archive, fetch it from another place."
        )
