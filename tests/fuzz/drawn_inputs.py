"""Inputs that hypothesis draws, how many, and how each may end: it is read, or it ends in one clear error.

NASIR_EXAMPLES raises how many each property is tried with. Every run of the same code draws the same ones; no folder keeps them.
"""

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from clear_errors import problems
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nasir.commands.terminal import shown

T = TypeVar("T")

EXAMPLES = int(os.environ.get("NASIR_EXAMPLES", "0"))
"""Of each property at least."""

ends: Counter[str] = Counter()
"""How many inputs were read and how many refused so far."""


def tried(examples: int) -> Callable[[T], T]:
    """A property's number of examples; of drawn inputs, which no folder keeps and whose time nobody stops."""
    return settings(
        max_examples=max(examples, EXAMPLES), derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def read_or_refused(read: Callable[[], T], named: str = "") -> T | None:
    """What was read; None for an input that was refused by one clear error with the words `named`. Any other end fails."""
    try:
        value = read()
    except ValueError as error:
        ends["refused"] += 1
        wrong = list(problems(shown(error, kept="\n"), named))
        if wrong:
            raise AssertionError("; ".join(wrong)) from error
        return None
    ends["read"] += 1
    return value


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["irnas", "skip", "none", "P F", "../x", "1e-3", "\x1b[31m", "a" * 5000, "\ud800", "nan", "0x10"]),
)

NUMBERS = st.one_of(
    st.integers(-3, 400), st.integers(), st.sampled_from([10**30, 10**400, 2**63, -(2**63), True, False]), st.floats(),
)  # fmt: skip

SCALARS = st.one_of(st.none(), NUMBERS, TEXTS)

VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
"""Whatever YAML and JSON can hold."""


HOW = ("replace", "replace", "replace", "remove", "add")


@st.composite
def changed(draw: st.DrawFn, value: Any, replacements: st.SearchStrategy[Any] = VALUES) -> Any:
    """A value of which some parts are others, are gone, or stand there twice."""
    whole = {"": copy.deepcopy(value)}
    for _ in range(draw(st.integers(1, 2))):
        place, key = draw(st.sampled_from(list(_places(whole))))
        how = "replace" if place is whole else draw(st.sampled_from(HOW))
        if how == "remove":
            del place[key]
        elif how == "add" and isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]) if draw(st.booleans()) else draw(replacements))
        elif how == "add":
            place[draw(TEXTS)] = draw(replacements)
        else:
            place[key] = draw(replacements)
    return whole[""]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list and mapping inside, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which some are others, further ones or gone; or only the first."""
    changes = draw(
        st.lists(st.tuples(st.integers(0, len(data)), st.binary(max_size=8), st.integers(0, 12)), max_size=3)
    )
    for place, new, gone in changes:
        data = data[:place] + new + data[place + gone :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 4)) == 0 else data
