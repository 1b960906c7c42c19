"""Two files of per-image scores beside each other: which images are in them, and by how much one is ahead of the other.

Files are read as this project writes them:

    nasir score      name, kind, psnr_rgb_db, ...; the row of kind "mean" is left out
    evaluate         method, protocol, name, psnr_db, ssim_zero_padded, ssim_valid
    models/*/        protocol, name and the same measures
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasir.data.manifest import list_some
from nasir.evaluation import statistics
from nasir.evaluation.statistics import Comparison
from nasir.files import read_csv

KEYS = ("name", "kind", "method", "protocol")
"""Columns that are no measure."""

PREFERRED = ("psnr_db", "psnr_rgb_db", "psnr_grey_db")
"""The measure that is compared where nobody says which: the first of these that both files have for every image."""

USUAL = {"protocol": "whole", "method": "nasir"}
"""Of several in a file, those that are taken where nobody says which: the field's standard, and this project's network."""

NAMED_AT_MOST = 5
"""Images in an error."""

Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two sets of scores of the same images."""

    measure: str
    protocol: str | None  # of both; None where no file says
    methods: tuple[str | None, str | None]  # of each
    scores: dict[str, tuple[float, float]]  # by image, sorted by name
    comparison: Comparison  # of the first minus the second

    @property
    def wins(self) -> tuple[int, int]:
        """On how many images each one has the higher score; the others are ties."""
        return sum(a > b for a, b in self.scores.values()), sum(b > a for a, b in self.scores.values())

    def ranked(self) -> list[str]:
        """The images, that where the first is furthest behind the second first."""
        return sorted(self.scores, key=lambda name: self.scores[name][0] - self.scores[name][1])


def read(
    paths: tuple[Path, Path],
    measure: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str | None] = (None, None),
) -> Paired:
    """Read two files and compare them, image by image.

    Args:
        paths: CSV files, as said above.
        measure: a column that both have; none: the first of `PREFERRED`.
        protocol: of files with several; none: the one that there is, or `whole`.
        methods: of each file, where it has several; none: the one that there is, or `nasir`.

    Raises:
        ValueError: if a file is no such table, the images or protocols differ, or a score is missing or not finite; what is
            wrong is named.
    """
    files = [_read(path) for path in paths]
    files, found = _choose_each(paths, files, "method", methods)
    files, protocols = _choose_each(paths, files, "protocol", (protocol, protocol))
    if None not in protocols and protocols[0] != protocols[1]:
        raise ValueError(
            f"both files must have scores under one protocol, got {protocols[0]!r} in {paths[0]} and {protocols[1]!r} in "
            f"{paths[1]}; score both under one."
        )
    named = [_by_name(path, rows) for path, rows in zip(paths, files, strict=True)]
    _require_same(paths, named)
    chosen = _measure(paths, files, measure)
    a, b = ({n: _number(p, rows[n], chosen) for n in sorted(rows)} for p, rows in zip(paths, named, strict=True))
    return Paired(
        measure=chosen, protocol=protocols[0] or protocols[1], methods=(found[0], found[1]),
        scores={name: (a[name], b[name]) for name in a}, comparison=statistics.compare(a, b),
    )  # fmt: skip


def _read(path: Path) -> list[dict[str, str]]:
    rows = read_csv(path)
    if "name" not in rows[0]:
        raise ValueError(
            f"{path} must have a column 'name' and scores, got the columns {list(rows[0])}; check the path."
        )
    return [row for row in rows if row.get("kind") != "mean"]


def _choose_each(
    paths: Sequence[Path], files: Sequence[list[dict[str, str]]], column: str, wanted: Sequence[str | None]
) -> tuple[list[list[dict[str, str]]], list[str | None]]:
    """The rows of each file that have one value in a column, and that value; None where the file has no such column."""
    both = [_choose(path, rows, column, value) for path, rows, value in zip(paths, files, wanted, strict=True)]
    return [rows for rows, _ in both], [value for _, value in both]


def _choose(
    path: Path, rows: list[dict[str, str]], column: str, wanted: str | None
) -> tuple[list[dict[str, str]], str | None]:
    known = list(dict.fromkeys(row[column] for row in rows if column in row))
    if not known:
        if wanted is not None:
            raise ValueError(
                f"{path} must have a column {column!r} to choose {wanted!r} in, got none; leave the choice out."
            )
        return rows, None
    chosen = wanted or (known[0] if len(known) == 1 else USUAL[column])
    if chosen not in known:
        raise ValueError(
            f"the {column} must be one of {known}, which are in {path}, got {chosen!r}; choose one of them."
        )
    return [row for row in rows if row[column] == chosen], chosen


def _by_name(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    named: dict[str, Row] = {}
    for row in rows:
        if row["name"] in named:
            raise ValueError(f"{path} must have one row for each image, got two of {row['name']!r}; remove one.")
        named[row["name"]] = row
    return named


def _require_same(paths: Sequence[Path], named: Sequence[Mapping[str, Row]]) -> None:
    """Name the images that only one of the files has."""
    lacking = [
        f"{path} lacks {list_some(missing, NAMED_AT_MOST)}"
        for path, own, other in zip(paths, named, reversed(named), strict=True)
        if (missing := sorted(other.keys() - own.keys()))
    ]
    if lacking:
        raise ValueError(
            f"both files must have scores of the same images, but {'; '.join(lacking)}; score both on one set."
        )


def _measure(paths: Sequence[Path], files: Sequence[Sequence[Row]], wanted: str | None) -> str:
    known = [c for c in files[0][0] if c not in KEYS and all(row.get(c) for rows in files for row in rows)]
    found = wanted if wanted is not None else next((measure for measure in PREFERRED if measure in known), None)
    if found not in known:
        raise ValueError(
            f"the measure must be one of {known}, which {paths[0]} and {paths[1]} have for every image, got {found!r}; "
            "choose one of them, or score both in one way."
        )
    return found


def _number(path: Path, row: Row, measure: str) -> float:
    try:
        value = float(row[measure])
    except ValueError as error:
        raise ValueError(f"{measure} of {row['name']} in {path} must be a number, got {row[measure]!r}.") from error
    if not math.isfinite(value):
        raise ValueError(
            f"{measure} of {row['name']} in {path} must be finite, got {value}; equal images have an infinite PSNR: leave it out."
        )
    return value
