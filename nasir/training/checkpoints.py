"""Checkpoints: all that a step needs to carry on after it was killed, and what it was made with."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import nasir
from nasir.files import sha256_file, write_bytes


def fingerprint(config: Mapping[str, object], inputs: Mapping[str, Path | str]) -> dict[str, str]:
    """What a run is made with, as text: its settings, its input files and the code.

    Args:
        config: name -> value.
        inputs: name -> file (its SHA-256 is taken) or a value.
    """
    root = Path(nasir.__file__).parent
    code = {
        f"code {path.relative_to(root)}": sha256_file(path)
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0] not in ("reporting", "cli.py")
    }
    files = {name: sha256_file(value) if isinstance(value, Path) else value for name, value in inputs.items()}
    return {name: repr(value) for name, value in config.items()} | files | code


def save(path: Path, made_with: dict[str, str], state: dict[str, Any]) -> None:
    """Write a checkpoint atomically: tensors, numbers, text, lists and dictionaries only."""
    buffer = io.BytesIO()
    torch.save({"made_with": made_with, "state": state}, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path, made_with: dict[str, str]) -> dict[str, Any] | None:
    """Read a checkpoint's state, or None if there is no checkpoint.

    Raises:
        ValueError: if the file is damaged, or was made with other settings, inputs or code; what differs is named.
    """
    for leftover in path.parent.glob(f".{path.name}.*.part"):  # of a write that was killed
        leftover.unlink()
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state, found = content["state"], content["made_with"]
    except (RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} must be a nasir checkpoint, got {type(error).__name__}; remove it to start afresh."
        ) from error
    if found != made_with:
        names = [name for name in sorted(found | made_with) if found.get(name) != made_with.get(name)]
        shown = [f"{n}: {_short(found.get(n))} -> {_short(made_with.get(n))}" for n in names[:5]]
        raise ValueError(
            f"{path} was made with another configuration, expected the present one; {'; '.join(shown)}"
            f"{f' and {len(names) - 5} more' if len(names) > 5 else ''}. "
            "Remove it to start afresh, or go back to what it was made with to carry on."
        )
    return state


def _short(value: str | None) -> str:
    return "absent" if value is None else value if len(value) <= 40 else value[:12] + "..."
