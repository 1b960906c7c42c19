"""What stands in for networks that were not trained: it sees what the table can tell, and is judged on what it has not seen."""

from itertools import product

import numpy as np
import pytest

from nasir.search.sampling.surrogate import PENALTIES, Surrogate, _fit

WORTH = ((0.0, 0.3), (0.0, -0.1), (0.0, 0.2, 0.5))
ALL = list(product(*(range(len(own)) for own in WORTH)))


def score(tokens: tuple[int, ...]) -> float:
    return 25 + sum(own[token] for own, token in zip(WORTH, tokens, strict=True))


def test_where_choices_add_up_all_networks_are_predicted():
    surrogate = Surrogate({tokens: score(tokens) for tokens in ALL[:-3]})
    assert "choices" in surrogate.view
    assert surrogate(ALL).tolist() == pytest.approx([score(tokens) for tokens in ALL], abs=3e-3)


def test_where_a_choice_is_worth_the_same_everywhere_it_sees_counts():
    # 25 dB and 0.1 dB for each 1, with a little that is of no network
    networks = list(product(range(2), repeat=4))
    shaken = {tokens: 25 + 0.1 * sum(tokens) + 0.02 * (-1) ** place for place, tokens in enumerate(networks)}
    surrogate = Surrogate({tokens: shaken[tokens] for tokens in networks[1:9]})
    assert "counts" in surrogate.view
    first, second = surrogate([(0, 0, 0, 0), (1, 1, 1, 1)])
    assert second - first == pytest.approx(0.4, abs=0.1)


def test_what_is_left_out_is_left_out_of_the_choice_of_the_model_too():
    generator = np.random.default_rng(0)
    known = {tokens: 25 + generator.random() for tokens in ALL[:8]}
    for place, tokens in enumerate(known):
        others = {other: value for other, value in known.items() if other != tokens}
        # the choices of every token still stand in the table of the others, so their features are the same
        assert all({o[k] for o in others} == {o[k] for o in known} for k in range(3))
        assert Surrogate(known).left_out[place] == pytest.approx(Surrogate(others)([tokens])[0])


def test_pairs_tell_what_no_sum_of_choices_tells():
    # the scores of x xor y
    known = {(x, y, z): 25.0 + (x ^ y) for x, y, z in product(range(2), repeat=3) if (x, y, z) != (1, 0, 1)}
    surrogate = Surrogate(known)
    assert "pairs" in surrogate.view
    assert surrogate([(1, 0, 1)])[0] == pytest.approx(26, abs=0.1)


def test_a_left_out_prediction_is_that_of_a_fit_on_the_others():
    generator = np.random.default_rng(0)
    x = np.column_stack([np.ones(9), generator.random((9, 3))])
    y = generator.random(9)
    for penalty in PENALTIES:
        _, left_out = _fit(x, y, penalty)
        rest = [place for place in range(9) if place != 4]
        weights, _ = _fit(x[rest], y[rest], penalty)
        assert left_out[4] == pytest.approx(x[4] @ weights)


@pytest.mark.parametrize("known", [{}, {(0, 1): 25.0, (1, 1): 24.0}, {(0, 1): 25.0, (1, 1): 24.0, (0,): 24.0}])
def test_a_table_that_is_none_is_refused(known):
    with pytest.raises(ValueError, match=r"three networks or more, all with as many tokens, got \d with \[.*\] tokens"):
        Surrogate(known)


def test_a_network_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"has 2 tokens, got 3"):
        Surrogate({(0, 1): 25.0, (1, 1): 24.0, (1, 0): 24.0})([(0, 1), (0, 1, 1)])
