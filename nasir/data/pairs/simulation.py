"""Pairs that are simulated for the clean images of a data set: rain on them, the blur of a camera that moved, or their
photographs by a noisy one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasir.config.pair import PairConfig
from nasir.data.camera import sim1800
from nasir.data.manifest import SPLITS, Entry
from nasir.data.pairs import motion, rain
from nasir.data.pairs.pairing import copy
from nasir.data.pictures import images, listing
from nasir.data.pictures.listing import Picture
from nasir.files import Log, write_json


def rain_on(source: Path, entries: Sequence[Entry], out: Path, seed: int, log: Log) -> list[Picture]:
    """Let it rain on clean images (`nasir.data.pairs.rain`).

    Args:
        source: folder of the files.
        entries: the files.
        out: the folder of pictures; clean files go below `files`, rainy ones below `rainy`.
        seed: of the rain.
        log: called with the number of pictures.
    """
    return _degrade(source, entries, out, "rainy", partial(rain.rainy, seed=seed), log)


def shake(source: Path, entries: Sequence[Entry], out: Path, seed: int, log: Log) -> list[Picture]:
    """Blur clean images by a camera that moves (`nasir.data.pairs.motion`): as `rain_on`, blurred ones go below `blurred`."""
    return _degrade(source, entries, out, "blurred", partial(motion.blurred, seed=seed), log)


def photograph(
    source: Path, entries: Sequence[Entry], out: Path, seed: int, config: PairConfig, log: Log
) -> list[Picture]:
    """Cut patches out of clean images and photograph them with a noisy camera (`nasir.data.camera.sim1800`), part by part.

    The images that they were cut from go below `out / "sources"`, patches below `clean` and `degraded`; a patch's group is
    its image. `selection.json` holds where each patch was cut, its camera, and what became of the other candidates.

    Args:
        source, entries, seed: as for `rain_on`.
        out: the folder of pictures.
        config: how many patches of which size.
        log: called with the number of candidates done in a part.

    Raises:
        ValueError: if an image is smaller than a patch, or too few patches meet the rule of selection.
    """
    by_name = {entry.name: entry for entry in entries}
    made, selection = [], {}
    for part in SPLITS:
        own = {name: source / entry.path for name, entry in by_name.items() if entry.split == part}
        is_training = part == "train"
        found = sim1800.generate(
            _Images(own),
            candidates=config.train_candidates if is_training else config.test_candidates,
            keep=config.train_kept if is_training else config.test_kept,
            side=config.side,
            factor=config.factor,
            seed=seed,
            log=log,
        )
        for pair in found.pairs:
            clean, degraded = (f"{folder}/{pair.name}.png" for folder in ("clean", "degraded"))
            images.save_png(out / clean, pair.clean)
            images.save_png(out / degraded, pair.degraded)
            entry = by_name[str(pair.record["image"])]
            made.append(_picture(pair.name, entry, config.side, config.side, clean, degraded))
        records = [{"name": pair.name} | pair.record for pair in found.pairs]
        selection[part] = {"counts": found.counts, "flat_below": found.flat_below, "kept": records}
    write_json(out / "selection.json", selection)
    cut_from = {picture.group for picture in made}
    kept = [entry for entry in entries if entry.name in cut_from]
    for entry in kept:
        copy(source / entry.path, out / listing.SOURCES / "files" / entry.path)
    sources = [_picture(entry.name, entry, entry.width, entry.height, f"files/{entry.path}", "") for entry in kept]
    listing.write(out / listing.SOURCES, sources)
    return made


def _degrade(
    source: Path,
    entries: Sequence[Entry],
    out: Path,
    folder: str,
    degrade: Callable[[NDArray[np.uint8], str], NDArray[np.uint8]],
    log: Log,
) -> list[Picture]:
    """Give every clean image a degraded one, a function of its pixels in RGB and its name, below `out / folder`."""
    made = []
    for step, entry in enumerate(entries, start=1):
        degraded = f"{folder}/{entry.name}.png"
        copy(source / entry.path, out / "files" / entry.path)
        images.save_png(out / degraded, degrade(images.load_rgb(source / entry.path), entry.name))
        made.append(_picture(entry.name, entry, entry.width, entry.height, f"files/{entry.path}", degraded))
        log(step, {"pictures": float(step)})
    return made


@dataclass(frozen=True)
class _Images(Mapping[str, NDArray[np.uint8]]):
    """Images in RGB, read when they are asked for."""

    paths: dict[str, Path]

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        return images.load_rgb(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def _picture(name: str, entry: Entry, width: int, height: int, clean: str, degraded: str) -> Picture:
    """A picture made from an image of the data set."""
    return Picture(
        name=name,
        split=entry.split,
        group=entry.name,
        also_in="",
        clean=clean,
        degraded=degraded,
        layout="files",
        width=width,
        height=height,
    )
