"""A training in pieces: after the moment that NASIR_UNTIL names, in seconds since 1970, it ends with its next checkpoint.

It also ends so on SIGTERM and Ctrl-C, with a checkpoint of the step that it was at. Called again it carries on from there, so
that a run of a night fits into hours that a machine has to spare.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from nasir import stopping

UNTIL = "NASIR_UNTIL"

MARK = "NASIR_PAUSED"
"""Of the environment: a file that a pause makes, so that whoever started the stages can tell it from a failure."""

PAUSED = 75
"""Exit status of a stage that ended so: try again later (EX_TEMPFAIL of sysexits.h)."""


def until() -> float | None:
    """The moment, in seconds since 1970; None where none is named.

    Raises:
        ValueError: for what is no number.
    """
    text = os.environ.get(UNTIL, "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(
            f"{UNTIL} must be a moment in seconds since 1970, got {text!r}; unset it to have no end."
        ) from error


def begin(step: str) -> None:
    """End the process where the moment is over, before a stage has begun."""
    end = until()
    if end is not None and time.time() >= end:
        _pause(f"paused before {step}.")


def _pause(words: str) -> NoReturn:
    print(f"{words} Run the same command again to carry on.", file=sys.stderr)
    if mark := os.environ.get(MARK):
        Path(mark).touch()
    raise SystemExit(PAUSED)


def stopped(path: Path | None) -> NoReturn:
    """End the process on request, with the checkpoint that is there."""
    words = describe(path) if path is not None and path.is_file() else "before its first checkpoint"
    _pause(f"stopped: {words}.")


def keeper(
    path: Path, made_with: dict[str, str], state: dict[str, Any] | None, steps: int
) -> Callable[[dict[str, Any]], None]:
    """What a training gives its states to: writes the checkpoint and, where it is time, ends the process.

    Args:
        path: the checkpoint.
        made_with: as `nasir.training.checkpoints.fingerprint` gives it.
        state: what is carried on from; None at the start.
        steps: of the whole training, as its news count them.
    """
    from nasir.training import checkpoints  # imports torch

    stopping.listen()
    end, begun, first = until(), time.monotonic(), (checkpoints.step_of(state) or 0) if state is not None else 0

    def save(state: dict[str, Any]) -> None:
        done = (checkpoints.step_of(state) or 0) - first
        checkpoints.save(path, made_with, state, (time.monotonic() - begun) / done if done > 0 else None, steps)
        if stopping.is_asked():
            stopped(path)
        if end is not None and time.time() >= end:
            _pause(f"paused: {describe(path)}.")

    return save


def describe(path: Path) -> str:
    """A line on how far the training is that a checkpoint belongs to, how long the rest takes, and its scores on V."""
    from nasir.reporting.tables import psnr
    from nasir.training import checkpoints

    found = checkpoints.look(path)
    if found.step is None:
        return f"{path.stem} on its way, its strategy does not tell how far"
    words = [f"{path.stem} at step {found.step:,} of {found.steps:,}"]
    if found.pace is not None and found.step < found.steps:
        left = timedelta(seconds=round(found.pace * (found.steps - found.step)))
        words.append(f"{found.pace:.3f} s a step, {left} left")
    if found.scores:
        words.append(f"PSNR on V {psnr(found.scores[-1])} dB, at best {psnr(max(found.scores))}")
    return "; ".join(words)
