"""YAML becomes a typed value; what is missing, unknown or of another type is refused with the key's name."""

from dataclasses import dataclass

import pytest

from nasir.config import reading


@dataclass(frozen=True, kw_only=True)
class Oven:
    """A section of its own, so that what is tested is the reading alone."""

    degrees: int
    minutes: float
    is_fan_on: bool
    shelves: tuple[float, ...]

    def __post_init__(self) -> None:
        reading.require(self.degrees <= 300, "oven.degrees must be 300 or less", self.degrees)


@dataclass(frozen=True, kw_only=True)
class Kitchen:
    """A section of sections."""

    name: str
    ovens: tuple[Oven, ...]


VALUE = {"degrees": 200, "minutes": 12, "is_fan_on": True, "shelves": [1, 2.5]}


def test_a_mapping_with_exactly_the_keys_becomes_the_class():
    oven = reading.build(VALUE, Oven, "oven.yaml")

    assert oven == Oven(degrees=200, minutes=12.0, is_fan_on=True, shelves=(1.0, 2.5))
    assert [type(value) for value in (oven.minutes, *oven.shelves)] == [float, float, float]


def test_lists_of_mappings_become_tuples_of_classes():
    kitchen = reading.build({"name": "north", "ovens": [VALUE, VALUE | {"degrees": 90}]}, Kitchen, "kitchen.yaml")

    assert [oven.degrees for oven in kitchen.ovens] == [200, 90]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degrees": 1.5}, "oven.yaml: degrees must be a int, got 1.5"),
        ({"degrees": True}, "degrees must be a int, got True"),
        ({"degrees": "200"}, "degrees must be a int, got '200'"),
        (
            {"minutes": "1e-3"},
            r"minutes must be a float, got '1e-3' \(YAML reads 1e-3 as text; write 0.001 or 1.0e-3\)",
        ),
        ({"minutes": float("inf")}, "minutes must be a float, got inf"),
        ({"minutes": False}, "minutes must be a float, got False"),
        ({"is_fan_on": 1}, "is_fan_on must be a bool, got 1"),
        ({"shelves": 1}, "shelves must be a list of float, got 1"),
        ({"shelves": [1, "two"]}, r"shelves\[1\] must be a float, got 'two'"),
        ({"minutes": 10**400}, f"oven.yaml: minutes must be a number of at most {2**63 - 1}, got a larger one"),
        ({"degrees": 1 << 20000}, "degrees must be a number of at most 9223372036854775807, got a larger one"),
        ({"degrees": "x" * 10_000}, r"degrees must be a int, got 'x{499}\.\.\.\.$"),
        ({"degrees": [1 << 20000]}, "degrees must be a int, got a list that is too large to be shown"),
        ({"degrees": 301}, "oven.yaml: oven.degrees must be 300 or less, got 301"),
        ({"degreees": 200}, r"oven.yaml must have exactly the keys \['degrees', .*; unknown \['degreees'\]"),
    ],
)
def test_a_bad_value_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        reading.build(VALUE | change, Oven, "oven.yaml")


def test_a_missing_key_is_named_beside_an_unknown_one():
    value = {name: item for name, item in VALUE.items() if name != "minutes"} | {"hours": 1}

    with pytest.raises(ValueError, match=r"missing \['minutes'\] and unknown \['hours'\]\."):
        reading.build(value, Oven, "oven.yaml")


@pytest.mark.parametrize("value", [None, [VALUE], "degrees: 200"])
def test_what_is_no_mapping_is_refused(value):
    with pytest.raises(ValueError, match=r"oven\.yaml must be a mapping of keys to values, got"):
        reading.build(value, Oven, "oven.yaml")


def test_a_bad_value_within_a_list_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"kitchen.yaml: ovens\[1\]: degrees must be a int, got None"):
        reading.build({"name": "north", "ovens": [VALUE, VALUE | {"degrees": None}]}, Kitchen, "kitchen.yaml")


