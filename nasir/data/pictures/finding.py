"""The image files below a folder: what cannot be looked at is a problem that is said, never passed over."""

import os
from collections.abc import Sequence
from pathlib import Path

from nasir.data.pictures.images import OTHER_SUFFIXES, READABLE

MOST_NAMED = 10
"""Problems that are written out."""


def find(folder: Path, suffixes: Sequence[str], problems: list[str]) -> list[Path]:
    """Find the images below a folder.

    Files and folders whose name starts with a dot do not count, nor do files that do not end like an image. Folders that are
    links are followed.

    Args:
        folder: the images, in sub-folders or not.
        suffixes: what an image's name may end in, in any case.
        problems: takes what is in the way: folders that cannot be read or that are here already, links to nothing, images of
            another suffix.

    Returns:
        Paths with the folder as it was given in front, sorted.
    """

    def note(error: OSError) -> None:
        problems.append(f"{error.filename} must be readable, got {error.strerror}; change its permissions")

    found, seen = [], set()
    for top, folders, names in os.walk(folder, onerror=note, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if (real := os.path.realpath(top)) in seen:
            problems.append(f"{top} must not be a link to a folder that is here already; remove the link")
            folders.clear()
            continue
        seen.add(real)
        for path in (Path(top, name) for name in names if not name.startswith(".")):
            suffix = path.suffix.lower()
            if suffix in suffixes:
                found.append(path)
            elif suffix in (*READABLE, *OTHER_SUFFIXES):
                problems.append(f"{path} must end in one of {', '.join(suffixes)}; convert it to PNG or take it away")
            elif path.is_symlink() and not path.exists():
                problems.append(f"{path} must not be a link to nothing; mend it or take it away")
    return sorted(found)


def require(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """As `find`, where any problem is an error.

    Raises:
        ValueError: naming the first ten problems.
    """
    problems: list[str] = []
    found = find(folder, suffixes, problems)
    if problems:
        more = [f"and {len(problems) - MOST_NAMED} more"] * (len(problems) > MOST_NAMED)
        raise ValueError(f"no image below {folder} may be passed over: {'; '.join([*problems[:MOST_NAMED], *more])}.")
    return found
