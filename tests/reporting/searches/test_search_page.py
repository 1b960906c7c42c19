"""The page of the study, of all results and of some."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from scipy.stats import kendalltau

from nasir.files import read_csv
from nasir.reporting.searches import figures, page
from tests.reporting.searches.invented import JOBS, PLAN, RANKING, SEARCHES, cost, images, network, results

RANKINGS = "Can a search tell good networks?"


def write(folder: Path, found: dict[str, Any], plan: dict[str, Any] = PLAN) -> str:
    path = folder / "reports/search.md"
    page.write(path, plan, JOBS, found)
    return path.read_text()


def without(*starts: str) -> dict[str, Any]:
    return {name: result for name, result in results().items() if not name.startswith(starts)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def whole(folder: Path) -> str:
    """The page of all results."""
    return write(folder, results())


@pytest.fixture
def _undrawn(monkeypatch):
    """Figures without content, where a test is of the text."""
    for name in ("distribution", "rankings"):
        monkeypatch.setattr(figures, name, lambda *given: b"")
    monkeypatch.setattr(page.contract, "part", lambda module: SimpleNamespace(draw=lambda *given: None))


def row(text: str, part: str, first: str) -> list[str]:
    """The cells of the one table row of a part of the page that begins so."""
    inside = text.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    [line] = [line for line in inside.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_top_says_what_was_compared_and_which_search_is_better_than_chance(whole):
    top = whole.partition("## ")[0]
    assert top.startswith(
        "# Does a search find better networks than chance?\n\nbsd500, sigma 50, protocol `whole`, 4 test"
    )
    assert "190,000 to 210,000 parameters" in top and "150 seconds of processor time" in top
    # 28.5 dB is not below nine of ten, 29.25 dB below none; darts has 24.5 and 19
    assert "At or above the 90th percentile of random networks with every seed: one_shot.\n" in top
    assert "Unfinished" not in whole and "No strategy" not in whole


def test_a_study_by_steps_says_so(tmp_path, _undrawn):
    plan = {key: value for key, value in PLAN.items() if key != "seconds"} | {"steps": 600}
    assert "the same recipe and 600 steps of training." in write(tmp_path, results(), plan)


def test_second_trainings_say_how_much_of_the_spread_is_of_the_networks(tmp_path, _undrawn):
    # random networks have 20 to 29 dB (variance 9.1667); twice trained ones differ by 2, 4 and 6 dB
    again = {f"again-{n:02d}": network(20.0 + n + 2 * (n + 1)) for n in range(3)}
    jobs = [
        {"name": name, "search": None, "seed": n, "is_training": True, "is_second": True}
        for n, name in enumerate(again)
    ]
    path = tmp_path / "search.md"
    page.write(path, PLAN, [*JOBS, *jobs], results() | again)
    text = path.read_text()
    # variance (4 + 16 + 36) / 2 / 3 = 9.3333; chi-squared of three degrees has its tails at 0.2158 and 9.3484
    assert "3 of them were trained a second time" in text
    assert "standard deviation of 3.055 dB [1.731, 11.391]" in text and "about 0 % of the variance above" in text
    assert "| random 2 | 22.00 | 28.00 |" in text
    assert "10 networks: median 24.50 dB" in text  # of the first trainings alone
    assert "a second time" not in write(tmp_path, results())


def test_every_trained_network_is_a_row_of_the_file(folder, whole):
    rows = read_csv(folder / "reports/search/networks.csv")
    assert [one["network"] for one in rows[:2]] == ["random-00", "random-01"] and len(rows) == 14
    [found] = [one for one in rows if one["network"] == "found-one-shot-1"]
    assert (found["search"], found["seed"], found["psnr_db"]) == ("one_shot", "1", "29.25")
    assert (found["seconds"], found["v_psnr_db"], found["flops_per_pixel"]) == ("98.8", "29.75", "150000")
    assert found["tokens"] == "0 1"
    assert json.loads(found["genotype"]) == results()["found-one-shot-1"]["genotype"]


def test_where_none_reaches_the_percentile_with_every_seed_the_page_says_so(tmp_path, _undrawn):
    found = results() | {"found-one-shot-0": network(27.9)}  # eight of ten; the other seed stays at all
    text = write(tmp_path, found)
    assert "No strategy reached the 90th percentile of random networks with every seed." in text
    assert "At or above" not in text


def test_random_networks_have_their_median_range_and_deviation(whole):
    # of 20 to 29 in steps of one: sqrt(82.5 / 9)
    assert "10 networks: median 24.50 dB, 20.00 to 29.00 dB, standard deviation 3.028 dB." in whole


def test_each_search_has_a_row_with_its_seeds_and_what_it_cost(whole):
    # (60 + 180) / 2 seconds; the larger memory; of eight operations two skips, and all
    assert row(whole, "Strategies", "one_shot")[1:] == ["28.50, 29.25", "90, 100", "2.0", "350", "0.25"]
    assert row(whole, "Strategies", "darts, beta decay")[1:] == ["24.50, 19.00", "50, 0", "10.0", "512", "1.00"]


def test_each_network_is_compared_with_the_median_and_the_best_random_one(whole):
    assert row(whole, "Networks", "one_shot, seed 0")[1:] == [
        "28.50", "+4.500 [4.500, 4.500]", "-0.500 [-0.500, -0.500]", "201,234", "16", "4,321",
        "2 conv_3x3, 1 sep_3x3, 1 skip",
    ]  # fmt: skip
    assert row(whole, "Networks", "darts, beta decay, seed 1")[2:4] == [
        "-5.000 [-5.000, -5.000]",
        "-10.000 [-10.000, -10.000]",
    ]


def test_the_best_network_is_drawn(whole, folder):
    assert "The best of them, one_shot, seed 1:\n\n![width path and cell](search/best.png)" in whole
    assert (folder / "reports/search/best.svg").is_file()


def test_tau_is_scipys_and_only_of_searches_with_shared_weights(whole):
    expected = kendalltau(RANKING, range(10)).statistic
    for seed in (0, 1):
        cells = row(whole, RANKINGS, f"one_shot, seed {seed}")
        assert cells[1] == f"{expected:.2f}" == "0.64"  # eight of 45 pairs are the other way round
        low, high = map(float, re.findall(r"-?\d\.\d\d", cells[2]))
        assert low < expected < high
    assert "darts" not in whole.partition("## Can shared")[2].partition("\n## ")[0]


def test_the_settings_say_how_it_was_made(whole):
    assert "profile `small`, changed for all: search.steps=1200; search.sigmas=[50]." in whole
    assert "\n\nFor every search of one_shot: search.steps=900; strategy.finalists=0.\n\n" in whole
    assert "For every search of darts" not in whole
    assert row(whole, "How it was made", "darts, beta decay")[1:] == ["darts", "strategy.beta_decay=0.5", "0, 1"]
    assert row(whole, "How it was made", "one_shot")[1:] == ["one_shot", "none", "0, 1"]


def test_every_picture_is_there_and_opens(whole, folder):
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", whole)
    assert pictures == [
        "search/distribution.png",
        "search/best.png",
        "search/rankings.png",
    ]
    for name in pictures:
        with Image.open(folder / "reports" / name) as image:
            image.verify()


def test_the_same_results_give_the_same_bytes(whole, folder, tmp_path):
    assert write(tmp_path, results()) == whole
    for path in (folder / "reports/search").iterdir():
        assert (tmp_path / "reports/search" / path.name).read_bytes() == path.read_bytes(), path.name


def test_an_unfinished_study_says_so_and_judges_a_search_only_with_all_its_seeds(tmp_path, _undrawn):
    found = without("found-one-shot-1", "search-one-shot-1", "found-darts-beta-decay-1")
    text = write(tmp_path, found)
    assert "**Unfinished: 15 of 18 jobs are done.** `make study PLAN=bsd500` goes on." in text
    assert "At or above" not in text and "No strategy" not in text  # neither has both seeds
    assert row(text, "Strategies", "one_shot")[1:3] == ["28.50", "90"]
    assert "one_shot, seed 1" not in text


def test_one_search_with_all_its_seeds_is_judged_while_another_goes_on(tmp_path, _undrawn):
    text = write(tmp_path, without("found-darts-beta-decay-1"))
    assert "percentile of random networks with every seed: one_shot." in text


def test_percentiles_are_of_the_random_networks_that_are_there(tmp_path, _undrawn):
    text = write(tmp_path, without(*(f"random-{number:02d}" for number in range(5, 10))))
    assert row(text, "Strategies", "darts, beta decay")[2] == "100, 0"  # 24.5 and 19 among 20 to 24
    assert "5 networks: median 22.00 dB" in text
    assert RANKINGS not in text  # the ranking is of all ten


def test_a_ranking_is_compared_over_the_networks_that_have_been_trained(tmp_path, _undrawn, monkeypatch):
    monkeypatch.setattr(page, "RANKED", 5)
    text = write(tmp_path, without(*(f"random-{number:02d}" for number in range(1, 5))))
    assert "over 6 random networks:" in text
    assert row(text, RANKINGS, "one_shot, seed 0")[1] == "0.73"  # two of fifteen pairs are the other way round


@pytest.mark.parametrize("names", [(), ("random-00",), ("random-00", "search-one-shot-0", "found-one-shot-0")])
def test_before_two_random_networks_nothing_is_compared(tmp_path, names):
    text = write(tmp_path, {name: results()[name] for name in names})
    assert f"**Unfinished: {len(names)} of 18 jobs are done.**" in text
    assert "## How it was made" in text
    assert all(f"## {part}" not in text for part in ("Random", "Strategies", "Networks", "Can shared"))
    assert not [*(tmp_path / "reports/search").glob("*.png")]


def test_a_training_without_its_search_is_left_out(tmp_path, _undrawn):
    # the search is made again after a change of the plan, and the training of what it found before is not yet
    text = write(tmp_path, without("search-darts-beta-decay-0"))
    assert row(text, "Strategies", "darts, beta decay")[1] == "19.00"


def test_a_search_of_one_score_for_all_has_no_tau(tmp_path, _undrawn):
    text = write(tmp_path, results() | {"search-one-shot-0": cost(1.0, 1.0, [7.0] * 10)})
    assert row(text, RANKINGS, "one_shot, seed 0")[1:] == ["0.00", "[0.00, 0.00]"]


def test_the_jobs_are_those_of_the_plan():
    assert len(JOBS) == 10 + 2 * 2 * 2 and len(SEARCHES) == 8


def test_the_lines_of_the_distribution_are_the_median_and_what_is_enough(monkeypatch):
    drawn = {}

    def catch(figure):
        [axes] = figure.axes
        drawn.update({line.get_label(): line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2})
        return b""

    monkeypatch.setattr(figures, "to_png", catch)
    figures.distribution([images(20.0 + number) for number in range(10)], {})
    assert drawn == {"median of random": 24.5, "90th percentile": 28.0}  # nine of ten are not above 28


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_rankings_have_a_panel_for_each_search(monkeypatch, count):
    seen = {}

    def catch(figure):
        seen["shown"] = [axes.get_title(loc="left").replace("\n", ", ") for axes in figure.axes if axes.axison]
        return b""

    monkeypatch.setattr(figures, "to_png", catch)
    shared = {f"one_shot, fair, seed {number}": RANKING for number in range(count)}
    figures.rankings(list(range(10)), shared)
    assert seen["shown"] == list(shared)


def test_figures_are_png_files():
    drawn = figures.rankings([1.0, 2.0, 3.0], {"one": [1.0, 3.0, 2.0]})
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.format == "PNG"
