"""audit: no picture may stand in two parts of the split under two names, or in one shape and another."""

from pathlib import Path

from nasir.config.audit import AuditConfig
from nasir.data import split_lists
from nasir.data.duplicates import audit, leaks
from nasir.data.pictures import listing
from nasir.data.pictures.collection import load_grey
from nasir.files import Log, write_csv, write_json

PARTS = ("w", "a", "v", "test")
COLUMNS = ("first", "first_part", "second", "second_part", "correlation", "how", "is_declared")

ARTIFACTS = ("matches.csv",)


def run(*, pictures: Path, split: Path, out: Path, seed: int, config: AuditConfig, log: Log) -> None:
    """Write `matches.csv` and `audit.json` into `out`; what they mean for the run, the check decides.

    Looked at are the clean images, of patches the images that they were cut from. Leaks planted among those of training are
    looked for in the same search: `audit.json` says how many of them it found. `is_declared` is a match of a picture that the
    split lists as a leak and yet keeps.
    """
    lists = split_lists.read(split / "split.json", [*PARTS, "leaks"])
    sources = pictures / listing.SOURCES
    groups = {picture.name: picture.group for picture in listing.read(pictures)}
    greys: dict[str, audit.Grey] = {}
    parts: dict[str, str] = {}
    for part in PARTS:
        names = sorted({groups[name] for name in lists[part]}) if sources.is_dir() else lists[part]
        greys |= load_grey(sources if sources.is_dir() else pictures, names)
        parts |= dict.fromkeys(names, part)
    training = {name: grey for name, grey in greys.items() if parts[name] != "test"}
    planted = leaks.plant(training, config.planted, seed)
    own = {name: name for name in greys}  # twins in one part are no leak, yet a planted copy of one is found as both
    matches = audit.find(
        greys | {leak.name: leak.image for leak in planted}, own | {leak.name: "planted" for leak in planted}
    )

    pairs = [(match.first, match.second) for match in matches]
    alike = [match for match in matches if match.first in parts and match.second in parts]
    real = [match for match in alike if parts[match.first] != parts[match.second]]
    rows = [
        {
            "first": match.first,
            "first_part": parts[match.first],
            "second": match.second,
            "second_part": parts[match.second],
            "correlation": match.correlation,
            "how": match.how,
            "is_declared": match.first in lists["leaks"] or match.second in lists["leaks"],
        }
        for match in real
    ]
    quality = leaks.assess(planted, pairs, [(match.first, match.second) for match in alike])
    write_csv(out / "matches.csv", rows, COLUMNS)
    write_json(
        out / "audit.json",
        {
            "images": len(greys),
            "matches": len(rows),
            "planted": quality.planted,
            "found": quality.found,
            "false": [list(pair) for pair in quality.false],
            "recall": quality.recall,
            "precision": quality.precision,
        },
    )
    log(1, {"matches": float(len(rows)), "recall": quality.recall, "precision": quality.precision})
