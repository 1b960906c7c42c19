"""What a study's page says of rewards: equal cost by hand, the last part, and nothing where there are none."""

from typing import Any

from PIL import Image

from nasir.reporting.searches import rewarded


def search(
    values: list[float], spent: list[float], seconds: float, stopped: dict[int, float] | None = None
) -> dict[str, Any]:
    """A search's result whose second candidate is the last of the first ones; rewards from there on."""
    history = [[number, "spent_flops", flops] for number, flops in enumerate(spent, start=1)]
    history += [[number, "reward", value] for number, value in enumerate(values, start=2)]
    history += [[number, "stopped", value] for number, value in (stopped or {}).items()]
    return {"seconds": seconds, "history": history, "facts": {"stopped": 1}}


TAUGHT = search([0.5, 0.6, 0.4, 0.8, 1.0], [10, 20, 40, 60, 80, 100], 50.0, {3: 0, 4: 1, 5: 0, 6: 0})
LEFT = search([0.5, 0.2, 0.3, 0.4, 0.1], [10, 20, 40, 60, 80, 200], 200.0)


def test_a_candidate_has_the_operations_that_were_spent_when_it_was_done():
    of = rewarded.of(TAUGHT)
    assert of is not None and (of.candidates, of.numbers, of.rewards) == (6, [3, 4, 5, 6], [0.6, 0.4, 0.8, 1.0])
    assert of.costs == [40, 60, 80, 100] and of.whole == 100 and of.seconds == 50
    assert of.by_the_clock().costs == [20, 30, 40, 50] and of.by_the_clock().until(30) == [0.6, 0.4]
    assert of.until(60) == [0.6, 0.4] and of.last == [1.0]
    assert of.stopped == {3: False, 4: True, 5: False, 6: False} and of.ended == 1


def test_searches_of_one_machine_stand_beside_each_other_within_the_seconds_of_the_shortest(tmp_path):
    text = rewarded.rewards(
        tmp_path / "search.md", {"rl, seed 0": TAUGHT, "rl, never taught, seed 0": LEFT, "darts, seed 0": {}}
    )
    # within 50 s the second has three candidates, done after 40, 60 and 80 s: the first of them alone
    assert "| rl, seed 0 | 50 | 1e+02 | 4 | 0.700 | 1.000 | 1.000 | 1 of 6 |" in text
    assert "| rl, never taught, seed 0 | 200 | 2e+02 | 1 | 0.200 | 0.200 | 0.100 | 1 of 6 |" in text
    assert "Equal: the 50 seconds of" in text and "darts" not in text
    with Image.open(tmp_path / "search/rewards.png") as picture:
        assert picture.width > 500


def test_searches_of_two_machines_are_compared_by_operations(tmp_path):
    # its operations take 3 s each, those of the other half a second
    slow = LEFT | {"seconds": 600.0}
    text = rewarded.rewards(tmp_path / "search.md", {"rl, seed 0": TAUGHT, "rl, never taught, seed 0": slow})
    # within 100 operations the second has three rewards, done after 40, 60 and 80
    assert "| rl, seed 0 | 50 | 1e+02 | 4 | 0.700 | 1.000 | 1.000 | 1 of 6 |" in text
    assert "| rl, never taught, seed 0 | 600 | 2e+02 | 3 | 0.300 | 0.400 | 0.100 | 1 of 6 |" in text
    assert "rewards at equal operations" in text and "Equal: the 1e+02 operations of" in text


def test_without_rewards_there_is_no_section(tmp_path):
    assert rewarded.of({"seconds": 1.0, "history": [[1, "score", 0.5]]}) is None
    assert rewarded.rewards(tmp_path / "search.md", {"darts, seed 0": {"seconds": 1.0, "history": []}}) == ""
    assert not (tmp_path / "search").exists()
