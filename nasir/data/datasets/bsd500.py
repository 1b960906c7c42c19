"""`bsd500`: the Berkeley Segmentation Data Set and Benchmarks 500 (Arbelaez et al., PAMI 2011), its 500 photographs."""

from pathlib import Path

from nasir.data import manifest
from nasir.data.manifest import Dataset, Source

COMMIT = "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722"
GITHUB = Source(
    url=f"https://github.com/BIDS/BSDS500/archive/{COMMIT}.zip",
    prefix=f"BSDS500-{COMMIT}/BSDS500/data/images",
)
BERKELEY = Source(
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
    prefix="BSR/BSDS500/data/images",
)


def load() -> Dataset:
    """300 training images (the 200 of train and the 100 of val) and 200 test images, 481x321 or 321x481, as JPEG."""
    return Dataset(
        name="bsd500",
        entries=tuple(manifest.read(Path(__file__).with_name("bsd500.csv"))),
        sources=(GITHUB, BERKELEY),
        is_shipped=False,
        terms="non-commercial research and education; cite Arbelaez et al., PAMI 2011",
        remedy=(
            "set NASIR_MIRRORS to a folder or an archive that holds them (local paths or http(s) URLs, separated by "
            f"commas); {GITHUB.url} and {BERKELEY.url} are such archives: fetch one with any other tool and name the "
            "file, as in NASIR_MIRRORS=/data/BSR_bsds500.tgz"
        ),
    )
