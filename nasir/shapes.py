"""What a file between steps must hold, said as types: a value that differs is refused with the file and the place in it.

A `TypedDict` is a mapping that has at least its keys, as a file may say more than its reader needs; a dataclass has exactly its
fields. `float` is any finite number; of unions there are those of a type with None, `float | None`.
"""

import math
import types
import typing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from nasir.config.reading import LARGEST
from nasir.files import read_json, shortened, to_float

T = TypeVar("T")

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    types.NoneType: "null",
    list: "a list",
    dict: "a mapping",
}


def read(path: Path, shape: type[T], remedy: str) -> T:
    """A JSON file's value, of this shape.

    Args:
        path: the file.
        shape: a type as said above.
        remedy: what to do about another value, such as "run evaluate again".

    Raises:
        ValueError: for a file that is missing, no JSON or of another shape.
    """
    value: T = read_json(path)
    hold(value, shape, path, remedy)
    return value


def hold(value: object, shape: Any, where: object, remedy: str) -> None:
    """Refuse a value that is not of this shape.

    Args:
        value: plain, as of JSON.
        shape: a type as said above.
        where: what an error begins with: a file.
        remedy: how it ends.

    Raises:
        ValueError: naming the first place that differs, what was expected there and what came.
    """
    for place, expected, got in _differences(value, shape, ""):
        raise ValueError(f"{where}{place} must be {expected}, got {shortened(got)}; {remedy}.")


def require(is_met: bool, where: object, expected: str, got: object, remedy: str) -> None:
    """Refuse what no type says, in the words of `hold`.

    Raises:
        ValueError: if it is not met.
    """
    if not is_met:
        raise ValueError(f"{where} must {expected}, got {shortened(got)}; {remedy}.")


def require_unique(rows: Sequence[Mapping[str, str]], columns: Sequence[str], path: Path, remedy: str) -> None:
    """Refuse rows of a CSV file that say one thing twice, the later of which would count in silence.

    Raises:
        ValueError: naming what stands twice in these columns.
    """
    counts = Counter(tuple(row[column] for column in columns) for row in rows)
    for key, count in counts.items():
        if count > 1:
            raise ValueError(
                f"{path} must have one row for each {', '.join(columns)}, got {count} for {shortened(key)}; {remedy}."
            )


def require_numbers(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], path: Path, is_given: bool = True
) -> None:
    """Refuse a row of a CSV file without a number in one of these columns; not `is_given`: it may be empty.

    Raises:
        ValueError: naming the file and the column.
    """
    for row in rows:
        for column in columns:
            if is_given or row[column]:
                to_float(row, column, path)


@contextmanager
def naming(path: Path, remedy: str) -> Iterator[None]:
    """Around what reads a file: an error that does not name it does so."""
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        said = str(error).removesuffix(".")
        raise ValueError(f"{path} must be as it was written, but {said}; {remedy}.") from error


def _differences(value: object, shape: Any, place: str) -> Iterator[tuple[str, str, object]]:
    """Places at which a value differs from a shape, what is expected there and what came."""
    parts = typing.get_args(shape)
    origin = typing.get_origin(shape) or shape
    if origin is types.UnionType:  # of a type with None
        if value is not None:
            for where, expected, got in _differences(value, parts[0], place):
                yield where, f"{expected} or null" if where == place else expected, got
    elif origin in (object, Any):
        return
    elif typing.is_typeddict(shape) or is_dataclass(shape):
        yield from _of_keys(value, shape, place)
    elif not _is_one(value, origin):
        yield place, _words(shape), value
    elif origin is list and parts:
        for number, item in enumerate(typing.cast(list[object], value)):
            yield from _differences(item, parts[0], f"{place}[{number}]")
    elif origin is dict and parts:
        for key, item in typing.cast(dict[str, object], value).items():
            yield from _differences(item, parts[1], f"{place}.{key}" if place else f": {key}")


def _of_keys(value: object, shape: Any, place: str) -> Iterator[tuple[str, str, object]]:
    hints = typing.get_type_hints(shape)
    needed = getattr(shape, "__required_keys__", hints)
    if not isinstance(value, dict) or not set(needed) <= set(value):
        got = [*value] if isinstance(value, dict) else value
        yield place, f"a mapping that has {sorted(needed)}", got
    elif is_dataclass(shape) and set(value) != set(hints):
        yield place, f"a mapping that has {sorted(hints)} alone", [*value]
    else:
        for key in hints:
            if key in value:
                yield from _differences(value[key], hints[key], f"{place}.{key}" if place else f": {key}")


def _is_one(value: object, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if isinstance(value, int):
        return kind in (int, float) and abs(value) <= LARGEST
    if isinstance(value, float):
        return kind is float and math.isfinite(value)
    return isinstance(value, kind)


def _words(shape: Any) -> str:
    return _WORDS.get(typing.get_origin(shape) or shape, "a mapping")
