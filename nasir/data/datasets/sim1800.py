"""`sim1800`: the photographs that camera noise is simulated on: BSDS500, Kodak's 24 and McMaster's 18."""

from pathlib import Path

from nasir.data import manifest
from nasir.data.datasets.bsd500 import BERKELEY, GITHUB
from nasir.data.manifest import Dataset, Source

# one request for each file: the manifest's path kodak/kodim01.png is appended. The hashes are those of another mirror's
# files, so this place is believed only where its bytes are the same.
KODAK = Source(url="https://r0k.us/graphics/kodak", prefix="")


def load() -> Dataset:
    """300 training images (BSDS500's train and val) and 242 for test: BSDS500's 200, 24 of Kodak, 18 of McMaster (IMAX)."""
    return Dataset(
        name="sim1800",
        entries=tuple(manifest.read(Path(__file__).with_name("sim1800.csv"))),
        sources=(GITHUB, BERKELEY, KODAK),
        is_shipped=False,
        terms=(
            "BSDS500: non-commercial research and education, cite Arbelaez et al., PAMI 2011; Kodak: released for "
            "unrestricted use; McMaster: research use, cite Zhang, Wu, Buades and Li, JEI 2011"
        ),
        remedy=(
            "set NASIR_MIRRORS to folders or archives that hold them (local paths or http(s) URLs, separated by commas). "
            f"BSDS500: {GITHUB.url} or {BERKELEY.url}, fetched with any other tool; Kodak: {KODAK.url}/kodak/; "
            "McMaster: no public place is known to have these very files, so name a folder with 1.tif to 18.tif"
        ),
    )
