"""What the run of a pipeline says of all its stages, so that runs are sorted and compared by it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

MEAN = "mean_"
"""Begins the names of a stage's metrics that its pipeline's run has, too."""

TAGS = ("mlflow.source.git.commit", "nasir.device")
"""Tags of a stage that its pipeline's run has, too."""


def metrics(stages: Iterable[Any]) -> dict[str, float]:
    """Mean scores; seconds of each stage and of all that ran; the most memory that one of them took, MiB.

    Args:
        stages: their runs, as MLflow gives them.
    """
    found: dict[str, float] = {}
    seconds: Counter[str] = Counter()
    for stage in stages:
        own = stage.data.metrics
        found |= {key: value for key, value in own.items() if key.startswith(MEAN)}
        if "seconds" in own:
            for key in ("seconds", f"seconds_{stage.data.tags['nasir.stage']}"):
                seconds[key] += own["seconds"]
        if "peak_memory_mib" in own:
            found["peak_memory_mib"] = max(found.get("peak_memory_mib", 0), own["peak_memory_mib"])
    return found | {key: round(value, 3) for key, value in seconds.items()}


def tags(stages: Iterable[Any]) -> dict[str, str]:
    """What the stages say, each once; `CPU x86_64` is no news beside `CPU x86_64, 2 threads`."""
    given = [stage.data.tags for stage in stages]
    found = {}
    for tag in TAGS:
        values = sorted({one[tag] for one in given if tag in one})
        told = [value for value in values if not any(other != value and other.startswith(value) for other in values)]
        if told:
            found[tag] = "; ".join(told)
    return found
