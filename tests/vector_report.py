"""What comes out of checking a file of vectors, and how its description is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.vector_names import Named


@dataclass(frozen=True)
class Line:
    """One checked quantity."""

    name: str
    deviation: float
    tolerance: float

    @property
    def is_met(self) -> bool:
        """Whether the deviation is within the tolerance; what is not a number is not."""
        return self.deviation <= self.tolerance

    def __str__(self) -> str:
        return f"{'ok' if self.is_met else 'MISMATCH':8} {self.name:62} {self.deviation:8.1e} <= {self.tolerance:.1e}"


@dataclass(frozen=True)
class Report:
    """What came out for one file."""

    kind: str
    notes: tuple[str, ...]
    lines: list[Line]


def only(content: Any, kind: type, meta: Path) -> Any:
    """The content of META, of the kind that this file has; another one is refused."""
    if not isinstance(content, kind):
        raise ValueError(f"{meta} must hold a JSON {kind.__name__} for this file, got a {type(content).__name__}.")
    return content


def find_entry(content: Sequence[Any], name: str, meta: Path) -> Named:
    """The part of META that describes the file of this name."""
    names = [entry.get("name") for entry in content if isinstance(entry, dict)]
    if name not in names:
        raise ValueError(f"{meta} must have an entry with the name {name!r}, the file's, got {names}.")
    return Named(content[names.index(name)], f"{meta}: {name}")


def deviation(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest absolute difference; other shapes are refused."""
    if tuple(ours.shape) != theirs.shape:
        raise ValueError(f"expected values of shape {tuple(ours.shape)}, the file has {theirs.shape}.")
    return (ours.detach().double() - torch.from_numpy(theirs).double()).abs().max().item()
