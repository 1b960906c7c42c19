import json
import math
from pathlib import Path

import pytest
from small_study import GENOTYPE, WHOLE, shifted, write_cell, write_reason

from nasir.files import write_json
from nasir.reporting import cells


def test_a_value_is_the_mean_over_images_with_its_interval(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE, "half": {"a": 24.0, "b": 25.0}})

    result = cells.read(tmp_path, "denoise", "irnas", 50, [0])

    whole = result.value("whole", "psnr_db")
    assert whole.mean == pytest.approx(26.5)  # (25 + 26 + 27 + 28) / 4
    assert 25 <= whole.interval.low < 26.5 < whole.interval.high <= 28
    assert (whole.images, result.images, whole.spread.std) == (4, 4, None)
    assert result.value("half", "psnr_db").images == 2
    assert result.value("overlap", "psnr_db") is None


def test_seeds_are_averaged_image_by_image_and_their_means_spread(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE}, seed=0)
    write_cell(tmp_path, "irnas", {"whole": shifted(0.4, spread=1)}, seed=1)

    result = cells.read(tmp_path, "denoise", "irnas", 50, [0, 1])

    # Image a: (25 + 26.4) / 2; the seeds' means are 26.5 and 26.9, so their standard deviation is 0.4 / sqrt(2).
    assert result.scores["whole"]["psnr_db"]["a"] == pytest.approx(25.7)
    value = result.value("whole", "psnr_db")
    assert value.mean == pytest.approx(26.7)
    assert value.spread.std == pytest.approx(0.4 / math.sqrt(2))
    assert result.runs == ("seed 0", "seed 1")


def test_a_cell_that_could_not_run_keeps_its_reason(tmp_path: Path):
    write_reason(tmp_path, "bm3d", "the package bm3d is not installed")

    result = cells.read(tmp_path, "denoise", "bm3d", 50, [0])

    assert result.reason == "the package bm3d is not installed"
    assert result.value("whole", "psnr_db") is None


def test_a_seed_that_did_not_run_is_named_beside_those_that_did(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE}, seed=0)
    write_reason(tmp_path, "irnas", "out of memory", seed=1)

    result = cells.read(tmp_path, "denoise", "irnas", 50, [0, 1])

    assert result.reason is None and result.runs == ("seed 0",)
    assert result.gaps == ("seed 1: out of memory",)


def test_draws_and_seeds_are_all_averaged_and_spread(tmp_path: Path):
    # Means over images: draw 1 has 26.5 and 26.9, draw 4 has 27.3 and 27.7.
    for draw, seed, decibels in ((1, 0, 0.0), (1, 1, 0.4), (4, 0, 0.8), (4, 1, 1.2)):
        write_cell(tmp_path, "irnas-r2", {"whole": shifted(decibels)}, sigma=30, seed=seed, draw=draw)

    result = cells.read(tmp_path, "denoise", "irnas-r2", 30, [0, 1], draws=[1, 4])

    assert result.runs == ("draw 1, seed 0", "draw 1, seed 1", "draw 4, seed 0", "draw 4, seed 1")
    assert result.scores["whole"]["psnr_db"]["a"] == pytest.approx(25.6)  # (25 + 25.4 + 25.8 + 26.2) / 4
    value = result.value("whole", "psnr_db")
    assert value.mean == pytest.approx(27.1)
    # Squared deviations 0.36, 0.04, 0.04, 0.36 over 4 - 1.
    assert value.spread.std == pytest.approx(math.sqrt(0.8 / 3))


def test_a_single_draw_is_named_by_its_seed(tmp_path: Path):
    write_cell(tmp_path, "irnas-r1", {"whole": WHOLE}, draw=0)

    assert cells.read(tmp_path, "denoise", "irnas-r1", 50, [0], draws=[0]).runs == ("seed 0",)


def test_a_draw_that_did_not_run_is_named_beside_those_that_did(tmp_path: Path):
    write_cell(tmp_path, "irnas-r2", {"whole": WHOLE}, draw=0)
    write_reason(tmp_path, "irnas-r2", "nothing to rewire", draw=1)

    result = cells.read(tmp_path, "denoise", "irnas-r2", 50, [0], draws=[0, 1])

    assert (result.runs, result.gaps) == (("draw 0, seed 0",), ("draw 1, seed 0: nothing to rewire",))


def test_a_missing_cell_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"expected a file at .*trained/denoise/irnas-50-seed0/cell\.json"):
        cells.read(tmp_path, "denoise", "irnas", 50, [0])


