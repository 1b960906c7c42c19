"""YAML into typed values: what is missing, unknown or of another type is refused and named."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nasir.config import plain_yaml
from nasir.messages import shown

T = TypeVar("T")

LARGEST = 2**63 - 1
"""Of a whole number."""


def require(is_met: bool, expected: str, got: object) -> None:
    """Refuse a value that is not what was expected.

    Raises:
        ValueError: if it is not met, saying what was expected and what came.
    """
    if not is_met:
        raise ValueError(f"{expected}, got {shown(got)}.")


def require_between(config: object, section: str, names: Sequence[str], least: int, most: int) -> None:
    """Refuse numbers of a section that are of no use, being too small, or larger than any machine has time or memory for.

    Raises:
        ValueError: naming the first of these keys whose value is below `least` or above `most`.
    """
    for name in names:
        value = getattr(config, name)
        require(least <= value <= most, f"{section}.{name} must be {least} or more and at most {most}", value)


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; a missing one is named with its neighbours.

    Raises:
        ValueError: if there is no such file, or it is not UTF-8, no mapping or nothing that `nasir.config.plain_yaml` reads.
    """
    try:
        if not path.is_file():
            near = sorted(p.stem for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
            raise ValueError(f"expected a configuration file at {path}, got nothing there; files beside it: {near}.")
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"{path} must be a readable file, got {error.strerror}; check the path.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text, got {error}; save it so.") from error
    try:
        value = plain_yaml.load(text)
    except ValueError as error:
        raise ValueError(f"{path} {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping, got {type(value).__name__}.")
    return value


def build(value: object, cls: type[T], where: str) -> T:
    """A config class from a mapping that has exactly its keys, each of its type.

    Raises:
        ValueError: for anything else; it begins with `where` and names the key.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, got {shown(value)}.")
    hints = typing.get_type_hints(cls)
    missing = [name for name in hints if name not in value]
    unknown = [name for name in value if name not in hints]
    if missing or unknown:
        parts = [f"missing {missing}"] * bool(missing) + [f"unknown {shown(unknown)}"] * bool(unknown)
        raise ValueError(f"{where} must have exactly the keys {list(hints)}; {' and '.join(parts)}.")
    try:
        return cls(**{name: _convert(value[name], hint, name) for name, hint in hints.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _convert(value: object, hint: Any, name: str) -> Any:
    if isinstance(hint, types.GenericAlias):
        (item, *_) = typing.get_args(hint)
        if not isinstance(value, list):
            kind = "lists" if isinstance(item, types.GenericAlias) else item.__name__
            raise ValueError(f"{name} must be a list of {kind}, got {shown(value)}.")
        return tuple(_convert(v, item, f"{name}[{i}]") for i, v in enumerate(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint):
        return build(value, typing.cast(type, hint), name)
    if isinstance(value, int) and is_number and abs(value) > LARGEST:
        raise ValueError(f"{name} must be a number of at most {LARGEST}, got a larger one; correct it.")
    if hint is float and is_number and math.isfinite(typing.cast(float, value)):
        return float(typing.cast(float, value))
    if hint is int and is_number and isinstance(value, int):
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    if isinstance(hint, types.UnionType):
        kinds = typing.get_args(hint)
        if type(value) in kinds:
            return value
        raise ValueError(f"{name} must be a {' or a '.join(kind.__name__ for kind in kinds)}, got {shown(value)}.")
    note = " (YAML reads 1e-3 as text; write 0.001 or 1.0e-3)" if hint is float and isinstance(value, str) else ""
    raise ValueError(f"{name} must be a {hint.__name__}, got {shown(value)}{note}.")


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config's fields as a plain mapping, `prefix` before each name; tuples become lists."""
    return {
        prefix + name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }
