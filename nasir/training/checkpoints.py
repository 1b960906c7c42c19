"""Checkpoints: all that a step needs to carry on after it was killed, and what it was made with."""

import hashlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasir.files import sha256_file, write_bytes

SEAL = b"nasir checkpoint, sha256: "
"""How a file begins; the SHA-256 of what follows it comes next."""

SEALED_BYTES = len(SEAL) + hashlib.sha256().digest_size
"""In front of what was saved."""


def fingerprint(config: Mapping[str, object], inputs: Mapping[str, Path | str], code: str) -> dict[str, str]:
    """What a run is made with, as text: its settings, its input files and the code.

    Args:
        config: name -> value.
        inputs: name -> file (its SHA-256 is taken) or a value.
        code: digest of the code that the run can depend on (`nasir.code`).
    """
    files = {name: sha256_file(value) if isinstance(value, Path) else value for name, value in inputs.items()}
    return {name: repr(value) for name, value in config.items()} | files | {"code": code}


def save(
    path: Path,
    made_with: dict[str, str],
    state: dict[str, Any],
    pace: float | None = None,
    steps: int | None = None,
) -> None:
    """Write a checkpoint atomically: tensors, numbers, text, lists and dictionaries only.

    The one that it replaces is kept beside it (`earlier`), if it is whole.

    Args:
        path: the file.
        made_with: see `fingerprint`.
        state: what to carry on from.
        pace, steps: for those who look: seconds that a step took, and how many there are; nothing is carried on with them.
    """
    buffer = io.BytesIO()
    torch.save({"made_with": made_with, "state": state, "pace": pace, "steps": steps}, buffer)
    _keep(path)
    write_bytes(path, _sealed(buffer.getvalue()))


def earlier(path: Path) -> Path:
    """Where the checkpoint before the last one lies."""
    return path.with_name(f"{path.name}.before")


def remove(path: Path) -> None:
    """Remove a checkpoint, and the one before it, of a training that is done."""
    path.unlink(missing_ok=True)
    earlier(path).unlink(missing_ok=True)


def _keep(path: Path) -> None:
    """Make a checkpoint the one before the next; at every moment one of the two is whole."""
    try:
        _unsealed(path)
    except (OSError, Damaged):
        return
    earlier(path).unlink(missing_ok=True)
    try:
        os.link(path, earlier(path))
    except OSError:  # a file system without links
        with suppress(OSError):  # a full disk: the one that is there will do
            write_bytes(earlier(path), path.read_bytes())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load(path: Path, made_with: dict[str, str], say: Callable[[str], None] = _say) -> dict[str, Any] | None:
    """Read a checkpoint's state, or None if there is no checkpoint. In place of a damaged one that before it is read.

    With equal settings a run that carries on ends with the bits of one that was not stopped. Another number of processes is
    the one setting that may change: it changes the order of sums, and so the last bits, which `say` is told. Threads
    may change with it, since the processes divide them, but not alone.

    Args:
        path: the checkpoint.
        made_with: the present `fingerprint`.
        say: takes a line for the person.

    Raises:
        ValueError: if it and the one before it are damaged, or it was made with other settings, inputs or code; what differs is
            named.
    """
    for leftover in path.parent.glob(f".{path.name}.*.part"):  # of a write that was killed
        leftover.unlink(missing_ok=True)  # or another process of this run was quicker
    if not path.exists():
        return None
    content = _content_or_earlier(path, say)
    state, found = content["state"], content["made_with"]
    names = [name for name in sorted(found | made_with) if found.get(name) != made_with.get(name)]
    changed = {name: f"{name}: {_short(found.get(name))} -> {_short(made_with.get(name))}" for name in names}
    free = _free(names)
    if set(names) - free:
        shown = [changed[name] for name in names if name not in free][:5]
        left = len(set(names) - free) - len(shown)
        raise ValueError(
            f"{path} was made with another configuration, expected the present one; {'; '.join(shown)}"
            f"{f' and {left} more' if left else ''}. "
            "Remove it to start afresh, or go back to what it was made with to carry on."
        )
    if names:
        say(f"{path} is carried on with {'; '.join(changed.values())}: equal up to rounding, not to the bit.")
    return state


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is."""

    step: int | None  # that is done; None where the strategy's state does not tell
    steps: int  # in all
    pace: float | None  # seconds that a step took
    scores: list[float]  # PSNR on V, dB, at each of its scores


def look(path: Path) -> Progress:
    """How far the training is that a checkpoint belongs to.

    Raises:
        ValueError: if the file is no checkpoint of a search or training.
    """
    content = _content(path)
    state, pace = content["state"], content.get("pace")
    try:
        scores = [float(value) for _, metric, value in state.get("history", ()) if metric == "psnr_db"]
        pace = None if pace is None else float(pace)
        return Progress(step=step_of(state), steps=int(content["steps"]), pace=pace, scores=scores)
    except (LookupError, OverflowError, TypeError, ValueError) as error:  # of values that no training has
        raise ValueError(
            f"{path} must be a nasir checkpoint of a search or training, got another one; remove it."
        ) from error


def step_of(state: Mapping[str, Any]) -> int | None:
    """The step that a state is behind: its own, or that of its last news; None for a strategy's state without either."""
    told = [int(state["step"])] if "step" in state else []
    told += [step for step, *_ in state["history"]] if "history" in state else []
    return max(told, default=0) if "step" in state or "history" in state else None


