"""status --json: what a program reads of the trainings that are under way; a person reads `stages.around.pausing.describe`."""

from collections.abc import Sequence
from pathlib import Path

from nasir.training import checkpoints


def facts(folders: Sequence[Path], found: Sequence[Path]) -> dict[str, object]:
    """Where was looked and how far each training is: seconds for times, dB for PSNR on V, None for what is not known.

    Args:
        folders: of checkpoints.
        found: the checkpoints in them.
    """
    return {"folders": list(map(str, folders)), "trainings": [_training(path) for path in found]}


def _training(path: Path) -> dict[str, object]:
    progress = checkpoints.look(path)
    left = None if progress.step is None else max(0, progress.steps - progress.step)
    return {
        "checkpoint": str(path),
        "step": progress.step,
        "steps": progress.steps,
        "seconds_per_step": progress.pace,
        "seconds_left": None if progress.pace is None or left is None else progress.pace * left,
        "psnr_db": progress.scores[-1] if progress.scores else None,
        "best_psnr_db": max(progress.scores, default=None),
    }
