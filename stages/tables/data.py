"""data: the pictures of one task of a study, verified, paired, split and audited in one process."""

from importlib import import_module
from pathlib import Path
from typing import Any

from nasir.settings import Settings
from stages.around import checking, entries, runner


def run(*, settings: Settings, shipped: Path, known: Path, images: Path, out: Path) -> None:
    """Fill `images` with the data set and `out` with the folders pictures, split, audit and checks.

    Args:
        settings: of the task.
        shipped: the folder of images that the repository ships.
        known: as the step pair takes it.
        images: of the data set; files that are there and right are not fetched again.
        out: folder to write into.
    """
    pictures, split = out / "pictures", out / "split"
    options: dict[str, dict[str, Any]] = {
        "download": {"shipped": shipped, "out": images},
        "pair": {"source": images, "known": known, "out": pictures},
        "split": {"pictures": pictures, "out": split},
        "audit": {"pictures": pictures, "split": split, "out": out / "audit"},
    }
    for step in entries.OF_TASK:
        runner.run(step, import_module(entries.module(step)), settings, options[step], None)
        checking.check(step, settings.params, options[step], out / "checks" / f"{step}.json")
