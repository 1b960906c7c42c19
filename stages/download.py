"""`download`: the images of a data set, verified, at their manifest paths; and the manifest beside them."""

import os
import sys
from pathlib import Path

from nasir.config.download import DownloadConfig
from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.fetch import sources
from nasir.data.fetch.transfer import Patience
from nasir.files import Log


def run(
    *,
    dataset: str,
    folder: Path,
    layout: str,
    shipped: Path,
    out: Path,
    config: DownloadConfig,
    log: Log,
) -> None:
    """Fill `out` with the files of a data set and write `out/manifest.csv`.

    Args:
        dataset: a name that `nasir.data.datasets.get` knows, or `folder`, a person's own images.
        folder, layout: where these are, and how their files hold them; of the data set `folder` alone.
        shipped: the folder of images that the repository carries (data/), the first place for data sets that it ships.
        out: the folder of this data set (runs/download/NAME). What is there and right is not fetched again.
        config: how patiently URLs are asked.
        log: news: the number of verified files, as step and as "files".

    The environment variable NASIR_MIRRORS names further places: folders, archives or URLs, separated by commas. They change
    no result, since every file is compared with the manifest.

    Raises:
        ValueError: if the data set is unknown, or if a file is found in no place.
    """
    if dataset == datasets.FOLDER:
        chosen = datasets.of_folder(folder, layout)
        places = [str(folder)]
    else:
        chosen = datasets.get(dataset)
        places = [str(shipped)] if chosen.is_shipped else []
    patience = Patience(tries=config.attempts, timeout_s=config.timeout)
    _, troubles = sources.fetch(
        chosen, out, [*places, *sources.split_mirrors(os.environ.get("NASIR_MIRRORS"))], log, patience
    )
    for trouble in troubles:
        print(f"download: {trouble}", file=sys.stderr)
    manifest.require(out, chosen.entries)
    manifest.write(out / "manifest.csv", chosen.entries)
