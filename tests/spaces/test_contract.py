"""Spaces are found by name, and so are their sections in profiles."""

import pytest
import torch

from nasir.spaces import contract
from nasir.spaces.contract import Token


def test_a_space_has_the_name_of_its_file():
    assert {"irnas", "hinas"} <= set(contract.names())
    assert [contract.find(name).name for name in contract.names()] == contract.names()


@pytest.mark.parametrize("name", ["irnass", "contract", "cells", None])
def test_an_unknown_space_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"space must be one of \[.*'hinas'.*'irnas'.*\], got {name!r};"):
        contract.find(name)


@pytest.mark.parametrize("value", [{"space": "other"}, {}, ["irnas"], None])
def test_a_genotype_of_no_known_space_is_refused(value):
    with pytest.raises(ValueError, match=r"space must be one of \[.*'hinas'.*'irnas'.*\], got ('other'|None);"):
        contract.of_json(value)


@pytest.mark.parametrize(
    "text", ["", "PF", "[" * 100_000, '{"version": ' + "9" * 5000 + "}"], ids=["none", "words", "deep", "digits"]
)
def test_a_line_that_is_no_genotype_is_refused_in_a_line(text):
    with pytest.raises(ValueError, match=r"a genotype of irnas must be one JSON object, got '") as refused:
        contract.find("irnas").from_line(None, text)
    assert len(str(refused.value)) < 600


def test_two_spaces_share_the_section_of_cells():
    assert {"irnas", "hinas"} <= {space.name for space in contract.find_settings("cells")}


def test_a_section_of_no_space_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"may have the sections \[.*'cells'.*\], got 'cell'; remove it"):
        contract.find_settings("cell")


@pytest.mark.parametrize("name", contract.names())
@pytest.mark.parametrize("attribute", ["searching", "drawing", "modifying"])
def test_the_modules_that_a_space_names_have_what_they_are_named_for(name, attribute):
    module = getattr(contract.find(name), attribute)
    wanted = {"searching": "random_genotype", "drawing": "draw", "modifying": "modify"}[attribute]
    assert (attribute == "modifying" and not module) or callable(getattr(contract.part(module), wanted))


class Pairs:
    """Two numbers of 0 to 2, the second one above the first."""

    def tokens(self, section: object) -> tuple[Token, ...]:
        return (Token(name="low", choices=("0", "1")), Token(name="high", choices=("0", "1", "2")))

    def mask(self, section: object, chosen: list[int]) -> tuple[bool, ...]:
        return (True, True) if not chosen else tuple(number > chosen[0] for number in range(3))


def test_random_tokens_are_uniform_among_what_is_allowed():
    # low is 0 or 1 with 1/2 each; above 0 there are two numbers, above 1 one: (0, 1) 1/4, (0, 2) 1/4, (1, 2) 1/2
    generator = torch.Generator().manual_seed(0)
    drawn = [tuple(contract.random_tokens(Pairs(), None, generator)) for _ in range(800)]
    assert set(drawn) == {(0, 1), (0, 2), (1, 2)}
    for pair, share in (((0, 1), 0.25), ((0, 2), 0.25), ((1, 2), 0.5)):
        assert abs(drawn.count(pair) - 800 * share) < 5 * (800 * share * (1 - share)) ** 0.5  # five deviations
