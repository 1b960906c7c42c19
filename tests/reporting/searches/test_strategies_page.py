"""The page of all strategies: what is there of the studies and of the rehearsal, and what is not."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scipy.stats import kendalltau

from nasir.reporting.searches import figures, rehearsed, strategies
from nasir.reporting.searches.strategies import Study
from tests.reporting.searches.invented import JOBS, PLAN, RANDOM, RANKING, network, results

FACTS: dict[str, Any] = {
    "plan": "bsd500", "networks": 10, "of": 4096, "spread_db": 0.08, "pairs": 4,
    "training_db": {"mean": 0.036, "low": 0.02, "high": 0.1}, "rest_db": 0.03,
    "error_db": {"mean": 0.05, "low": 0.03, "high": 0.07}, "tau": {"mean": 0.5, "low": 0.1, "high": 0.8},
    "view": ["counts"], "penalty": 0.001, "best": "P F", "candidates": 30,
    "seeds": 2, "seconds": {"random": 1.25, "rl, PPO": 3.0},
    "rl": {"hidden": 16, "lr": 0.003, "decay": 0.95}, "evolution": {"population": 20, "tournament": 5},
}  # fmt: skip

REGRETS = {"random": {10: (0.2, 0.4), 30: (0.1, 0.3)}, "rl, PPO": {10: (0.3, 0.5), 30: (0.0, 0.2)}}
"""Of two tries: rl is 0.1 dB behind after 10 candidates, and 0.1 ahead after 30."""

ROWS = [
    {
        "strategy": name,
        "seed": str(seed),
        "candidates": str(place),
        "regret_db": str(regret),
        "recent_db": str(regret + 0.5),
    }
    for name, of in REGRETS.items()
    for place, both in of.items()
    for seed, regret in enumerate(both)
]


def study(found: dict[str, Any], jobs: list[dict[str, Any]] = JOBS) -> Study:
    plan = PLAN | {
        "space": "irnas",
        "searches": PLAN["searches"] | {"rl": {"strategy": "rl", "changes": [], "seeds": [0]}},
    }
    return Study(plan=plan, jobs=jobs, results=found, choosing={"one_shot": "evolution"})


def write(folder: Path, found: dict[str, Any], facts: dict[str, Any] | None = None, **words: Any) -> str:
    path = folder / "strategies.md"
    strategies.write(path, [study(found, **words)], facts, ROWS if facts else [])
    return path.read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    text = write(folder, results(), FACTS)
    for name in ("costs", "regret"):
        with Image.open(folder / f"strategies/{name}.png") as picture:
            assert picture.width > 500
    return text


@pytest.fixture
def _undrawn(monkeypatch):
    """Figures without content, where a test is of the text."""
    for name in ("costs", "regret"):
        monkeypatch.setattr(figures, name, lambda *given: b"")


def row(text: str, first: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_each_search_has_its_cost_what_it_found_and_its_place_among_random_networks(whole):
    tau = kendalltau(RANKING, range(10)).statistic
    cells = row(whole, "one_shot")
    # random networks have 20 to 29 dB: 28.5 is not below nine of ten, 29.25 not below any; 60 and 180 seconds
    assert cells[1:7] == ["one_shot, evolution", "2 of 2", "120", "350", "28.50, 29.25", "90, 100"]
    assert cells[7].startswith(f"{tau:.2f} [")
    assert row(whole, "darts, beta decay")[1:] == ["darts", "2 of 2", "600", "512", "24.50, 19.00", "50, 0", "none"]


def test_what_was_not_run_says_so_and_a_random_network_stands_first(whole):
    assert row(whole, "rl")[1:] == ["rl", "0 of 1", "not run", "", "", "", ""]
    assert row(whole, "a random network")[2:] == ["10 networks", "0", "0", "24.50 (20.00 to 29.00)", "50", ""]
    assert "Highest by mean percentile: one_shot, 90, 100 by seed." in whole


def test_the_regret_is_a_mean_of_the_tries_and_its_gain_on_random_is_paired(whole):
    # means of 0.2 and 0.4, 0.1 and 0.3; the interval of two values is their range
    random, rl = ("0.300 [0.200, 0.400]", "0.200 [0.100, 0.300]"), ("0.400 [0.300, 0.500]", "0.100 [0.000, 0.200]")
    assert row(whole, "random")[1:] == [*random, "1.2"]
    assert row(whole, "rl, PPO")[1:] == [*rl, "3.0"]
    assert (
        "- rl, PPO: above random at 30 (+0.100 [0.100, 0.100]); below random at 10 (-0.100 [-0.100, -0.100])." in whole
    )
    # recent: 0.5 more than the regrets after 30
    assert "on the mean: random 0.700 dB, rl, PPO 0.600 dB." in whole


def test_the_page_says_how_many_networks_the_model_stands_on_and_how_good_it_is(whole):
    assert "10 of the 4,096 networks of study `bsd500` are trained" in whole
    assert "error is 0.050 dB [0.030, 0.070]" in whole and "tau 0.50 [0.10, 0.80]" in whole
    assert "sees how many tokens take each choice (" in whole and "sees counts alone" in whole
    assert "10 networks trained twice" not in whole and "0.036 dB [0.020, 0.100] (4 networks trained twice)" in whole
    assert "By now" not in whole and "invented" not in whole


@pytest.mark.usefixtures("_undrawn")
def test_a_model_that_cannot_tell_networks_apart_and_one_of_fewer_networks_are_named(tmp_path):
    facts = FACTS | {"tau": {"mean": 0.1, "low": -0.2, "high": 0.4}, "networks": 9, "training_db": None}
    text = write(tmp_path, results(), facts | {"view": ["choices"]})
    assert "**The model cannot tell networks apart: the interval of its tau holds 0." in text
    assert "**By now 10 are trained:** `python -m stages rehearse`" in text
    assert "no noise of a training is known, and none is drawn" in text
    assert "In the model the choices add up" in text


@pytest.mark.usefixtures("_undrawn")
def test_without_results_or_rehearsal_the_page_says_so(tmp_path):
    text = write(tmp_path, {})
    assert "0 of 18 jobs are done; of random networks 0 of 10." in text
    assert row(text, "one_shot")[3] == "not run"
    assert "Not run yet: `python -m stages rehearse`" in text and "png" not in text


@pytest.mark.usefixtures("_undrawn")
def test_where_trainings_differ_as_much_as_networks_the_page_says_so(tmp_path):
    again = [job | {"name": f"again-{job['seed']:02d}", "is_second": True} for job in RANDOM[:2]]
    found = results() | {f"again-{number:02d}": network(20.0 + number + 9) for number in range(2)}
    # differences of 9 dB: a standard deviation of 9 / sqrt(2); random networks have 3.03
    text = write(tmp_path, found, jobs=[*JOBS, *again])
    assert "a standard deviation of 3.028 dB; from one training of a network to the next it is 6.364 dB" in text
    assert "trainings differ as much as networks, so a percentile says little" in text


def test_places_that_are_printed_end_with_the_last():
    tries: rehearsed.Tries = {place: ([0.0], [0.0]) for place in (1, 10, 20, 30, 60)}
    assert rehearsed._shown({"random": tries}) == [10, 30, 60]
