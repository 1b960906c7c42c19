"""What a study says of sizes, of networks given by hand, and of the weights of columns."""

import io
import math
from typing import Any

import pytest
from PIL import Image

from nasir.reporting.searches import figures
from nasir.reporting.searches.choices import choices, weights
from nasir.reporting.searches.judgement import judge, width
from nasir.reporting.searches.sizes import by_hand, explained, line_of, trade_off
from tests.reporting.searches.invented import cost, images, network

RANDOM = [images(20.0 + number) for number in range(10)]


def sized(mean: float, parameters: int) -> dict[str, Any]:
    return network(mean) | {"parameters": parameters}


@pytest.mark.parametrize(
    ("sizes", "words"),
    [({"width": 16, "stem_channels": 3}, "16"), ({"widths": [16, 32], "stem_blocks": 2}, "16-32"), ({}, "")],
)
def test_a_width_is_that_of_a_cell_or_those_of_the_branches(sizes, words):
    assert width(sizes) == words


def test_networks_given_by_hand_stand_among_random_ones():
    text = by_hand({"all skips": network(25.5)}, RANDOM)
    # six of ten are not above; the lower of the two middle ones has 24, on every image as much less
    row = "| all skips | 25.50 | 60 | +1.500 [1.500, 1.500] | 201,234 | 150,000 | 16 | 4,321 |"
    assert row in text.splitlines()


def test_sizes_are_compared_where_they_differ(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "trade_off", lambda points: drawn.append(points) or b"")
    random = {"a": sized(20.0, 1000), "b": sized(21.0, 1149)}
    assert trade_off(tmp_path / "page.md", random, {}, {}) == ""
    one = judge("darts", 0, sized(23.0, 1150), cost(1, 1, None), RANDOM)
    text = trade_off(tmp_path / "page.md", random, {"darts": [one]}, {"all": sized(22.0, 900)})
    assert "](page/trade_off.png)" in text
    assert drawn == [
        {"random": [(1000, 150000, 20.0), (1149, 150000, 21.0)], "darts": [(1150, 150000, 23.0)],
         "given by hand": [(900, 150000, 22.0)]}
    ]  # fmt: skip


def costing(mean: float, operations: int) -> dict[str, Any]:
    return network(mean) | {"flops_per_pixel": operations}


# a dB for twice as many, with 0.1, -0.1, -0.1 and 0.1 dB left, which the line of least squares leaves, too
LARGER = {str(n): costing(20 + n + rest, 1000 * 2**n) for n, rest in enumerate((0.1, -0.1, -0.1, 0.1))}


def test_what_the_operations_of_random_networks_explain_is_taken_off():
    line = line_of(list(LARGER.values()))
    assert line is not None
    assert (line.doubling, line.most) == (pytest.approx(1.0), 8000)
    assert line.rest == pytest.approx([0.1, -0.1, -0.1, 0.1]) and line.spread == pytest.approx((0.04 / 2) ** 0.5)
    # the variance is that of 0, 1, 2, 3, and a hundredth
    assert line.explained == pytest.approx(1.25 / 1.26)
    small, large = costing(20.55, 1000), costing(23.95, 16000)
    assert (line.above(small), line.above(large)) == (pytest.approx(0.55), pytest.approx(-0.05))
    assert (line.percentile(small), line.percentile(large)) == (100, 50)
    assert line.is_beyond(large) and not line.is_beyond(small)
    assert (
        "explain 99 % of the variance between them (+1.000 dB for twice as many) and rank them with a tau of 1.00"
        in explained(list(LARGER.values()))
    )


def test_a_network_that_is_only_larger_does_not_stand_out_at_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "trade_off", lambda points: b"")
    found = [
        judge("rl", seed, costing(mean, size), cost(1, 1, None), RANDOM)
        for seed, mean, size in ((0, 23.95, 16000), (1, 20.55, 1000))
    ]
    text = trade_off(
        tmp_path / "page.md",
        {n: one | {"parameters": 100 + 100 * int(n)} for n, one in LARGER.items()},
        {"rl": found},
        {},
    )
    assert "| rl | -0.050*, +0.550 | 50, 100 |" in text.splitlines()


def test_networks_of_one_size_are_not_judged_by_it():
    assert line_of([network(20.0), network(21.0), network(22.0)]) is None and explained([network(20.0)] * 3) == ""
    assert line_of(list(LARGER.values())[:2]) is None


HISTORY: list[list[Any]] = [
    [1, "fusion_1", 0.5], [1, "fusion_2", 0.5], [1, "fusion_share", 0.5], [1, "choice_entropy", math.log(2)],
    [2, "fusion_1", 0.95], [2, "fusion_2", 0.3], [2, "choice_entropy", math.log(2) / 4], [2, "discretisation_gap", 0.25],
]  # fmt: skip


def test_the_weights_of_columns_are_read_from_the_history():
    assert weights(HISTORY) == {1: [(1, 0.5), (2, 0.95)], 2: [(1, 0.5), (2, 0.3)]}


def test_the_page_says_how_many_columns_are_decided(tmp_path):
    searched = {"darts, seed 0": {"history": HISTORY}, "one_shot, seed 0": {"history": []}, "old": {}}
    text = choices(tmp_path / "page.md", searched)
    assert "| darts, seed 0 | 1 of 2 | 0.250 | 1 F | +0.250 |" in text.splitlines()
    assert "one_shot" not in text and (tmp_path / "page/weights.png").stat().st_size > 0


def test_without_weights_of_columns_nothing_is_said(tmp_path):
    assert choices(tmp_path / "page.md", {"darts": {"history": [[1, "choice_entropy", 1.0]]}, "old": {}}) == ""
    assert not (tmp_path / "page").exists()


def test_the_figures_are_pictures():
    points = {"random": [(1.0, 2.0, 3.0)], **{f"search {n}": [(n, 2.0 * n, 3.0 + n)] for n in range(1, 10)}}
    for png in (figures.trade_off(points), figures.weights({"a": weights(HISTORY), "b": weights(HISTORY)})):
        assert Image.open(io.BytesIO(png)).width > 500
