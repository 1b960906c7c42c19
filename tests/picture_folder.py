"""A folder of pictures as pair leaves it, for the tests of the stages behind it."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from nasir.data.pictures import listing
from nasir.data.pictures.listing import Picture


def list_pictures(folder: Path, names: Iterable[str], degraded: str = "") -> None:
    """Write `pictures.csv` for the PNG files that lie in a folder, those below test/ being the test images.

    With `degraded`, a folder of files of the same names, they are pairs.
    """
    listed = []
    for name in names:
        with Image.open(folder / f"{name}.png") as image:
            width, height = image.size
        listed.append(
            Picture(
                name=name,
                split="test" if name.startswith("test/") else "train",
                group=name,
                also_in="",
                clean=f"{name}.png",
                degraded=f"{degraded}/{name}.png" if degraded else "",
                layout="files",
                width=width,
                height=height,
            )
        )
    listing.write(folder, listed)
