"""split: W, A and V from the training images, as JSON lists."""

from pathlib import Path

from nasir.config import SplitConfig
from nasir.data import manifest
from nasir.data.split import split
from nasir.files import Log, write_json


def run(*, images: Path, out: Path, seed: int, config: SplitConfig, log: Log) -> None:
    """Write `split.json` into `out`; it depends on the list of images, the seed and the shares alone."""
    entries = manifest.read(images / "manifest.csv")
    parts = split([e.name for e in entries if e.split == "train"], config.w, config.a, config.v, seed)
    parts["test"] = sorted(e.name for e in entries if e.split == "test")
    write_json(out / "split.json", {"seed": seed, **parts})
    log(len(entries), {f"images_{name}": float(len(part)) for name, part in parts.items()})