def test_a_cell_of_another_seed_is_refused(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE})
    path = tmp_path / "trained" / "denoise" / "irnas-50-seed0" / "cell.json"
    write_json(path, json.loads(path.read_text()) | {"seed": 3})

    with pytest.raises(ValueError, match=r"must be of irnas, sigma 50, seed 0, draw 0, got irnas, sigma 50, seed 3"):
        cells.read(tmp_path, "denoise", "irnas", 50, [0])


def test_seeds_scored_on_other_images_are_refused(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE}, seed=0)
    write_cell(tmp_path, "irnas", {"whole": {"a": 25.0}}, seed=1)

    with pytest.raises(ValueError, match="scored on the same images under the same protocols, got different ones"):
        cells.read(tmp_path, "denoise", "irnas", 50, [0, 1])


def test_a_score_that_is_not_finite_is_named(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE | {"b": math.inf}})

    with pytest.raises(ValueError, match=r"psnr_db of 'b' under 'whole' must be finite, got inf"):
        cells.read(tmp_path, "denoise", "irnas", 50, [0])


def test_under_some_protocols_only_the_images_count_that_all_of_them_have(tmp_path: Path):
    half = {"b": 24.0, "c": 25.0, "d": 29.0}
    scores = {"whole": WHOLE, "half": half, "overlap": {"a": 25.5, "b": 26.5, "c": 28.5}, "clipped8": {"a": 20.0}}
    for seed, higher in ((0, 0.0), (1, 0.4)):
        moved = {name: {image: psnr + higher for image, psnr in values.items()} for name, values in scores.items()}
        write_cell(tmp_path, "irnas", moved, seed=seed)
    result = cells.read(tmp_path, "denoise", "irnas", 50, [0, 1])

    found = result.under(("whole", "half", "overlap", "adjacent"))

    # b and c alone are in all three: 26 and 27, 24 and 25, 26.5 and 28.5; the seeds' mean is 0.2 higher.
    assert list(found.scores) == ["whole", "half", "overlap"]  # `adjacent` was not scored, `clipped8` not asked for
    assert found.scores["half"]["psnr_db"] == pytest.approx({"b": 24.2, "c": 25.2})
    means = {protocol: found.value(protocol, "psnr_db").mean for protocol in found.scores}
    assert means == pytest.approx({"whole": 26.7, "half": 24.7, "overlap": 27.7})
    assert found.value("whole", "ssim_valid").mean == pytest.approx(0.75)
    assert {found.value(protocol, "psnr_db").images for protocol in found.scores} == {2}
    assert (found.images, found.runs) == (4, ("seed 0", "seed 1"))
    assert result.value("whole", "psnr_db").images == 4  # the result itself keeps all


def test_under_protocols_that_were_not_scored_there_is_nothing(tmp_path: Path):
    write_cell(tmp_path, "irnas", {"whole": WHOLE})

    found = cells.read(tmp_path, "denoise", "irnas", 50, [0]).under(("half", "overlap"))

    assert (found.scores, found.value("half", "psnr_db")) == ({}, None)


def test_genotypes_are_named_once(tmp_path: Path):
    for seed in (0, 1, 2):
        write_cell(tmp_path, "irnas", {"whole": WHOLE}, seed=seed)
    write_cell(tmp_path, "noisy", {"whole": WHOLE})
    path = tmp_path / "trained" / "denoise" / "irnas-50-seed1" / "cell.json"
    write_json(path, json.loads(path.read_text()) | {"genotype_sha256": "b7" * 32})

    assert cells.read(tmp_path, "denoise", "irnas", 50, [0, 1, 2]).genotypes == (GENOTYPE, "b7" * 32)
    assert cells.read(tmp_path, "denoise", "noisy", 50, [0]).genotypes == ()


def test_a_draw_is_named_behind_the_noise_level_but_for_the_first():
    assert cells.folder_name("irnas", 50.0, 0) == "irnas-50-seed0"
    assert cells.folder_name("irnas-r2", 30, 2, draw=1) == "irnas-r2-30-draw1-seed2"


def test_a_cell_is_found_among_those_that_were_trained_or_scored(tmp_path: Path):
    (tmp_path / "scored" / "denoise-bm3d-0" / "bm3d-50-seed0").mkdir(parents=True)

    assert cells.find(tmp_path, "denoise", "bm3d-50-seed0") == tmp_path / "scored/denoise-bm3d-0/bm3d-50-seed0"
    assert cells.find(tmp_path, "camera", "bm3d-50-seed0") == tmp_path / "trained/camera/bm3d-50-seed0"
