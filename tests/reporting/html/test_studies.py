import pytest
from study_folder import NETWORKS, write_study

from nasir.reporting.html import studies


def test_a_second_training_stays_away_and_random_networks_stand_first(tmp_path):
    write_study(tmp_path, "search-mine", NETWORKS)

    [study] = studies.read(tmp_path)

    assert (study.name, study.about) == ("search-mine", "bsd500, sigma 50.\n\n**Unfinished.**")
    assert [row["network"] for row in study.rows] == ["random-00", "random-01", "random-02", "found-one-shot-0"]


def test_a_study_without_two_random_networks_or_a_page_is_none(tmp_path):
    write_study(tmp_path, "search-one", NETWORKS[:2])
    write_study(tmp_path, "search-two", NETWORKS)
    (tmp_path / "search-two.md").unlink()

    assert studies.read(tmp_path) == []


def test_a_network_has_the_colour_of_its_strategy_and_those_by_hand_have_one_together(tmp_path):
    given = [("given-all-parallel", "all parallel", 100, 25.0), ("given-all-fusion", "all fusion", 100, 25.0)]
    write_study(tmp_path, "search", [*NETWORKS, *given, ("found-rl-no-teacher-0", "rl, no teacher", 100, 25.0)])

    *_, against = studies.charts(studies.read(tmp_path)[0])

    colours = against["layer"][-1]["encoding"]["color"]["scale"]["domain"]
    assert colours == ["one_shot", "given by hand", "rl"]


def test_the_median_and_the_percentile_are_those_of_random_networks(tmp_path):
    # of 25.0, 25.1 and 25.2 the middle is 25.1; 90 % of three are reached at the third alone
    write_study(tmp_path, "search", NETWORKS)

    guides, *_ = studies.charts(studies.read(tmp_path)[0])[0]["layer"]

    marks = {row["guide"]: row["psnr"] for row in guides["data"]["values"]}
    assert marks == pytest.approx({"median of random": 25.1, "90th percentile": 25.2})


def test_none_beats_the_networks_on_the_line_at_the_same_or_a_lower_cost():
    # 150 parameters: 25.3 beats 25.1 at the same cost and 25.2 at a higher one; 100 parameters cost least.
    rows = [
        {"parameters": parameters, "psnr": psnr}
        for parameters, psnr in ((150, 25.1), (200, 25.2), (100, 25.0), (150, 25.3), (300, 25.4))
    ]

    assert studies.front(rows, "parameters") == [
        {"parameters": 100, "psnr": 25.0},
        {"parameters": 150, "psnr": 25.3},
        {"parameters": 300, "psnr": 25.4},
    ]
