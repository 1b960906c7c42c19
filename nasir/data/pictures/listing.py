"""`pictures.csv`: the pictures of a task by name, each a clean image and, where the task has pairs, its degraded one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

from nasir.data.manifest import SPLITS
from nasir.files import read_csv, sha256_file, shortened, write_csv
from nasir.messages import bare

FILE = "pictures.csv"

SOURCES = "sources"
"""Folder, with a `pictures.csv` of its own, of the images that patches were cut from; a patch's group is the name of one."""

LAYOUTS = ("files", "clean_left", "clean_right")
"""Where the two images of a picture lie: in a file each, or in the halves of one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A clean image and its degraded one: a row of `pictures.csv`.

    `group` is the name of the first picture with the same clean image: pictures of a group are never in two parts of a split.
    `also_in` names an image of another data set's test part that shows the same, as in "bsd500: test/100007".
    """

    name: str
    split: str  # train or test
    group: str
    also_in: str  # empty where there is none known
    clean: str  # file below the folder of pictures.csv
    degraded: str  # file; the same one where it holds both halves, empty where noise is added as it is needed
    layout: str
    width: int  # of each image, pixels
    height: int

    def __post_init__(self) -> None:
        name = bare(self.name)
        if self.split not in SPLITS:
            raise ValueError(
                f"the split of {name} must be one of {list(SPLITS)}, got {shortened(self.split)}; correct it."
            )
        if self.layout not in LAYOUTS:
            raise ValueError(
                f"the layout of {name} must be one of {list(LAYOUTS)}, got {shortened(self.layout)}; correct it."
            )

    @property
    def is_paired(self) -> bool:
        """Whether a degraded image belongs to it."""
        return bool(self.degraded)

    @property
    def is_simulated(self) -> bool:
        """Whether its degraded image was made for it: those of a data set lie below `files`."""
        return self.is_paired and not self.degraded.startswith("files/")


COLUMNS = tuple(field.name for field in fields(Picture))


def read(folder: Path) -> list[Picture]:
    """Read `folder / pictures.csv`.

    Raises:
        ValueError: if there is no such file, the columns differ, a value is not legal or two rows share a name.
    """
    path = folder / FILE
    if not path.is_file():
        raise ValueError(f"{folder} must hold {FILE}, got no such file; run the step that writes it (pair).")
    found: dict[str, Picture] = {}
    for number, row in enumerate(read_csv(path), start=2):
        if set(row) != set(COLUMNS):
            raise ValueError(
                f"line {number} of {path} must have the columns {list(COLUMNS)}, got {shortened(list(row))}; run pair again."
            )
        try:
            sides = {key: int(row[key]) for key in ("width", "height")}
        except ValueError as error:
            raise ValueError(
                f"width and height in line {number} of {path} must be whole numbers, got "
                f"{shortened([row['width'], row['height']])}; run pair again."
            ) from error
        if row["name"] in found:
            raise ValueError(f"names in {path} must be unique, got {shortened(row['name'])} twice; run pair again.")
        found[row["name"]] = Picture(**(row | sides))  # type: ignore[arg-type]
    return list(found.values())


def write(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write `folder / pictures.csv`, in the given order; atomic."""
    write_csv(folder / FILE, [asdict(picture) for picture in pictures], COLUMNS)


def digest(folder: Path) -> str:
    """SHA-256 of `folder / pictures.csv` and of all files that it names: of what is listed and of every pixel."""
    listed = read(folder)
    files = sorted({file for picture in listed for file in (picture.clean, picture.degraded) if file})
    hashes = [sha256_file(folder / file) for file in (FILE, *files)]
    return sha256("".join(hashes).encode()).hexdigest()


def names(pictures: Sequence[Picture], split: str) -> list[str]:
    """Names of the pictures of one split, in their order."""
    return [picture.name for picture in pictures if picture.split == split]
