"""Which check belongs to which step."""

from pathlib import Path
from typing import Any

from nasir.config.params import Params
from nasir.data import datasets as folder_of_datasets
from nasir.data.datasets import catalogue as datasets

KNOWN = Path(folder_of_datasets.__path__[0]) / "known_duplicates.csv"
"""The pairs of pictures that the audit may find, each with its reason."""


def check(step: str, params: Params, paths: dict[str, Any], out: Path) -> None:
    """Check what a step wrote; the result is written to the JSON file `out`, and a failure raises and names the rows.

    Args:
        step: its name.
        params: what a person chose.
        paths: the step's own options; `out` is the folder that it wrote.
        out: JSON file for the result.
    """
    from stages.around import checks

    made = paths["out"]
    if step == "download":
        expected = None
        if params.dataset != datasets.FOLDER:
            entries = datasets.get(params.dataset).entries
            expected = {part: sum(entry.split == part for entry in entries) for part in ("train", "test")}
        checks.check_download(made, out, expected)
    elif step == "pair":
        checks.check_pair(made, params.task, out)
    elif step == "synthesize":
        checks.check_synthesize(made / "manifest.csv", paths["pictures"], params.task, params.noise, out)
    elif step == "split":
        checks.check_split(made / "split.json", paths["pictures"], out)
    elif step == "audit":
        checks.check_audit(made, params.dataset, KNOWN, out)
    else:
        checks.check_evaluate(made / "scores.csv", paths["pictures"], made / "metrics.json", out)
