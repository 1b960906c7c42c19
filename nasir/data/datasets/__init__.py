"""The data sets by name: one file for each, with its manifest as CSV beside it; and `folder`, a person's own images."""

from pathlib import Path

from nasir.data.datasets import bsd500, rain800, sample, sim1800
from nasir.data.folder import index
from nasir.data.manifest import Dataset

LOADERS = {"bsd500": bsd500.load, "rain800": rain800.load, "sample": sample.load, "sim1800": sim1800.load}

FOLDER = "folder"
"""What a person's own images are called in params.yaml."""


def get(name: str) -> Dataset:
    """The data set of that name, its manifest read and checked.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in LOADERS:
        raise ValueError(f"dataset must be one of {sorted(LOADERS)}, got {name!r}; correct `dataset` in params.yaml.")
    return LOADERS[name]()


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
