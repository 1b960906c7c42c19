"""The data sets by name: each file of this folder loads one, its manifest as CSV beside it; and `folder`, a person's own."""

from pathlib import Path

from nasir import plugins
from nasir.data import datasets
from nasir.data.manifest import Dataset
from nasir.data.pictures.folder import index

FOLDER = "folder"
"""What a person's own images are called in params.yaml."""

OTHERS = ("catalogue",)
"""Files of this folder that are no data set."""


def names() -> list[str]:
    """All data sets but a person's own."""
    return plugins.names(datasets, OTHERS)


def get(name: str) -> Dataset:
    """The data set of that name, its manifest read and checked.

    Raises:
        ValueError: if there is none of that name.
    """
    found: Dataset = plugins.find(datasets, name, "load", "dataset", OTHERS)()
    return found


def module(name: str) -> str:
    """The dotted name of a data set's module; an unknown data set is refused with the known ones."""
    plugins.require(datasets, name, "dataset", OTHERS)
    return f"{datasets.__name__}.{name}"


def of_folder(folder: Path, layout: str) -> Dataset:
    """A folder of images as a data set, its files read whole; layouts, splits and errors are those of `index`."""
    return Dataset(
        name=FOLDER,
        entries=tuple(index(folder, layout)),
        sources=(),
        is_shipped=False,
        terms="those of the folder's owner",
        remedy=f"look whether {folder} was changed while its files were read, and run the download step again",
        layout=layout,
    )


def layout(name: str, chosen: str) -> str:
    """How the files of a data set hold its pictures: as `chosen` for a folder, else as the data set says."""
    return chosen if name == FOLDER else get(name).layout
