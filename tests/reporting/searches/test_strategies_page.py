"""The page of all strategies: what is there of the studies and of the rehearsal, and what is not."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scipy.stats import kendalltau

from nasir.reporting.searches import families, figures, rehearsed, strategies
from nasir.reporting.searches.judgement import judge
from nasir.reporting.searches.strategies import Study
from tests.reporting.searches.invented import JOBS, PLAN, RANDOM, RANKING, cost, images, network, results

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


def row(text: str, first: str, part: str = "## Space") -> list[str]:
    """The first row that begins so behind the beginning of a part."""
    line = next(line for line in text.partition(part)[2].splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_each_search_has_its_cost_what_it_found_and_its_place_among_random_networks(whole):
    tau = kendalltau(RANKING, range(10)).statistic
    cells = row(whole, "one_shot")
    # random networks have 20 to 29 dB: 28.5 is not below nine of ten, 29.25 not below any; 60 and 180 seconds
    assert cells[1:8] == ["one_shot, evolution", "2 of 2", "120", "1.0", "350", "28.50, 29.25", "90, 100"]
    assert cells[8].startswith(f"{tau:.2f} [")
    # five times the seconds of the search that takes the least
    assert row(whole, "darts, beta decay")[1:] == [
        "darts",
        "2 of 2",
        "600",
        "5.0",
        "512",
        "24.50, 19.00",
        "50, 0",
        "none",
    ]


def test_what_was_not_run_says_so_and_a_random_network_stands_first(whole):
    assert row(whole, "rl")[1:] == ["rl", "0 of 1", "not run", "", "", "", "", ""]
    assert row(whole, "a random network")[2:] == ["10 networks", "0", "0", "0", "24.50 (20.00 to 29.00)", "50", ""]
    assert "Highest by mean percentile: one_shot, 90, 100 by seed." in whole


def test_the_regret_is_a_mean_of_the_tries_and_its_gain_on_random_is_paired(whole):
    # means of 0.2 and 0.4, 0.1 and 0.3; the interval of two values is their range
    random, rl = ("0.300 [0.200, 0.400]", "0.200 [0.100, 0.300]"), ("0.400 [0.300, 0.500]", "0.100 [0.000, 0.200]")
    assert row(whole, "random", "## Searches on a table")[1:] == [*random, "1.2"]
    assert row(whole, "rl, PPO", "## Searches on a table")[1:] == [*rl, "3.0"]
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


def test_at_equal_cost_the_best_of_several_runs_stands_beside_one_long_one(whole):
    # within 600 s: both runs of 120 s of one_shot, whose better one has 29.25 dB and no random network above it; one of darts, on
    # the mean 21.75 dB, with the percentiles 50 and 0; six trainings of 98.76 s, the best of which is on the mean the
    # (6 * 11 / 7)-th of ten, counted from 1: 19 + 66 / 7 dB
    part = "At equal cost, 600 seconds"
    assert row(whole, "one_shot", part)[1:] == ["2", "240", "29.25", "100"]
    assert row(whole, "darts, beta decay", part)[1:] == ["1", "600", "21.75", "25"]
    assert row(whole, "no search: random networks trained whole", part)[1:] == ["6", "593", "28.43", "94"]


def test_in_short_a_row_is_a_way_to_search(whole):
    assert row(whole, "one_shot, evolution", "## In short")[1:] == ["120", "28.88 (28.50 to 29.25)", "95 (90 to 100)"]
    assert row(whole, "darts, changed", "## In short")[1:] == ["600", "21.75 (19.00 to 24.50)", "25 (0 to 50)"]


def test_in_short_seconds_are_told_in_those_of_darts_and_regrets_beside_them():
    random = [images(20.0 + number) for number in range(10)]
    found = {"darts": [(200.0, 24.5)], "rl, ppo": [(300.0, 28.5), (500.0, 29.0)]}
    ways = {
        name: [judge(name, 0, network(psnr), cost(seconds, 1.0, None), random) for seconds, psnr in those]
        for name, those in found.items()
    }
    tries = {
        name: {100: (regrets, [0.0]), 1000: ([0.1, 0.1], [0.0])}
        for name, regrets in {"rl, PPO": [0.2, 0.4], "evolution": [0.5, 0.7]}.items()
    }
    text = families.short({"irnas": ways, "clearer": {"darts": []}}, tries)
    assert row(text, "darts", "## In short")[1:] == ["200 (1.0)", "24.50", "50", "", "", "", "", ""]
    assert row(text, "rl, ppo", "## In short")[1:4] == ["400 (2.0)", "28.75 (28.50 to 29.00)", "95 (90 to 100)"]
    assert row(text, "rl, ppo", "## In short")[7:] == ["0.300", "0.100"]
    assert row(text, "one_shot, evolution", "## In short")[1:] == ["", "", "", "", "", "", "0.600", "0.100"]
    assert families.short({"irnas": {"darts": []}}, tries) == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("darts", None, []), "darts"),
        (("darts", None, ["space.partial=2"]), "darts, changed"),
        (("one_shot", "random", ["strategy.selection=random"]), "one_shot, random"),
        (("rl", "ppo", ["strategy.auxiliary=0"]), "rl, ppo, changed"),
    ],
)
def test_a_way_is_told_by_what_a_plan_changes(given, expected):
    assert families.way(*given) == expected


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
