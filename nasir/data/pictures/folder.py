"""A person's own folder of images as a data set: every file is opened and decoded, and all problems are said at once."""

import hashlib
import json
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nasir.config.params import LAYOUTS
from nasir.data import manifest
from nasir.data.manifest import SPLITS, Entry
from nasir.data.pictures import finding
from nasir.data.pictures.images import SUFFIXES, load_colour

HALVES = ("clean_left", "clean_right")
SIDES = ("clean", "degraded")  # the sub-folders of layout two_folders
ROUNDED = ("1", "P", "PA")  # Pillow's modes of a palette: the colours of a pair would differ by its rounding
TEST_SHARE = 0.2
MOST = 10  # problems that are written out


@dataclass(frozen=True, kw_only=True)
class File:
    """An image file of the folder by what its path says."""

    path: str  # below the folder, with forward slashes
    split: str  # "train" or "test"; empty where the folder does not say
    side: str  # "clean" or "degraded"; empty but in layout two_folders
    key: str  # what is left of the path, without its suffix: the same for both sides of a pair


def index(folder: Path, layout: str) -> list[Entry]:
    """Describe every image below a folder.

    Layouts: `clean` (each file is one clean image), `clean_left` and `clean_right` (each file holds two images of one
    width side by side, and the clean one is on that side), `two_folders` (clean/x.png and degraded/x.jpg are a pair).

    Splits: the folders train/ and test/ where the folder has them; clean/ and degraded/ then lie in each. Otherwise
    `choose_split` decides by name, for both sides of a pair alike.

    Files whose name does not end like an image's are not looked at, nor are those whose name, or whose folder's name, starts
    with a dot. Folders that are links are followed. Damage that a decoder does not notice (in the data of a JPEG, say) is not
    found.

    Args:
        folder: the images, in sub-folders or not.
        layout: one of LAYOUTS.

    Returns:
        Entries, train before test, in the natural order of their names, the two of a pair one after the other.

    Raises:
        ValueError: if the folder or layout does not exist, or naming the first ten problems: no images, files that
            cannot be read or decoded, have more than 8 bits a channel, share a name or lie in no split or side; for
            pairs also palettes, odd widths, unequal sizes and halves without a partner.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {list(LAYOUTS)}, got {layout!r}; correct `layout` in params.yaml.")
    if not folder.is_dir():
        raise ValueError(f"{folder} must be a folder with images, got no such folder; check the path.")
    problems: list[str] = []
    paths = [path.relative_to(folder).as_posix() for path in finding.find(folder, SUFFIXES, problems)]
    files = _place(folder, sorted(paths), layout, problems)
    problems += _find_doubles(files) + (_find_singles(files) if layout == "two_folders" else [])
    problems += _find_empty_splits(folder, files)
    splits = choose_split({file.key for file in files if not file.split})
    entries: dict[str, Entry] = {}
    for file in files:
        try:
            entries[file.path] = _describe(folder, file.path, file.split or splits[file.key], layout)
        except ValueError as error:
            problems.append(str(error))
    if layout == "two_folders":
        problems += _find_unequal(files, entries)
    _refuse(folder, layout, problems)
    return [entries[file.path] for file in sorted(files, key=lambda file: _order(entries[file.path].split, file))]


def choose_split(keys: Iterable[str]) -> dict[str, str]:
    """Give about one name in five to test, by the name alone, so that files which come later move no others.

    A name is in test where u < 1/5, with u the first 64 bits of the SHA-256 of the JSON list `["split", name]`, read as
    a big-endian fraction of 2^64. So that neither side is empty, the name with the smallest u is in test and that with
    the largest in train whatever their u; only in a folder where that applies can a later file move another.

    Returns:
        name -> "train" or "test"; a single name is in train.
    """
    places = {key: _fraction(key) for key in keys}
    ranked = sorted(places, key=lambda key: (places[key], key))
    split = {key: "test" if places[key] < TEST_SHARE else "train" for key in ranked}
    split.update(dict.fromkeys(ranked[:1], "test"))
    split.update(dict.fromkeys(ranked[-1:], "train"))
    return split


def _fraction(key: str) -> float:
    digest = hashlib.sha256(json.dumps(["split", key]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _place(folder: Path, paths: Sequence[str], layout: str, problems: list[str]) -> list[File]:
    """Read split and side off each path; a path that lacks one becomes a problem."""
    has_splits = any((folder / split).is_dir() for split in SPLITS)
    files = []
    for path in paths:
        *parts, name = PurePosixPath(path).with_suffix("").parts
        split = side = ""
        if has_splits:
            if not parts or parts[0] not in SPLITS:
                problems.append(f"{folder / path} must lie in train/ or test/, as there are such folders; move it")
                continue
            split = parts.pop(0)
        if layout == "two_folders":
            if not parts or parts[0] not in SIDES:
                start = f"{split}/" if split else ""
                problems.append(f"{folder / path} must lie in {start}clean/ or {start}degraded/; move it")
                continue
            side = parts.pop(0)
        files.append(File(path=path, split=split, side=side, key="/".join([*parts, name])))
    return files


def _find_doubles(files: Sequence[File]) -> list[str]:
    seen: dict[tuple[str, str, str], str] = {}
    problems = []
    for file in files:
        other = seen.setdefault((file.split, file.side, file.key), file.path)
        if other != file.path:
            problems.append(f"{other} and {file.path} must differ by more than their suffix; rename one of them")
    return problems


def _find_singles(files: Sequence[File]) -> list[str]:
    sides = {(file.split, file.side, file.key) for file in files}
    problems = []
    for file in files:
        partner = "degraded" if file.side == "clean" else "clean"
        if (file.split, partner, file.key) not in sides:
            place = "/".join(part for part in (file.split, partner, file.key) if part)
            problems.append(f"{file.path} must have a partner {place} (any suffix); add that or take this away")
    return problems


def _find_empty_splits(folder: Path, files: Sequence[File]) -> list[str]:
    """Both splits need an image; a folder without splits two, so that each can have one."""
    if not files:
        return [f"there is no image ({', '.join(SUFFIXES)}); check the path"]
    if not files[0].split:
        return ["there must be two or more, so that training and test have one each; add some"] * (
            len({file.key for file in files}) < 2
        )
    empty = [split for split in SPLITS if all(file.split != split for file in files)]
    return [f"{folder / split} must hold images, as the other split does; add some, or have neither" for split in empty]


def _describe(folder: Path, path: str, split: str, layout: str) -> Entry:
    """The entry of a file that was decoded whole."""
    try:
        if not stat.S_ISREG((folder / path).stat().st_mode):
            raise ValueError(f"{folder / path} must be a file, got a pipe, a socket or a device; take it away")
        (folder / path).open("rb").close()
        path.encode()
        load_colour(folder / path)
    except UnicodeEncodeError as error:
        raise ValueError(f"{folder / path!r} must have a name of Unicode characters; rename it") from error
    except OSError as error:
        raise ValueError(f"{folder / path} must be readable, got {error.strerror}; mend its permissions") from error
    entry = manifest.describe(folder, path, split)
    if layout != "clean" and entry.mode in ROUNDED:
        raise ValueError(
            f"{folder / path} must hold the colours of a pair as they are, got a palette (mode {entry.mode}), which "
            "rounds them; save it as 8-bit RGB or grey from its original"
        )
    if layout in HALVES and entry.width % 2:
        raise ValueError(
            f"{folder / path} must hold two images of one width, got {entry.width} px for both; cut it into two files "
            "(layout two_folders) or take it away"
        )
    return entry


def _find_unequal(files: Sequence[File], entries: dict[str, Entry]) -> list[str]:
    clean = {(file.split, file.key): entries.get(file.path) for file in files if file.side == "clean"}
    problems = []
    for file in files:
        one, other = clean.get((file.split, file.key)), entries.get(file.path)
        if one and other and (one.width, one.height) != (other.width, other.height):
            problems.append(
                f"{one.path} and {other.path} must have one size, got {one.width}x{one.height} and "
                f"{other.width}x{other.height} px; make the pair anew from its original"
            )
    return problems


def _refuse(folder: Path, layout: str, problems: Sequence[str]) -> None:
    if problems:
        said = [*(problem.rstrip(".") for problem in problems[:MOST])]
        said += [f"and {len(problems) - MOST} more"] * (len(problems) > MOST)
        raise ValueError(
            f"{folder} must hold whole 8-bit images in layout {layout}, got {len(problems)} problem(s); nothing was "
            "written:" + "".join(f"\n  - {line}" for line in said)
        )


def _order(split: str, file: File) -> tuple[int, list[str | int], str]:
    """Train first; "img2" before "img10"; clean before degraded."""
    pieces = enumerate(re.split(r"([0-9]+)", file.key))  # every second one is a number
    return SPLITS.index(split), [int(piece) if place % 2 else piece for place, piece in pieces], file.side
