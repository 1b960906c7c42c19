"""split: W, A and V from the training pictures, as JSON lists."""

from pathlib import Path

from nasir.config.split import SplitConfig
from nasir.data.pictures import listing
from nasir.data.split import split
from nasir.files import Log, write_json

ARTIFACTS = ("split.json",)


def run(*, pictures: Path, out: Path, seed: int, config: SplitConfig, log: Log) -> None:
    """Write `split.json` into `out`; it depends on the list of pictures, the seed and the section alone.

    Its lists are `w`, `a`, `v` and `test`, and `leaks`: training pictures that show what a test picture shows, here or, with
    `config.exclude_elsewhere`, in another data set's test part. With `config.exclude_leaks` they are in no other list.
    """
    listed = listing.read(pictures)
    tested = {picture.group for picture in listed if picture.split == "test"}
    training = [picture for picture in listed if picture.split == "train"]
    leaks = sorted(
        picture.name
        for picture in training
        if picture.group in tested or (config.exclude_elsewhere and picture.also_in)
    )
    excluded = set(leaks) if config.exclude_leaks else set()
    groups = {picture.name: picture.group for picture in training if picture.name not in excluded}
    parts = split(groups, config.w, config.a, config.v, seed)
    parts |= {"test": sorted(listing.names(listed, "test")), "leaks": leaks}
    write_json(out / "split.json", {"seed": seed, "exclude_leaks": config.exclude_leaks, **parts})
    log(len(listed), {f"images_{name}": float(len(part)) for name, part in parts.items()})
