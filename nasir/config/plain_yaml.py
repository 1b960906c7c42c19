"""YAML that says what it seems to say: no key twice, no depth that breaks the reader, no aliases that multiply."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from nasir.messages import bare, cut, shown

DEEPEST = 50
"""Lists and mappings inside of each other; the shipped files have 5."""

MOST_VALUES = 100_000
"""Values of a text with its aliases written out; the largest shipped file has 1,300."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class _Open:
    """A list or mapping whose end was not read yet."""

    is_mapping: bool
    anchor: str | None
    size: int = 1  # values so far, aliases written out
    children: int = 0
    keys: set[str] = field(default_factory=set)


def load(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: if it is no YAML, holds a key twice in one mapping, an alias of what it stands in, more than `DEEPEST`
            levels, more than `MOST_VALUES` values with aliases written out, or a number or date that cannot be.
    """
    try:
        _require_plain(text)
    except yaml.YAMLError as error:
        raise ValueError(f"must be YAML, got {_on_one_line(error)}") from error
    try:
        return yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of Python's own int and date
        raise ValueError(f"must be YAML with values that can be, got {_on_one_line(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # of `!!int` without a number, say
        raise ValueError("must be YAML with values that can be, got a tag that its value does not fit") from error


def _on_one_line(error: Exception) -> str:
    return cut(" ".join(str(error).split()))


def _require_plain(text: str) -> None:
    """Read the text's events, which takes no memory, before anything is built of them."""
    sizes: dict[str, int] = {}
    opened = [_Open(is_mapping=False, anchor=None)]
    for event in yaml.parse(text, Loader=_LOADER):
        assert event.start_mark is not None  # every event of a text has one
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            if len(opened) > DEEPEST:
                raise ValueError(f"must be at most {DEEPEST} levels deep, got more in line {line}; make it flatter")
            opened[-1].children += 1
            opened.append(_Open(is_mapping=isinstance(event, yaml.MappingStartEvent), anchor=event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = opened.pop()
            opened[-1].size += closed.size
            if closed.anchor is not None:
                sizes[closed.anchor] = closed.size
        elif isinstance(event, yaml.ScalarEvent):
            inner = opened[-1]
            if inner.is_mapping and inner.children % 2 == 0:
                if event.value in inner.keys:
                    raise ValueError(
                        f"must hold each key once, got {shown(event.value)} again in line {line}; remove one"
                    )
                inner.keys.add(event.value)
            inner.children += 1
            inner.size += 1
        elif isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in opened):
                alias = bare(f"*{event.anchor}")
                raise ValueError(f"must not hold itself, got the alias {alias} in line {line}; write it out")
            opened[-1].children += 1
            opened[-1].size += sizes.get(str(event.anchor), 1)
        if opened[-1].size > MOST_VALUES:
            raise ValueError(
                f"must hold at most {MOST_VALUES} values with its aliases written out, got more by line {line}; shorten it"
            )
