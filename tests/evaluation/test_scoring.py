"""Scores by a plan: by hand, which images a protocol has, and whose seconds they are."""

import pytest
import torch
from torch import Tensor

from nasir.data.pictures.collection import Pair
from nasir.evaluation import timing
from nasir.evaluation.protocols import Score
from nasir.evaluation.scoring import MEASURES, Scored, draw, score


def brighten(noisy: Tensor, sigma: float) -> Tensor:
    """0.1 too bright, or 0.01 for the larger image."""
    return torch.full_like(noisy, 0.6 if noisy.shape[-1] == 40 else 0.51)


def grey(*names: str) -> dict[str, Tensor]:
    """Images of 0.5; the first is 40 pixels wide, the others 50."""
    return {name: torch.full((1, 30, 50 if number else 40), 0.5) for number, name in enumerate(names)}


def run(denoiser, images, plan, tell=lambda protocol, scored: None):
    return score(denoiser, images, plan, sigma=30, seed=0, batch=4, tell=tell)


def test_every_image_is_scored_under_every_protocol_that_is_planned_for_it():
    found = run(brighten, grey("a", "b"), {"whole": ["a", "b"], "half": ["b"]})

    # An error of 0.1 is 20 dB, one of 0.01 is 40 dB: 30 dB in the mean, not that of the mean error, 22.97 dB.
    assert list(found) == ["whole", "half"]
    assert [(one.name, one.psnr_db) for one in found["whole"].scores] == [
        ("a", pytest.approx(20, abs=1e-4)),
        ("b", pytest.approx(40, abs=1e-3)),
    ]
    assert found["whole"].means()["psnr_db"] == pytest.approx(30, abs=1e-3)
    # Without variance SSIM is (2 x y + C1) / (x^2 + y^2 + C1), C1 = 1e-4; of a 0.6001 / 0.6101.
    assert found["whole"].scores[0].ssim_valid == pytest.approx(0.6001 / 0.6101, abs=1e-6)


def test_images_that_a_protocol_does_not_have_are_not_scored_under_it():
    seen = []

    def record(noisy: Tensor, sigma: float) -> Tensor:
        seen.append((tuple(noisy.shape[-2:]), sigma))
        return noisy

    found = run(record, grey("a", "b", "c"), {"half": ["c", "a"], "whole": ["c"]})

    # The order is that of the images: a is halved alone, b is not looked at.
    assert seen == [((15, 20), 30), ((15, 25), 30), ((30, 50), 30)]
    assert [[one.name for one in scored.scores] for scored in found.values()] == [["a", "c"], ["c"]]


def test_scores_are_told_as_they_come():
    told: list[tuple[str, Score]] = []

    found = run(brighten, grey("a", "b"), {"whole": ["a", "b"], "half": ["b"]}, lambda *news: told.append(news))

    assert [(protocol, one.name) for protocol, one in told] == [("whole", "a"), ("whole", "b"), ("half", "b")]
    assert [one for _, one in told] == [*found["whole"].scores, *found["half"].scores]


def test_seconds_are_summed_and_one_restoration_serves_two_protocols(monkeypatch):
    clock = {"now": 0.0, "calls": 0}
    monkeypatch.setattr(timing, "perf_counter", lambda: clock["now"])

    def slow(noisy: Tensor, sigma: float) -> Tensor:
        clock["calls"] += 1
        clock["now"] += 2.0 if noisy.shape[-2] == 30 else 0.5
        return noisy

    images = {name: torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0)) for name in ("a", "b", "c")}
    plan = {"whole": ["a", "b", "c"], "whole+y": ["a", "b", "c"], "half": ["a", "b"]}
    found = run(slow, images, plan)

    # 2 s for each of three images, 0.5 s for each of two halves; the luma's restorations are those of `whole`.
    assert {protocol: scored.seconds for protocol, scored in found.items()} == {
        "whole": 6.0,
        "whole+y": 6.0,
        "half": 1.0,
    }
    assert clock["calls"] == 3 + 2


def test_pairs_are_scored_against_their_clean_image():
    pair = Pair(clean=torch.full((3, 30, 40), 0.5), degraded=torch.full((3, 30, 40), 0.4))

    found = score(
        lambda noisy, sigma: noisy,
        {"a": pair},
        {"whole": ["a"]},
        sigma=0,
        seed=0,
        batch=4,
        tell=lambda protocol, one: None,
    )

    assert found["whole"].scores[0].psnr_db == pytest.approx(20, abs=1e-4)


def test_rows_begin_with_what_they_are_told_to():
    scored = Scored(scores=[Score(name="a", psnr_db=30.0, ssim_zero_padded=0.75, ssim_valid=0.5)])

    assert scored.rows(method="tv", protocol="half") == [
        {"method": "tv", "protocol": "half", "name": "a", "psnr_db": 30.0, "ssim_zero_padded": 0.75, "ssim_valid": 0.5}
    ]
    assert tuple(scored.means()) == MEASURES


NAMES = [f"test/{number:02}" for number in range(20)]


def test_a_protocol_without_a_number_has_all_images_in_their_order():
    assert draw(["half", "whole+y"], ["b", "a"]) == {"half": ["b", "a"], "whole+y": ["b", "a"]}


def test_a_number_draws_as_many_images_and_always_the_same():
    plan = draw(["whole:5", "half:5", "overlap:50"], NAMES)

    assert plan["whole"] == plan["half"] == sorted(plan["whole"]) != NAMES[:5]
    assert len(set(plan["whole"])) == 5 and set(plan["whole"]) < set(NAMES)
    assert plan["overlap"] == NAMES  # there are no more
    assert draw(["whole:5"], NAMES) == {"whole": plan["whole"]}


@pytest.mark.parametrize("texts", [["whole:3", "whole:7"], ["whole:7", "whole:3"], ["whole:7", "whole:7"]])
def test_of_a_protocol_that_stands_there_twice_the_larger_draw_counts(texts):
    assert draw(texts, NAMES) == draw(["whole:7"], NAMES)


@pytest.mark.parametrize("texts", [["whole", "whole:7"], ["whole:7", "whole"]])
def test_all_images_are_more_than_a_draw(texts):
    assert draw(texts, NAMES) == {"whole": NAMES}


@pytest.mark.parametrize("text", ["whole:0", "whole:ten", "whole:-3", "whole:2.5"])
def test_a_number_of_images_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=f"reads NAME:NUMBER, as in whole:50, got '{text}'"):
        draw([text], NAMES)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match=r"protocol must be one of \['whole', .*got 'third'"):
        draw(["third:5"], NAMES)
