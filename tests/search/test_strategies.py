"""Strategies are found by name."""

import pytest

from nasir.search import contract


def test_a_strategy_has_the_name_of_its_file():
    assert {"darts", "random"} <= set(contract.names())
    assert [contract.find(name).name for name in contract.names()] == contract.names()


@pytest.mark.parametrize("name", ["dart", "contract", "gradient", None])
def test_an_unknown_strategy_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"search\.strategy must be one of \[.*'darts'.*'random'.*\], got {name!r};"):
        contract.find(name)
