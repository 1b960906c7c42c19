"""What stands in for networks that were not trained: exact where choices add up, left out as if it had not been there."""

from itertools import product

import numpy as np
import pytest

from nasir.search.sampling.surrogate import PENALTIES, Surrogate, _fit

WORTH = ((0.0, 0.3), (0.0, -0.1), (0.0, 0.2, 0.5))
ALL = list(product(*(range(len(own)) for own in WORTH)))


def score(tokens: tuple[int, ...]) -> float:
    return 25 + sum(own[token] for own, token in zip(WORTH, tokens, strict=True))


def test_where_choices_add_up_the_others_are_predicted():
    known = {tokens: score(tokens) for tokens in ALL[:-3]}
    surrogate = Surrogate(known)
    for tokens in ALL[-3:]:
        assert surrogate(tokens) == pytest.approx(score(tokens), abs=2e-3)


def test_what_was_trained_is_given_as_it_is():
    known = {(0, 0): 25.0, (0, 1): 26.0, (1, 0): 20.0}
    surrogate = Surrogate(known)
    assert [surrogate(tokens) for tokens in known] == list(known.values())


def test_a_left_out_prediction_is_that_of_a_fit_on_the_others():
    generator = np.random.default_rng(0)
    x = np.column_stack([np.ones(9), generator.random((9, 3))])
    y = generator.random(9)
    for penalty in PENALTIES:
        _, left_out = _fit(x, y, penalty)
        rest = [place for place in range(9) if place != 4]
        weights, _ = _fit(x[rest], y[rest], penalty)
        assert left_out[4] == pytest.approx(x[4] @ weights)


@pytest.mark.parametrize("known", [{}, {(0, 1): 25.0}, {(0, 1): 25.0, (0,): 24.0}])
def test_a_table_that_is_none_is_refused(known):
    with pytest.raises(ValueError, match=r"two networks or more, all with as many tokens, got \d with \[.*\] tokens"):
        Surrogate(known)


def test_a_network_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"has 2 tokens, got 3"):
        Surrogate({(0, 1): 25.0, (1, 1): 24.0})((0, 1, 1))
