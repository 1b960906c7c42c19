"""Why something of the tables could not be made: a file in place of it, which later stages pass on."""

from pathlib import Path

from nasir.files import read_json, write_json

FILE = "reason.json"


def write(folder: Path, reason: str) -> None:
    """Note in `folder` why what belongs there was not made."""
    write_json(folder / FILE, {"reason": reason})


def clear(folder: Path) -> None:
    """Take away what an earlier run noted."""
    (folder / FILE).unlink(missing_ok=True)


def find(folder: Path) -> str | None:
    """The reason that `folder` holds; None where it holds none."""
    path = folder / FILE
    return str(read_json(path)["reason"]) if path.is_file() else None
