"""`rain800`: 800 photographs and the same with painted rain (Zhang, Sindagi and Patel, TCSVT 2019)."""

from pathlib import Path

from nasir.data import manifest
from nasir.data.manifest import Dataset, Source

COMMIT = "8978c8443539432d6992be96f931a45776ef8239"
GITHUB = Source(
    url=f"https://github.com/TheLethargicOwl/Single-Image-De-Raining-Keras/archive/{COMMIT}.zip",
    prefix=f"Single-Image-De-Raining-Keras-{COMMIT}/dataset/rain",
)


def load() -> Dataset:
    """700 training and 100 test files, JPEG of many sizes, each the clean image at the left of the rainy one."""
    return Dataset(
        name="rain800",
        entries=tuple(manifest.read(Path(__file__).with_name("rain800.csv"))),
        sources=(GITHUB,),
        is_shipped=False,
        terms="no licence stated for the data; research use; cite Zhang, Sindagi and Patel, TCSVT 2019",
        remedy=(
            "set NASIR_MIRRORS to a folder or an archive that holds them (local paths or http(s) URLs, separated by "
            f"commas); {GITHUB.url} is such an archive: fetch it with any other tool and name the file"
        ),
        layout="clean_left",
    )
