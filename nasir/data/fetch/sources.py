"""Where the files of a data set come from: what is there already, then mirrors, then public archives.

Every file is compared with the manifest's SHA-256 before it gets its final name, whatever its source.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from nasir.data.fetch.archives import BrokenArchiveError, ends_with, is_archive_name, read_members
from nasir.data.fetch.transfer import Patience, TransferError, download
from nasir.data.manifest import Dataset, Entry, find_problem, is_content, list_some
from nasir.files import Log, shortened, write_bytes
from nasir.messages import bare

MOST_OTHER, TIMES = 2**30, 20
"""Bytes that an archive may have: so many, and those of the data set's files so often."""

SECRET = re.compile(r"(?<=://)[^/@\s]+@")
"""User and password in a URL, which no message or receipt has."""

PARTIAL = ".partial"  # folder below the data set's own for downloads on their way; gone after each fetch


@dataclass
class Hunt:
    """A fetch on its way: what is still missing, and what was found or went wrong in which place."""

    dataset: Dataset
    out: Path
    log: Log
    missing: dict[str, Entry]  # by path
    found: dict[str, int] = field(default_factory=dict)  # files taken from each place
    troubles: list[str] = field(default_factory=list)  # "place: what was wrong there"

    def take(self, entry: Entry, data: bytes, place: str) -> bool:
        """Write the bytes under the entry's final name if they are the right ones; say whether they are."""
        if not is_content(entry, data):
            return False
        write_bytes(self.out / entry.path, data)
        del self.missing[entry.path]
        self.found[place] = self.found.get(place, 0) + 1
        self.report()
        return True

    def report(self) -> None:
        """Tell the log how many files are in their place."""
        done = len(self.dataset.entries) - len(self.missing)
        self.log(done, {"files": float(done)})

    def note(self, place: str, corrupt: Sequence[str]) -> None:
        """Keep what a place that was searched to its end did not have, or had with the wrong content."""
        absent = [path for path in self.missing if path not in corrupt]
        if corrupt:
            self.troubles.append(f"{place}: corrupt, not the SHA-256 of the manifest: {list_some(corrupt)}")
        if absent:
            self.troubles.append(f"{place}: does not have {list_some(absent, most=3)}")


def split_mirrors(text: str | None) -> list[str]:
    """The places that NASIR_MIRRORS names, separated by commas; an unset or empty variable names none."""
    return [place.strip() for place in (text or "").split(",") if place.strip()]


def fetch(
    dataset: Dataset, out: Path, mirrors: Sequence[str], log: Log, patience: Patience | None = None
) -> tuple[dict[str, int], list[str]]:
    """Bring every file of a data set to its manifest path below `out`.

    A file that is right already stays as it is and is not fetched. Each other one is looked for in the mirrors, in
    their order, then in the public archives of the data set. Files get their final name atomically and only with the
    right hash, so a fetch that is killed can be repeated at any time.

    Args:
        dataset: what to fetch.
        out: the folder of the data set; created.
        mirrors: folders (searched with their sub-folders), archives, or http(s) URLs: of an archive, or a base that
            the manifest's paths are appended to.
        log: called with the number of files in place, as step and as "files".
        patience: with servers; None for `Patience()`.

    Returns:
        How many files came from each place, and what was wrong with the places that failed or lacked files.

    Raises:
        ValueError: if files are found nowhere (naming them, each place with its trouble, and what to do), or if an
            archive has members that lead outside its folder.
    """
    patience = patience or Patience()
    _clean(dataset, out)
    problems = {entry.path: find_problem(out, entry) for entry in dataset.entries}
    missing = {entry.path: entry for entry in dataset.entries if problems[entry.path]}
    hunt = Hunt(dataset=dataset, out=out, log=log, missing=missing)
    hunt.report()
    try:
        for place in [*mirrors, *(source.url for source in dataset.sources)]:
            if hunt.missing:
                _choose_search(place)(hunt, place, patience)
    finally:
        _clean(dataset, out)
    if hunt.missing:
        raise ValueError(_public(_describe_failure(hunt, problems)))
    return {_public(place): count for place, count in hunt.found.items()}, [_public(text) for text in hunt.troubles]


def _public(text: str) -> str:
    return SECRET.sub("***@", text)


def _choose_search(place: str) -> Callable[[Hunt, str, Patience], None]:
    try:
        url = urlsplit(place)
    except ValueError:
        return _search_malformed
    if url.scheme in ("http", "https"):
        return _search_remote_archive if is_archive_name(url.path) else _search_site
    return _search_local


def _search_malformed(hunt: Hunt, place: str, patience: Patience) -> None:
    """What looks like a URL and is none."""
    hunt.troubles.append(f"{shortened(place)}: no URL that can be read")


