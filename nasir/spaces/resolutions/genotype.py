"""The genotype of a space of columns: a letter for each column, P for parallel and F for fusion.

It is written as CLEARER's authors print it, a word for each cell: `FPFF FPFF PFPF`.
"""

from dataclasses import dataclass
from typing import Any

from nasir.config import reading
from nasir.messages import shown
from nasir.spaces.resolutions.section import CHOICES, MOST_COLUMNS, MOST_DOWNSCALE

VERSION = 1

LETTERS = "PF"
"""Parallel and fusion module, in the order of alpha's columns."""


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """A derived architecture. It has as many branches as its network has widths, see `nasir.spaces.resolutions.section`."""

    space: str
    cells: tuple[str, ...]  # a word of P and F for each cell
    residual: bool
    norm: str
    downscale: int
    transition: str

    def __post_init__(self) -> None:
        if not self.cells or not all(self.cells) or set("".join(self.cells)) - set(LETTERS):
            raise ValueError(
                f"a genotype must have a word of the letters P (parallel) and F (fusion) for each cell, got "
                f"{shown(' '.join(map(str, self.cells)))}; correct it, as in FPFF FPFF PFPF."
            )
        if len(self.letters) > MOST_COLUMNS:
            raise ValueError(f"a genotype may have {MOST_COLUMNS} columns, got {len(self.letters)}.")
        for key in ("norm", "transition"):
            if getattr(self, key) not in CHOICES[key]:
                raise ValueError(f"{key} must be one of {list(CHOICES[key])}, got {shown(getattr(self, key))}.")
        if not isinstance(self.downscale, int) or not 1 <= self.downscale <= MOST_DOWNSCALE:
            raise ValueError(f"downscale must be a whole number, 1 to {MOST_DOWNSCALE}, got {self.downscale!r}.")

    @property
    def letters(self) -> str:
        """All columns in order."""
        return "".join(self.cells)

    @property
    def text(self) -> str:
        """The cells' words."""
        return " ".join(self.cells)


def split(letters: str, columns: tuple[int, ...]) -> tuple[str, ...]:
    """The cells' words out of all letters.

    Raises:
        ValueError: if there are not as many letters as columns.
    """
    if len(letters) != sum(columns):
        raise ValueError(f"a genotype of these settings has {sum(columns)} columns, got {len(letters)}.")
    ends = [sum(columns[: cell + 1]) for cell in range(len(columns))]
    return tuple(letters[end - count : end] for end, count in zip(ends, columns, strict=True))


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a JSON object, with the schema's version."""
    return {
        "version": VERSION,
        "space": genotype.space,
        "cells": list(genotype.cells),
        "residual": genotype.residual,
        "norm": genotype.norm,
        "downscale": genotype.downscale,
        "transition": genotype.transition,
    }


def from_json(value: Any) -> Genotype:
    """The inverse of `to_json`; another version, missing or unknown keys and values of another type are refused and named."""
    expected = {"version", "space", "cells", "residual", "norm", "downscale", "transition"}
    if not isinstance(value, dict) or set(value) != expected:
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"a genotype must have exactly the keys {sorted(expected)}, got {shown(got)}.")
    if value["version"] != VERSION:
        raise ValueError(
            f"this nasir reads version {VERSION} of such genotypes, got {shown(value['version'])}; derive it again."
        )
    return reading.build({key: part for key, part in value.items() if key != "version"}, Genotype, "genotype")
