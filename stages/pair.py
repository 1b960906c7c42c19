"""pair: the pictures of a task out of a data set: its images, its pairs, or pairs of simulated rain, motion or cameras."""

import shutil
from pathlib import Path

from nasir import task as tasks
from nasir.config.pair import PairConfig
from nasir.data import manifest
from nasir.data.datasets import catalogue as datasets
from nasir.data.pairs import pairing
from nasir.data.pictures import listing
from nasir.files import Log, read_csv, write_csv

ARTIFACTS = ("pictures.csv",)


def run(
    *,
    dataset: str,
    layout: str,
    source: Path,
    known: Path,
    out: Path,
    task: str,
    seed: int,
    config: PairConfig,
    log: Log,
) -> None:
    """Write `pictures.csv`, the files that it names and, for a task of pairs, `pairs.csv` into `out`.

    Args:
        dataset: its name.
        layout: of the files of the data set `folder`, see `nasir.data.manifest.Dataset`.
        source: what download wrote.
        known: CSV file with the columns dataset, name, also_in: images that another data set's test part has too.
        out: emptied first.
        task: its name.
        seed: of simulated rain, motion and cameras.
        config: the `pair:` section.
        log: called with the number of pictures so far.

    Raises:
        ValueError: if images cannot make pairs or a file cannot be read; it is named, and there is no `pictures.csv`.
    """
    chosen = tasks.find(task)
    layout = datasets.layout(dataset, layout)
    entries = manifest.read(source / "manifest.csv")
    shutil.rmtree(out, ignore_errors=True)  # nothing of another task may stay
    if not chosen.is_paired or layout != "clean":
        listed = read_csv(known, ("dataset", "name", "also_in"))
        elsewhere = {row["name"]: row["also_in"] for row in listed if row["dataset"] == dataset}
        made = pairing.take(source, entries, layout, chosen, out, elsewhere, log)
        made = pairing.group(out, made) if chosen.is_paired else made
    else:
        from nasir.data.pairs import simulation  # the camera needs torch, which takes seconds to import

        if task == "derain":
            made = simulation.rain_on(source, entries, out, seed, log)
        elif task == "deblur":
            made = simulation.shake(source, entries, out, seed, log)
        else:
            made = simulation.photograph(source, entries, out, seed, config, log)
    if chosen.is_paired:
        write_csv(out / "pairs.csv", pairing.describe(out, made, chosen, log), pairing.facts(chosen))
    listing.write(out, made)
