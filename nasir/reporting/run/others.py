"""What other runs made of the same test images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from nasir.files import sha256_file
from nasir.shapes import read

AGAIN = "name a folder that evaluate wrote, such as runs/evaluate of another checkout"


class Listed(TypedDict):
    """A row of pictures.json."""

    rank: str
    name: str
    psnr_db: float


@dataclass(frozen=True, kw_only=True)
class One:
    """One restored image."""

    path: Path  # of the PNG file
    psnr_db: float  # of the whole image, `whole`


Restored = Mapping[tuple[str, str], One]
"""What a run restored, by the image's name and the SHA-256 of its clean picture, which may be a detail."""


def read_run(folder: Path) -> Restored:
    """The restored images of a run, of which `folder` is what evaluate wrote.

    Raises:
        ValueError: if evaluate did not write it, or a picture is missing.
    """
    pictures = folder / "pictures"
    listed = read(pictures / "pictures.json", list[Listed], AGAIN)
    found = {}
    for row in listed:
        clean, restored = (pictures / row["rank"] / f"{name}.png" for name in ("clean", "restored"))
        for path in (clean, restored):
            if not path.is_file():
                raise ValueError(f"{path} must be a picture that evaluate wrote, got none; {AGAIN}.")
        found[row["name"], sha256_file(clean)] = One(path=restored, psnr_db=row["psnr_db"])
    return found


def find(runs: Mapping[str, Restored], name: str, folder: Path) -> dict[str, One]:
    """What those of the runs that have it made of an image, of which `folder` holds the clean picture."""
    key = (name, sha256_file(folder / "clean.png"))
    return {run: restored[key] for run, restored in runs.items() if key in restored}
