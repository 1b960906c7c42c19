"""Files held against types."""

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import pytest

from nasir.files import write_text
from nasir.shapes import hold, naming, read, require_numbers, require_unique


@dataclass(frozen=True)
class Pair:
    """Exactly these two."""

    a: int
    b: float | None


class Facts(TypedDict):
    """And others."""

    name: str
    by_name: dict[str, list[float]]
    pair: Pair | None
    note: NotRequired[str]


GOOD = {"name": "x", "by_name": {"one": [1, 2.5]}, "pair": {"a": 1, "b": None}, "further": [None]}


@pytest.mark.parametrize("change", [{}, {"pair": None}, {"note": "y"}, {"pair": {"a": 1, "b": 2}}, {"by_name": {}}])
def test_what_is_of_the_shape_passes(change):
    hold(GOOD | change, Facts, "f.json", "again")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, r"^f\.json must be a mapping that has \['by_name', 'name', 'pair'\], got None; again\.$"),
        ({"name": "x"}, r"^f\.json must be a mapping that has .*, got \['name'\]; again\.$"),
        (GOOD | {"name": 3}, r"^f\.json: name must be a text, got 3; again\.$"),
        (GOOD | {"note": None}, r"^f\.json: note must be a text, got None"),
        (GOOD | {"by_name": {"one": [1, "2"]}}, r"^f\.json: by_name\.one\[1\] must be a finite number, got '2'"),
        (GOOD | {"by_name": {"one": [True]}}, r"^f\.json: by_name\.one\[0\] must be a finite number, got True"),
        (GOOD | {"by_name": {"one": [1e999]}}, "must be a finite number, got inf"),
        (GOOD | {"by_name": {"one": [10**400]}}, "must be a finite number, got 1000"),
        (GOOD | {"by_name": [1]}, r"^f\.json: by_name must be a mapping, got \[1\]"),
        (GOOD | {"pair": 3}, r"^f\.json: pair must be a mapping that has \['a', 'b'\] or null, got 3"),
        (
            GOOD | {"pair": {"a": 1, "b": 1, "c": 1}},
            r"pair must be a mapping that has \['a', 'b'\] alone or null, got \['a', 'b', 'c'\]",
        ),
        (GOOD | {"pair": {"a": 1.5, "b": 1}}, r"^f\.json: pair\.a must be a whole number, got 1\.5"),
    ],
)
def test_the_first_place_that_differs_is_named(value, said):
    with pytest.raises(ValueError, match=said):
        hold(value, Facts, Path("f.json"), "again")


def test_a_dataclass_has_its_fields_alone():
    with pytest.raises(ValueError, match=r"must be a mapping that has \['a', 'b'\] alone, got \['a', 'b', 'c'\]"):
        hold({"a": 1, "b": 2, "c": 3}, Pair, "f.json", "again")


def test_a_file_is_read_or_refused(tmp_path):
    path = tmp_path / "f.json"
    write_text(path, '{"a": [1]}')
    assert read(path, dict[str, list[int]], "again") == {"a": [1]}
    with pytest.raises(ValueError, match=r"f\.json: a must be a text, got \[1\]; again\."):
        read(path, dict[str, str], "again")


def test_rows_that_say_a_thing_twice_and_texts_for_numbers_are_refused():
    rows = [{"a": "1", "b": ""}, {"a": "2", "b": "x"}, {"a": "1", "b": "3"}]
    require_unique(rows, ("a", "b"), Path("f.csv"), "again")
    require_numbers(rows, ("a",), Path("f.csv"))
    require_numbers(rows[:1], ("b",), Path("f.csv"), is_given=False)
    with pytest.raises(ValueError, match=r"f\.csv must have one row for each a, got 2 for \('1',\); again\."):
        require_unique(rows, ("a",), Path("f.csv"), "again")
    with pytest.raises(ValueError, match=r"f\.csv: b must be a number, got 'x'"):
        require_numbers(rows, ("b",), Path("f.csv"), is_given=False)
    with pytest.raises(ValueError, match=r"f\.csv: b must be a number, got ''"):
        require_numbers(rows, ("b",), Path("f.csv"))


def test_an_error_without_its_file_gets_it():
    said = r"^f\.csv must be as it was written, but odd; again\.$"
    with pytest.raises(ValueError, match=said), naming(Path("f.csv"), "again"):
        raise ValueError("odd.")
    with pytest.raises(ValueError, match=r"^f\.csv is odd\.$"), naming(Path("f.csv"), "again"):
        raise ValueError("f.csv is odd.")
