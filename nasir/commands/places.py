"""Where the pictures that a person names lie, and where what is made of each is to go."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".png"
"""Of what is written: a lossy format would add noise again."""

NAMED_AT_MOST = 5
"""Collisions in an error; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A picture and the file for what is made of it."""

    source: Path
    target: Path


def match(sources: Sequence[Path]) -> list[Path]:
    """The sources, with what a pattern matches in its place: of a shell that left it as it is, or in quotes.

    A pattern (`*`, `?`, `[...]`; `**` is any folders) is a name of which there is no file. What it matches is sorted; hidden
    files are left out, and with `**` so are folders, whose files it matches by themselves.

    Raises:
        ValueError: if a pattern matches nothing.
    """
    found: list[Path] = []
    for source in sources:
        if os.path.lexists(source) or not glob.has_magic(str(source)):
            found.append(source)
            continue
        paths = [Path(path) for path in sorted(glob.glob(str(source), recursive=True))]
        paths = [path for path in paths if not ("**" in source.parts and path.is_dir())]
        if not paths:
            raise ValueError(
                f"{source} must be a file, or a pattern that matches some, got none of either; check the path."
            )
        found += paths
    return found


def plan(sources: Sequence[Path], out: Path) -> tuple[list[Errand], list[str]]:
    """An errand for each picture, and what was met in folders that is none.

    One picture goes to `out` where that ends in .png. All else goes below the folder `out`: a picture under its own name, those
    of a folder under their paths in it, all with the suffix .png. Of a folder that `out` lies in, `out` is left out.

    Args:
        sources: files, which need not be there, and folders.
        out: a file or a folder, which need not be there.

    Returns:
        Errands in the order of the sources, those of a folder sorted; problems as `nasir.data.pictures.finding.find` tells them.

    Raises:
        ValueError: if `out` is a file where a folder is needed, or ends like an image of another kind; if two pictures would go
            to one file, or there is none.
    """
    from nasir.data.pictures.images import OTHER_SUFFIXES, READABLE

    is_file = out.suffix.lower() == SUFFIX
    if is_file and len(sources) == 1 and not sources[0].is_dir():
        return [Errand(source=sources[0], target=out)], []
    if out.suffix.lower() in (*READABLE, *OTHER_SUFFIXES) and not is_file and not out.is_dir():
        raise ValueError(f"--out must end in .png (a lossy format would add noise again) or name a folder, got {out}.")
    if (is_file and not out.is_dir()) or out.is_file():
        raise ValueError(f"--out must be a folder for several pictures, or for a folder of them, got {out}.")
    errands, problems = _below(sources, out)
    _require_apart(errands)
    if not errands and not problems:
        named = ", ".join(map(str, sources))
        raise ValueError(f"there must be pictures ({', '.join(READABLE)}) in {named}, got none; check the path.")
    return errands, problems


def _below(sources: Sequence[Path], out: Path) -> tuple[list[Errand], list[str]]:
    from nasir.data.pictures import finding
    from nasir.data.pictures.images import READABLE

    errands: list[Errand] = []
    problems: list[str] = []
    for source in sources:
        if not source.is_dir():
            errands.append(Errand(source=source, target=out / source.with_suffix(SUFFIX).name))
            continue
        is_within = out.resolve() != source.resolve() and out.resolve().is_relative_to(source.resolve())
        for path in finding.find(source, READABLE, problems):
            if not (is_within and path.resolve().is_relative_to(out.resolve())):
                errands.append(Errand(source=path, target=out / path.relative_to(source).with_suffix(SUFFIX)))
    return errands, problems


def _require_apart(errands: Sequence[Errand]) -> None:
    """Refuse two pictures for one file, among them one that was named twice."""
    first: dict[Path, Path] = {}
    clashes = []
    for errand in errands:
        other = first.setdefault(errand.target, errand.source)
        if other is not errand.source:
            clashes.append(f"{other} and {errand.source} ({errand.target})")
    if clashes:
        more = [f"{len(clashes) - NAMED_AT_MOST} more"] * (len(clashes) > NAMED_AT_MOST)
        raise ValueError(
            f"each picture needs a result of its own, got one for {'; '.join([*clashes[:NAMED_AT_MOST], *more])}; "
            "rename one, or restore them into two folders."
        )
