"""Genotypes of every space, drawn at random, whole and changed."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from drawn_inputs import TEXTS, VALUES, changed, damaged, read_or_refused, tried
from hypothesis import given
from hypothesis import strategies as st

from nasir import settings
from nasir.config import reading
from nasir.files import read_json, write_json
from nasir.spaces import contract

ROOT = Path(__file__).parents[2]


@cache
def section_of(space: str) -> Any:
    """The section of a space in the shipped profile."""
    params = reading.read(ROOT / "params.yaml") | {"space": space}
    return settings.Settings(settings.resolve(params, ROOT / "profiles"), "settings").of_space


@st.composite
def genotypes(draw: st.DrawFn, space: str) -> Any:
    """A genotype out of choices that the space's mask allows."""
    found, section, chosen = contract.find(space), section_of(space), []
    for number in draw(st.lists(st.integers(0, 99), min_size=(count := len(found.tokens(section))), max_size=count)):
        allowed = [choice for choice, is_allowed in enumerate(found.mask(section, chosen)) if is_allowed]
        chosen.append(allowed[number % len(allowed)])
    return found.from_tokens(section, chosen)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "genotype.json"


SPACES = pytest.mark.parametrize("space", contract.names())


@SPACES
@tried(40)
@given(data=st.data())
def test_a_genotype_that_was_written_is_read_back_equal(space, path, data):
    found = contract.find(space)
    genotype = data.draw(genotypes(space))
    write_json(path, found.to_json(genotype))

    assert read_or_refused(lambda: contract.of_json(read_json(path)).from_json(read_json(path))) == genotype


@SPACES
@tried(150)
@given(data=st.data())
def test_a_changed_genotype_is_read_as_one_that_is_written_equal_or_is_refused(space, data):
    value = data.draw(changed(contract.find(space).to_json(data.draw(genotypes(space)))))
    genotype = read_or_refused(lambda: contract.of_json(value).from_json(value))

    if genotype is not None:
        written = json.loads(json.dumps(contract.of_json(value).to_json(genotype)))
        assert contract.of_json(written).from_json(written) == genotype
        assert written["space"] == value["space"]


@SPACES
@tried(60)
@given(data=st.data())
def test_any_line_is_a_genotype_or_is_refused(space, data):
    found, section = contract.find(space), section_of(space)
    whole = json.dumps(found.to_json(data.draw(genotypes(space)))).encode()
    text = data.draw(
        st.one_of(
            TEXTS,
            st.text(alphabet="PF CI01", max_size=14),
            damaged(whole).map(lambda line: line.decode(errors="replace")),
        )
    )

    read_or_refused(lambda: found.from_line(section, text))


@tried(100)
@given(value=VALUES)
def test_any_value_is_a_genotype_or_is_refused(value):
    read_or_refused(lambda: contract.of_json(value).from_json(value))
