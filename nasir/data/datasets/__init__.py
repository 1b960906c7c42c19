"""The data sets by name: one file for each, with its manifest as CSV beside it."""

from nasir.data.datasets import bsd500, sample
from nasir.data.manifest import Dataset

LOADERS = {"bsd500": bsd500.load, "sample": sample.load}


def get(name: str) -> Dataset:
    """The data set of that name, its manifest read and checked.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in LOADERS:
        raise ValueError(f"dataset must be one of {sorted(LOADERS)}, got {name!r}; correct `dataset` in params.yaml.")
    return LOADERS[name]()