def _content_or_earlier(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What a checkpoint holds; of a damaged one what that before it does, if it is whole."""
    try:
        return _content(path)
    except ValueError as error:
        if not earlier(path).is_file():
            raise
        try:
            content = _content(earlier(path))
        except ValueError:
            raise error from None
        say(
            f"{path} is damaged; the checkpoint before it is carried on with: {step_of(content['state'])} steps are done."
        )
        return content


def _content(path: Path) -> dict[str, Any]:
    """What a file holds that `save` wrote; anything else is refused with a ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of others, which are refused
            content: dict[str, Any] = torch.load(io.BytesIO(_unsealed(path)), map_location="cpu", weights_only=True)
            state, made_with = content["state"], content["made_with"]
            is_whole = isinstance(state, dict) and isinstance(made_with, dict)
            is_whole &= all(isinstance(text, str) for pair in made_with.items() for text in pair)
    except Exception as error:  # torch raises whatever it stumbles over
        raise ValueError(
            f"{path} must be a whole nasir checkpoint, got {_named(error)}; remove it to start afresh."
        ) from error
    if not is_whole:
        raise ValueError(f"{path} must hold a nasir checkpoint's state, got other values; remove it to start afresh.")
    return content


def _sealed(data: bytes) -> bytes:
    """Bytes behind their SHA-256, so that one bit that turned over is noticed."""
    return SEAL + hashlib.sha256(data).digest() + data


def _unsealed(path: Path) -> bytes:
    """What was sealed; a file of before there were seals as it is."""
    whole = path.read_bytes()
    digest, data = whole[len(SEAL) : SEALED_BYTES], whole[SEALED_BYTES:]
    if not whole.startswith(SEAL):
        return whole
    if hashlib.sha256(data).digest() != digest:
        raise Damaged("other bytes than were written")
    return data


class Damaged(ValueError):
    """A file whose bytes are not those that were written."""


def _named(error: Exception) -> str:
    return str(error) if isinstance(error, Damaged) else type(error).__name__


def find(path: Path, made_with: dict[str, str]) -> dict[str, Any] | None:
    """A checkpoint's state if there is one that was made with just this; anything else is None."""
    try:
        return load(path, made_with)
    except ValueError:
        return None


def _free(names: Sequence[str]) -> set[str]:
    """Which of these settings a run may be carried on without."""
    processes = {name for name in names if name.endswith((".devices", ".parallel"))}
    is_other_number = any(name.endswith(".devices") for name in processes)
    return processes | ({"threads"} if is_other_number else set())


def _short(value: str | None) -> str:
    return "absent" if value is None else value if len(value) <= 40 else value[:12] + "..."
