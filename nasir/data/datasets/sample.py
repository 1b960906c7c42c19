"""`sample`: photographs that scikit-image distributes, shipped with the repository."""

from pathlib import Path

from nasir.data import manifest
from nasir.data.manifest import Dataset


def load() -> Dataset:
    """Nine training and four test images; the bytes are those of scikit-image's wheel."""
    return Dataset(
        name="sample",
        entries=tuple(manifest.read(Path(__file__).with_name("sample.csv"))),
        sources=(),
        is_shipped=True,
        terms="CC0, public domain or no known copyright restrictions; image by image in DATASETS.md",
        remedy=(
            "run `dvc pull --force data.dvc`, which `make setup` does: it brings the shipped images into data/; "
            "or set NASIR_MIRRORS to a folder or archive that holds them"
        ),
    )
