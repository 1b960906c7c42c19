"""The pictures of a task out of the files of a data set: its images, or the pairs that it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from nasir.data.duplicates import audit
from nasir.data.manifest import Entry, list_some
from nasir.data.pairs import alignment
from nasir.data.pictures.collection import read_image, read_pair
from nasir.data.pictures.folder import HALVES, SIDES
from nasir.data.pictures.listing import Picture
from nasir.files import Log, write_bytes
from nasir.task import LOOKS, Task


def take(
    source: Path,
    entries: Sequence[Entry],
    layout: str,
    task: Task,
    out: Path,
    elsewhere: Mapping[str, str],
    log: Log,
) -> list[Picture]:
    """Copy the files of a data set; its pictures are its images, for a task of pairs its pairs.

    Args:
        source: folder of the files.
        entries: the files.
        layout: see `nasir.data.manifest.Dataset`.
        task: what the pictures are for.
        out: files go below `out / "files"`.
        elsewhere: name -> image of another data set's test part that shows the same.
        log: called with the number of files copied.

    Returns:
        The pictures, in the order of the entries, each in a group of its own.

    Raises:
        ValueError: if a file that should hold two images has an odd width, or one of two files is missing or of another
            size; they are named.
    """
    listed = _couple(entries) if layout == "two_folders" else [(entry, entry) for entry in entries]
    if layout in HALVES and (odd := [e.path for e, _ in listed if e.width % 2]):
        raise ValueError(
            f"files of layout {layout} must hold two images of one size side by side, got an odd width for "
            f"{list_some(odd)}; cut them into two files (layout two_folders) or leave them out."
        )
    made = []
    for step, (clean, degraded) in enumerate(listed, start=1):
        for path in {clean.path, degraded.path if task.is_paired else clean.path}:
            copy(source / path, out / "files" / path)
        made.append(
            Picture(
                name=_name(clean, layout),
                split=clean.split,
                group=_name(clean, layout),
                also_in=elsewhere.get(_name(clean, layout), ""),
                clean=f"files/{clean.path}",
                degraded=f"files/{degraded.path}" if task.is_paired else "",
                layout=layout if layout in HALVES else "files",
                width=clean.width // 2 if layout in HALVES else clean.width,
                height=clean.height,
            )
        )
        log(step, {"pictures": float(step)})
    return made


def group(folder: Path, pictures: Sequence[Picture]) -> list[Picture]:
    """Put pictures whose clean images show the same into one group, named after its first (`nasir.data.duplicates.audit`)."""
    greys = {picture.name: read_image(folder, picture, is_clean=True, channels=1) for picture in pictures}
    first = {name: name for name in greys}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    order = {name: place for place, name in enumerate(greys)}
    for match in audit.find(greys):
        earlier, later = sorted((root(match.first), root(match.second)), key=order.__getitem__)
        first[later] = earlier
    return [replace(picture, group=root(picture.name)) for picture in pictures]


def facts(task: Task) -> tuple[str, ...]:
    """What `describe` says of a task's pairs: the columns of `pairs.csv`."""
    return ("name", "split", "psnr_db", "shift_y", "shift_x", LOOKS.get(task.name, "rainier"), "degraded_side")


def describe(folder: Path, pictures: Sequence[Picture], task: Task, log: Log) -> list[dict[str, Any]]:
    """How the degraded image of each pair lies to the clean one: the rows of `pairs.csv`, with the columns `facts`.

    `rainier` is the side that looks degraded by rain (`nasir.data.pairs.alignment.rainier`), clean image left and degraded one
    right; `degraded_side`, always right, is what it should be. Of the task deblur it is `blurrier`, and shifts are those that
    are seen through haze.
    """
    is_blurred = task.name == "deblur"
    rows = []
    for step, picture in enumerate(pictures, start=1):
        clean, degraded = read_pair(folder, picture, channels=3)
        down, right = alignment.best_shift(clean, degraded, haze=alignment.FAR if is_blurred else 0.0)
        side = (alignment.blurrier if is_blurred else alignment.rainier)(clean, degraded)
        values = (picture.name, picture.split, alignment.psnr(clean, degraded), down, right, side, "right")
        rows.append(dict(zip(facts(task), values, strict=True)))
        log(step, {"pairs": float(step)})
    return rows


def _couple(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """The files of two folders, `clean` and `degraded`, with the same names."""
    sides: dict[str, dict[str, Entry]] = {folder: {} for folder in SIDES}
    for entry in entries:
        folder = next((part for part in PurePosixPath(entry.path).parts[:-1] if part in SIDES), None)
        if folder is None:
            raise ValueError(f"files of two folders must lie below one of {list(SIDES)}, got {entry.path}; move it.")
        sides[folder][_name(entry, "two_folders")] = entry
    clean, degraded = (sides[folder] for folder in SIDES)
    if alone := sorted(clean.keys() ^ degraded.keys()):
        raise ValueError(f"each clean image must have a degraded one of its name, got one half of {list_some(alone)}.")
    pairs = [(entry, degraded[name]) for name, entry in clean.items()]
    odd = [f"{c.path} ({c.width}x{c.height}, {d.width}x{d.height})" for c, d in pairs if _size(c) != _size(d)]
    if odd:
        raise ValueError(f"the images of a pair must have one size, got {list_some(odd)}; correct or leave them out.")
    return pairs


def _size(entry: Entry) -> tuple[int, int]:
    return entry.width, entry.height


def _name(entry: Entry, layout: str) -> str:
    """A picture's name: that of its file, without the folder that says which of two it is."""
    if layout != "two_folders":
        return entry.name
    parts = list(PurePosixPath(entry.name).parts)
    parts.remove(next(part for part in parts if part in SIDES))
    return "/".join(parts)


def copy(source: Path, target: Path) -> None:
    """Copy a file of a data set, atomically."""
    if not source.is_file():
        raise ValueError(f"expected the file {source} of the manifest, got none; run the download step again.")
    write_bytes(target, source.read_bytes())
