"""A study as small as can be: networks of one layer on little pictures, all of a millisecond a step."""

from pathlib import Path
from typing import Any

import yaml

from nasir.files import write_json, write_text
from stages.searches import plan as plans
from stages.searches.plan import Plan
from stages.tables import data

ROOT = Path(__file__).parents[3]

ONE_SHOT = ("candidates=3", "population=2", "tournament=1", "finalists=1", "final_steps=2")
VALUES: dict[str, Any] = {
    "dataset": "sample",
    "space": "irnas",
    "profile": "demo",
    "sigma": 50,
    "images": 2,
    "seconds": 0.01,
    "window": [1200, 2100],
    "random": 3,
    "seeds": [0, 1],
    "changes": [
        "search.sigmas=[50]", "search.steps=2", "search.warmup_steps=0", "search.val_period=2", "search.patch=12",
        "search.batch=2", "search.val_crop=16", "search.device=cpu", "search.precision=32-true", "space.layers=1",
        "space.nodes=2", "space.width=4", "space.stem_channels=3", "space.operations=[conv_3x3, sep_3x3, skip]",
        "network.width=4", "network.stem_channels=3", "retrain.patch=12", "retrain.batch=2", "retrain.device=cpu",
        "retrain.precision=32-true",
    ],
    "changes_of": {
        "one_shot": [f"strategy.{key}" for key in ONE_SHOT],
        "darts": ["strategy.keep_from=2", "search.patch=14"],
    },
    "searches": {
        "one_shot, fair": {"strategy": "one_shot", "changes": ["strategy.sampling=fair"]},
        "darts": {"strategy": "darts", "changes": []},
    },
}  # fmt: skip


def write(path: Path, **changes: Any) -> Path:
    """Write the plan with some keys replaced, or left out where the value is None."""
    values = {key: value for key, value in (VALUES | changes).items() if value is not None}
    write_text(path, yaml.safe_dump(values, sort_keys=False))
    return path


def bring(folder: Path) -> None:
    """Mark the pictures of `folder / "work"` as those that the study has brought."""
    write_json(folder / "work/sample/made_with.json", data.facts(read(folder).settings(None)))


def read(folder: Path, **changes: Any) -> Plan:
    """The plan with some keys replaced."""
    return plans.read(write(folder / "plan.yaml", **changes), ROOT / "profiles")