def test_a_missing_file_names_its_neighbours(tmp_path):
    for name in ("small", "demo"):
        (tmp_path / f"{name}.yaml").write_text("{}")

    with pytest.raises(ValueError, match=r"got nothing there; files beside it: \['demo', 'small'\]"):
        reading.read(tmp_path / "huge.yaml")
    with pytest.raises(ValueError, match=r"files beside it: \[\]"):
        reading.read(tmp_path / "nowhere" / "huge.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "must be YAML, got"),
        ("- 1\n- 2\n", "must hold a mapping, got list"),
        ("", "must hold a mapping, got NoneType"),
    ],
)
def test_a_file_without_a_mapping_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "odd.yaml").write_text(text)

    with pytest.raises(ValueError, match=rf"odd\.yaml {message}"):
        reading.read(tmp_path / "odd.yaml")


MULTIPLIED = "a: &a [x]\n" + "".join(
    f"b{i}: &{after} [*{before}{f', *{before}' * 9}]\n"
    for i, (before, after) in enumerate(zip("abcdefghi", "bcdefghij", strict=True))
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MULTIPLIED, "must hold at most 100000 values with its aliases written out, got more by line 6; shorten it"),
        ("a: &a [*a]", r"must not hold itself, got the alias \*a in line 1; write it out"),
        ("a: 1\nb: {c: 1, c: 2}", "must hold each key once, got 'c' again in line 2; remove one"),
        ("a: " + "[" * 100_000, "must be at most 50 levels deep, got more in line 1; make it flatter"),
        ("a: " + "9" * 5000, r"must be YAML with values that can be, got Exceeds the limit \(4300 digits\)"),
        ("a: 2001-99-99", "must be YAML with values that can be, got month must be in 1..12"),
        ("a: *b", "must be YAML with values that can be, got found undefined alias"),
        (
            "a: !!python/object:os.system x",
            "must be YAML with values that can be, got could not determine a constructor",
        ),
        ("a: !!int", "must be YAML with values that can be, got a tag that its value does not fit"),
        ("a: !!timestamp x", "must be YAML with values that can be, got a tag that its value does not fit"),
        ("a: \0", "must be YAML, got unacceptable character"),
    ],
    ids=["multiplied", "endless", "double", "deep", "digits", "date", "alias", "tag", "no number", "no date", "nul"],
)
def test_text_that_no_one_would_write_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "odd.yaml").write_text(text)

    with pytest.raises(ValueError, match=rf"odd\.yaml {message}") as refused:
        reading.read(tmp_path / "odd.yaml")
    assert "\n" not in str(refused.value)


def test_an_alias_stands_for_what_it_names_and_a_merged_key_may_be_given_anew(tmp_path):
    (tmp_path / "even.yaml").write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\ne: [*a, *a]\n")

    found = reading.read(tmp_path / "even.yaml")

    assert found["d"] == {"b": 3, "c": 2} and found["e"] == [{"b": 1, "c": 2}] * 2


def test_a_file_that_is_no_text_and_a_name_that_no_file_can_have_are_named(tmp_path):
    (tmp_path / "odd.yaml").write_bytes(b"a: \xff")

    with pytest.raises(ValueError, match=r"odd\.yaml must be UTF-8 text, got 'utf-8' codec can't decode byte 0xff"):
        reading.read(tmp_path / "odd.yaml")
    with pytest.raises(
        ValueError, match=r"x{300}\.yaml must be a readable file, got File name too long; check the path"
    ):
        reading.read(tmp_path / f"{'x' * 300}.yaml")


def test_flat_puts_the_prefix_before_each_name_and_lists_for_tuples():
    oven = reading.build(VALUE, Oven, "oven.yaml")

    assert reading.flat(oven, "oven.") == {
        "oven.degrees": 200, "oven.minutes": 12.0, "oven.is_fan_on": True, "oven.shelves": [1.0, 2.5],
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A key with a value of either kind."""

    is_on: bool | str


def test_a_key_may_take_either_of_two_kinds():
    assert [reading.build({"is_on": value}, Lamp, "lamp.yaml").is_on for value in (True, "auto")] == [True, "auto"]
    with pytest.raises(ValueError, match=r"lamp\.yaml: is_on must be a bool or a str, got 1"):
        reading.build({"is_on": 1}, Lamp, "lamp.yaml")
