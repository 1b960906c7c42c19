"""Manifests: which files a data set has, their sizes and their SHA-256, the only proof that a file is right."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath

from nasir.data.pictures.images import opened
from nasir.files import read_csv, sha256_file, shortened, write_csv
from nasir.messages import bare

SPLITS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a data set: a row of its manifest."""

    path: str  # below the folder of the data set, with forward slashes
    split: str  # "train" or "test"
    bytes: int
    sha256: str  # of the file, not of the pixels
    width: int
    height: int
    mode: str  # Pillow's: "L", "RGB", ...

    def __post_init__(self) -> None:
        parts, path = PurePosixPath(self.path).parts, bare(self.path)
        if not parts or self.path.startswith("/") or ".." in parts or "\\" in self.path or ":" in self.path:
            raise ValueError(
                f"the path of an entry must be relative, stay in its folder and use '/', got {shortened(self.path)}; "
                "write it like 'train/100075.jpg'."
            )
        if self.split not in SPLITS:
            raise ValueError(
                f"the split of {path} must be one of {list(SPLITS)}, got {shortened(self.split)}; correct it."
            )
        if min(self.bytes, self.width, self.height) < 1:
            raise ValueError(
                f"bytes, width and height of {path} must be positive, "
                f"got {self.bytes}, {self.width} and {self.height}; describe the file anew."
            )
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(
                f"the sha256 of {path} must be 64 lower-case hex digits, got {shortened(self.sha256)}; correct it."
            )

    @property
    def name(self) -> str:
        """What other steps call this image: its path without the suffix, as in "val/101085"."""
        return str(PurePosixPath(self.path).with_suffix(""))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A public archive that holds a data set: its URL, and the folder inside that the manifest's paths start from."""

    url: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A named data set: its manifest, where the public has it, and what one may do with it.

    `layout` says how a file holds its pictures: one clean image (`clean`), two of one width side by side with the clean one
    at that side (`clean_left`, `clean_right`), or one of a pair, the other lying under the same name in the other of the
    folders clean/ and degraded/ (`two_folders`).
    """

    name: str
    entries: tuple[Entry, ...]
    sources: tuple[Source, ...]  # in the order in which they are asked
    is_shipped: bool  # whether the repository carries it
    terms: str  # one line; DATASETS.md says more
    remedy: str  # what to do when a file is nowhere to be found
    layout: str = "clean"


COLUMNS = tuple(field.name for field in fields(Entry))


def read(path: Path) -> list[Entry]:
    """Read a manifest.

    Raises:
        ValueError: if the columns differ, a value is out of range, a path leaves its folder, or two rows share a name.
    """
    if not path.is_file():
        raise ValueError(f"{path} must be a manifest, got no such file; run the step that writes it (download).")
    entries = []
    for number, row in enumerate(read_csv(path), start=2):
        if set(row) != set(COLUMNS):
            raise ValueError(
                f"line {number} of {path} must have the columns {list(COLUMNS)}, got {shortened(list(row))}; "
                "write the file again."
            )
        try:
            size, width, height = int(row["bytes"]), int(row["width"]), int(row["height"])
        except ValueError as error:
            raise ValueError(
                f"bytes, width and height in line {number} of {path} must be whole numbers, got "
                f"{shortened([row['bytes'], row['width'], row['height']])}; correct them."
            ) from error
        entries.append(
            Entry(
                path=row["path"],
                split=row["split"],
                bytes=size,
                sha256=row["sha256"],
                width=width,
                height=height,
                mode=row["mode"],
            )
        )
    _require_unique(path, entries)
    return entries


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a manifest, in the given order; atomic."""
    _require_unique(path, entries)
    write_csv(path, [asdict(entry) for entry in entries], COLUMNS)


def describe(folder: Path, path: str, split: str) -> Entry:
    """The entry of an image that lies at `folder / path`: how a manifest for a new data set is made."""
    with opened(folder / path) as image:
        (width, height), mode = image.size, image.mode
    size, digest = (folder / path).stat().st_size, sha256_file(folder / path)
    return Entry(path=path, split=split, bytes=size, sha256=digest, width=width, height=height, mode=mode)


def names(entries: Sequence[Entry], split: str) -> list[str]:
    """Names of the images of one split, in the order of the manifest.

    Raises:
        ValueError: if there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {list(SPLITS)}, got {split!r}; correct the call.")
    return [entry.name for entry in entries if entry.split == split]


def is_content(entry: Entry, data: bytes) -> bool:
    """Whether these bytes are the file of an entry."""
    return len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256


def find_problem(folder: Path, entry: Entry) -> str | None:
    """What is wrong with the file of an entry below `folder`, or None where it is right."""
    path = folder / entry.path
    if not path.is_file():
        return f"{entry.path}: missing"
    if (size := path.stat().st_size) != entry.bytes:
        return f"{entry.path}: wrong size ({size} bytes, not {entry.bytes})"
    if (digest := sha256_file(path)) != entry.sha256:
        return f"{entry.path}: wrong SHA-256 ({digest[:12]}..., not {entry.sha256[:12]}...)"
    return None


def verify(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """The problems of all files of a manifest below `folder`: missing, of a wrong size or with a wrong hash."""
    return [problem for entry in entries if (problem := find_problem(folder, entry))]


def require(folder: Path, entries: Sequence[Entry]) -> None:
    """Refuse a folder in which a file of the manifest is missing or wrong.

    Raises:
        ValueError: naming the first ten such files.
    """
    if problems := verify(folder, entries):
        raise ValueError(
            f"{folder} must hold the {len(entries)} files of its manifest, got {len(problems)} that are not right: "
            f"{list_some(problems)}; run the download step again."
        )


def list_some(items: Sequence[str], most: int = 10) -> str:
    """The first items of a list on one line, and how many more there are."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def _require_unique(path: Path, entries: Sequence[Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise ValueError(
                f"names in {path} must be unique, got {shortened(entry.name)} twice; rename one of the files."
            )
        seen.add(entry.name)