def _search_local(hunt: Hunt, place: str, patience: Patience) -> None:
    """A folder or an archive on this machine."""
    try:
        path = Path(place).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: of a ~user that there is not
        hunt.troubles.append(f"{shortened(place)}: cannot be looked into ({getattr(error, 'strerror', None) or error})")
        return
    if is_folder:
        _search_folder(hunt, path, place)
    elif path.is_file() and is_archive_name(path.name):
        _search_archive(hunt, path, place)
    elif path.exists():
        hunt.troubles.append(f"{place}: neither a folder nor a .zip, .tgz, .tar.gz or .tar archive")
    else:
        hunt.troubles.append(f"{bare(place)}: does not exist (looked for at {bare(str(path.absolute()))})")


def _search_folder(hunt: Hunt, folder: Path, place: str) -> None:
    """First at the manifest's paths, then anywhere below by file name and size."""
    corrupt = set()
    tops = [folder, *(folder / source.prefix for source in hunt.dataset.sources)]
    for entry in list(hunt.missing.values()):
        for path in [top / entry.path for top in tops]:
            if path.is_file() and hunt.take(entry, path.read_bytes(), place):
                break
    if hunt.missing:
        wanted: dict[str, list[Entry]] = {}
        for entry in hunt.missing.values():
            wanted.setdefault(PurePosixPath(entry.path).name, []).append(entry)
        for path in _walk(folder, wanted):
            for entry in wanted[path.name]:
                if entry.path not in hunt.missing:
                    continue
                is_right = path.stat().st_size == entry.bytes and hunt.take(entry, path.read_bytes(), place)
                if not is_right and ends_with(path, entry.path):
                    corrupt.add(entry.path)
    hunt.note(place, [path for path in hunt.missing if path in corrupt])


def _walk(folder: Path, wanted: dict[str, list[Entry]]) -> Iterator[Path]:
    """Every file below a folder that has a wanted name, in a settled order."""
    for top, folders, files in os.walk(folder):
        folders.sort()
        yield from (path for name in sorted(files) if name in wanted and (path := Path(top, name)).is_file())


def _search_archive(hunt: Hunt, path: Path, place: str) -> None:
    """An archive that lies on this machine; `place` is what the caller named it."""
    corrupt = set()
    try:
        for entry, data in read_members(path, list(hunt.missing.values()), place):
            if entry.path in hunt.missing and not hunt.take(entry, data, place):
                corrupt.add(entry.path)
    except BrokenArchiveError as error:
        hunt.troubles.append(f"{place}: {error}")
        return
    hunt.note(place, [path for path in hunt.missing if path in corrupt])


def _search_remote_archive(hunt: Hunt, place: str, patience: Patience) -> None:
    """An archive behind a URL: downloaded whole, read, thrown away."""
    partial = hunt.out / PARTIAL / PurePosixPath(urlsplit(place).path).name
    try:
        download(place, partial, patience, most=MOST_OTHER + TIMES * sum(entry.bytes for entry in hunt.dataset.entries))
        _search_archive(hunt, partial, place)
    except TransferError as error:
        hunt.troubles.append(f"{place}: {error}")
    finally:
        partial.unlink(missing_ok=True)


def _search_site(hunt: Hunt, place: str, patience: Patience) -> None:
    """A base URL: one request for each file. A server that fails is given up, one that lacks a file is not."""
    partial, corrupt = hunt.out / PARTIAL / "file", []
    for entry in list(hunt.missing.values()):
        try:
            download(f"{place.rstrip('/')}/{quote(entry.path)}", partial, patience, size=entry.bytes)
        except TransferError as error:
            if error.is_absent:
                continue
            hunt.troubles.append(f"{place}: given up at {entry.path}: {error}")
            return
        if not hunt.take(entry, partial.read_bytes(), place):
            corrupt.append(entry.path)
        partial.unlink()
    hunt.note(place, corrupt)


def _clean(dataset: Dataset, out: Path) -> None:
    """Remove what a killed fetch may have left: its downloads, and its files on the way to their final name."""
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    names = {PurePosixPath(entry.path).name for entry in dataset.entries}
    for folder in {(out / entry.path).parent for entry in dataset.entries}:
        for path in folder.glob(".*.part"):  # as nasir.files.write_bytes names them: .NAME.RANDOM.part
            if path.name[1:].rsplit(".", 2)[0] in names:
                path.unlink()


def _describe_failure(hunt: Hunt, problems: dict[str, str | None]) -> str:
    missing = [problems[path] or path for path in hunt.missing]
    looked = "".join(f"\n  - {trouble}" for trouble in hunt.troubles) or " nowhere: no mirror and no public source."
    return (
        f"data set {hunt.dataset.name} must have {len(hunt.dataset.entries)} verified files in {hunt.out}, "
        f"got {len(hunt.dataset.entries) - len(missing)}. Not there: {list_some(missing)}.\n"
        f"Looked in:{looked}\nWhat to do: {hunt.dataset.remedy}."
    )
