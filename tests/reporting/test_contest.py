import pytest

from nasir.reporting import contest

BEST = {"a": 25.0, "b": 26.0, "c": 27.0, "d": 28.0}


def test_a_lead_on_every_image_is_clear():
    scores = {"low": {name: 20.0 for name in BEST}, "best": BEST, "near": {n: v - 0.1 for n, v in BEST.items()}}

    held = contest.hold(scores)

    assert (held.best, held.second) == ("best", "near")
    assert held.against_second.images == 4
    assert held.against_second.difference.mean == pytest.approx(0.1)
    assert held.is_clear


def test_a_lead_that_half_of_the_images_deny_is_not_clear():
    # Differences 1, 1, -0.5, -0.5: the mean is 0.25, and one bootstrap draw in sixteen is -0.5 throughout.
    other = {"a": 24.0, "b": 25.0, "c": 27.5, "d": 28.5}

    held = contest.hold({"best": BEST, "other": other})

    assert held.best == "best"
    assert held.against_second.difference.mean == pytest.approx(0.25)
    assert not held.is_clear


def test_a_clear_lead_over_the_second_is_not_enough_where_a_third_one_varies_more():
    steady = {name: value - 0.1 for name, value in BEST.items()}
    erratic = {"a": 28.0, "b": 29.0, "c": 23.0, "d": 24.0}  # mean 26, 0.5 below the best; differences -3, -3, 4, 4

    held = contest.hold({"best": BEST, "steady": steady, "erratic": erratic})

    assert held.second == "steady" and held.against_second.difference.excludes_zero
    assert not held.is_clear


def test_only_images_that_all_methods_share_are_compared():
    # On a and b the second is better; c and d, where it was not scored, count for nobody.
    held = contest.hold({"all": BEST, "some": {"a": 25.5, "b": 26.5}})

    assert held.best == "some"
    assert held.against_second.images == 2


@pytest.mark.parametrize(
    "scores", [{}, {"one": BEST}, {"one": {"a": 25.0}, "other": {"a": 24.0}}, {"x": BEST, "y": {}}]
)
def test_without_two_methods_and_two_shared_images_there_is_no_contest(scores):
    assert contest.hold(scores) is None
