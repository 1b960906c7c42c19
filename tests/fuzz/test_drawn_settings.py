"""Texts of YAML, params.yaml, profiles and `--set`, drawn at random."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawn_inputs import NUMBERS, SCALARS, TEXTS, VALUES, changed, damaged, read_or_refused, tried
from hypothesis import assume, given
from hypothesis import strategies as st

from nasir import settings
from nasir.config import plain_yaml, reading

ROOT = Path(__file__).parents[2]

PROFILES = ("base", "demo", "clearer")

MARKS = st.lists(
    st.sampled_from(
        (
            "a", "b", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", "&x ", "*x", "? ", "| ", "> ", "'", '"', "\\", "#",
            "---\n", "...\n", "!!int ", "!!set ", "!!binary ", "!!timestamp ", "!!python/none ", "!!omap ", "<<: ", "1", "0x",
            "0b", "1:60", "-", ".", "e", "2001-01-01", "t", "~", "%YAML 1.1\n", "\t", "\x85", "\ufeff", "é", "=", "null", ".inf",
            ".nan", "0o7",
        )
    ),
    max_size=30,
).map("".join)  # fmt: skip
"""Texts out of what has a meaning in YAML."""


@cache
def shipped(name: str) -> Any:
    return reading.read(ROOT / name)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the profiles."""
    found = tmp_path_factory.mktemp("drawn")
    for path in (ROOT / "profiles").glob("*.yaml"):
        (found / path.name).write_bytes(path.read_bytes())
    return found


@tried(300)
@given(text=st.one_of(MARKS, st.text(max_size=40)))
def test_any_text_is_yaml_that_is_read_or_is_refused(text):
    value = read_or_refused(lambda: plain_yaml.load(text))

    assert value is None or repr(value)


@tried(100)
@given(value=VALUES)
def test_what_yaml_wrote_is_read_back_equal(value):
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
    assume(text == text.encode(errors="replace").decode() and not any(letter in text for letter in "\x85\ufeff"))
    found = read_or_refused(lambda: plain_yaml.load(text))

    assert found is None or repr(found) == repr(value)


@tried(150)
@given(data=st.data())
def test_any_params_yaml_is_resolved_or_refused_by_its_name(place, data):
    whole = shipped("params.yaml")
    text = data.draw(
        st.one_of(
            changed(whole).map(lambda value: yaml.safe_dump(value).encode()),
            damaged((ROOT / "params.yaml").read_bytes()),
            st.binary(max_size=40),
        )
    )
    (place / "params.yaml").write_bytes(text)

    read_or_refused(lambda: settings.resolve(reading.read(place / "params.yaml"), place))


@tried(150)
@given(name=st.sampled_from(PROFILES), space=st.sampled_from(["irnas", "clearer", "nekrasov"]), data=st.data())
def test_any_profile_is_resolved_or_refused(place, name, space, data):
    profile = data.draw(
        st.one_of(changed(shipped(f"profiles/{name}.yaml"), NUMBERS), changed(shipped(f"profiles/{name}.yaml")))
    )
    (place / "own.yaml").write_text(
        yaml.safe_dump(profile | {"from": "base"} if isinstance(profile, dict) else profile)
    )
    params = shipped("params.yaml") | {"profile": "own", "space": space}

    read_or_refused(lambda: settings.resolve(params, place))


@tried(150)
@given(key=st.sampled_from(["seed", "sigma", "split.w", "search.steps", "space.cells"]) | TEXTS, value=SCALARS | MARKS)
def test_any_change_of_a_setting_is_taken_or_refused(key, value):
    resolved = resolved_demo()

    found = read_or_refused(lambda: settings.change(resolved, [f"{key}={value}"], "settings.yaml"))

    if found is not None:
        read_or_refused(lambda: [found.params, found.search, found.of_space, found.of_network, found.of_strategy])


@cache
def resolved_demo() -> Any:
    return settings.resolve(shipped("params.yaml"), ROOT / "profiles")
