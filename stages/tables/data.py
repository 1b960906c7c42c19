"""data: the pictures of one task of a study, verified, paired, split and audited in one process."""

from importlib import import_module
from pathlib import Path
from typing import Any

from nasir.files import read_json, write_json
from nasir.settings import Settings
from stages.around import checking, entries, runner

MADE_WITH = "made_with.json"
"""What the folders of `out` were made with, written when every check has passed."""

OF_PARAMS = ("dataset", "task", "folder", "layout", "seed")


def bring(*, settings: Settings, shipped: Path, known: Path, images: Path, out: Path) -> None:
    """`run`, unless it has filled `out` with the same settings and code before and every check has passed."""
    made_with = facts(settings)
    if (out / MADE_WITH).is_file() and read_json(out / MADE_WITH) == made_with:
        return
    (out / MADE_WITH).unlink(missing_ok=True)
    run(settings=settings, shipped=shipped, known=known, images=images, out=out)
    write_json(out / MADE_WITH, made_with)


def facts(settings: Settings) -> dict[str, Any]:
    """All that the pictures and their split depend on, but the files of the data set."""
    values = settings.values
    return {
        "params": {key: values["params"][key] for key in OF_PARAMS},
        "settings": {step: values[step] for step in entries.OF_TASK},
        "code": entries.digest("data", settings),
    }


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
