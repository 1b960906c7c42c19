"""The candidates, the rule that stands in for hand-picking, and what is kept."""

import math

import numpy as np
import pytest
import torch

from nasir.data.camera import camera, sim1800
from nasir.data.camera.output import to_srgb
from nasir.data.camera.realism import REASONS, gradient_energy, rejection, saturated_share
from nasir.data.camera.sim1800 import generate
from nasir.data.pairs.alignment import psnr


def picture(seed: int, height: int = 80, width: int = 92) -> np.ndarray:
    """Blotches of several sizes, brighter to the right, uint8."""
    generator = np.random.default_rng(seed)
    total = np.linspace(0, 90, width)[None, :, None] + 40
    for cell in (4, 8, 16):
        coarse = generator.uniform(0, 60, size=(height // cell + 1, width // cell + 1, 3))
        total = total + coarse.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    return np.clip(total, 0, 255).astype(np.uint8)


IMAGES = {f"{name}.png": picture(seed) for seed, name in enumerate("abc")}


def run(seed: int = 0, log=lambda step, values: None, **changes) -> sim1800.Selection:
    settings = {"candidates": 60, "keep": 10, "side": 24, "factor": 2}
    return generate(IMAGES, **(settings | changes), seed=seed, log=log)


RUN = run()


@pytest.mark.parametrize(
    ("decibels", "saturated", "expected"),
    [
        (20.0, 0.05, None),
        (36.0, 0.0, None),
        (19.99, 0.0, "psnr_low"),
        (36.01, 0.0, "psnr_high"),
        (math.inf, 0.0, "psnr_high"),
        (28.0, 0.051, "saturated"),
        (19.0, 0.9, "psnr_low"),
    ],
)
def test_rule_accepts_20_to_36_db_and_up_to_5_percent_at_full_scale(decibels, saturated, expected):
    assert rejection(decibels, saturated) == expected


def test_psnr_of_an_error_of_10_everywhere_is_28_13_db():
    # 10 log10(255^2 / 100) = 28.1308
    clean = np.full((4, 4, 3), 200, dtype=np.uint8)

    assert psnr(clean, clean - 10) == pytest.approx(28.1308, abs=1e-4)
    assert psnr(clean, clean + 10) == pytest.approx(28.1308, abs=1e-4)
    assert psnr(clean, clean) == math.inf


def test_a_pixel_is_saturated_when_one_channel_is():
    image = np.zeros((2, 4, 3), dtype=np.uint8)
    image[0, 0, 1] = image[1, 2] = 255
    image[0, 3] = 254

    assert saturated_share(image) == 2 / 8


def test_gradient_energy_of_a_ramp_is_the_sum_of_its_squared_slopes():
    # 0.01 a column and 0.02 a row: 0.0001 + 0.0004.
    ramp = 0.01 * torch.arange(9.0)[None] + 0.02 * torch.arange(7.0)[:, None]
    images = torch.stack([ramp.expand(3, 7, 9), torch.full((3, 7, 9), 0.3)])

    assert gradient_energy(images).tolist() == pytest.approx([0.0005, 0.0], abs=1e-9)


def test_counts_add_up_and_a_fifth_of_the_candidates_is_flat():
    assert RUN.counts["candidates"] == 60 and RUN.counts["kept"] == 10
    assert RUN.counts["flat"] == 12  # 60 numbers: the 20th percentile lies between the 12th and the 13th
    assert RUN.counts["accepted"] + sum(RUN.counts[reason] for reason in REASONS) == 60


def test_kept_pairs_pass_the_rule_and_their_records_say_how_they_were_made():
    for pair in RUN.pairs:
        record = pair.record
        assert pair.clean.shape == pair.degraded.shape == (24, 24, 3)
        assert pair.clean.dtype == pair.degraded.dtype == np.uint8
        assert pair.name == f"{record['image']}/{record['index']}"
        assert record["psnr"] == psnr(pair.clean, pair.degraded) and 20 <= pair.psnr <= 36
        assert record["saturated"] == saturated_share(pair.degraded) <= 0.05
        assert pair.settings == camera.draw(record["image"], record["index"], 0)
        assert record["top"] % 2 == record["left"] % 2 == 0


def test_a_pair_is_the_cameras_picture_of_the_place_in_its_record():
    [pair] = RUN.pairs[3:4]
    place = pair.candidate
    light = camera.prepare(IMAGES[place.image], 2)[:, place.top : place.top + 26, place.left : place.left + 26][None]

    degraded = camera.shoot(light, [pair.settings], [(place.image, place.index, 0)])[0]
    clean = (to_srgb(camera.reference(light, [pair.settings]))[0] * 255).round()

    assert np.array_equal(degraded.permute(1, 2, 0).numpy(), pair.degraded)
    assert np.array_equal(clean.permute(1, 2, 0).numpy(), pair.clean)


def test_same_seed_same_bytes_and_another_seed_others():
    again, other = run(), run(seed=1)

    assert [pair.name for pair in again.pairs] == [pair.name for pair in RUN.pairs]
    for one, two in zip(RUN.pairs, again.pairs, strict=True):
        assert one.record == two.record
        assert np.array_equal(one.clean, two.clean) and np.array_equal(one.degraded, two.degraded)
    assert [pair.name for pair in other.pairs] != [pair.name for pair in RUN.pairs]


def test_which_are_kept_is_chance_and_not_the_order_of_drawing():
    # All accepted, and ten of them: the ten are a part of all, and not its first ten.
    every = [pair.candidate.index for pair in run(keep=RUN.counts["accepted"]).pairs]
    chosen = [pair.candidate.index for pair in RUN.pairs]

    assert chosen == sorted(chosen) and set(chosen) < set(every)
    assert chosen != every[:10]


def test_candidates_spread_over_images_and_over_all_even_places():
    # 40x46 prepared, 26 needed: tops 0 to 14 and lefts 0 to 20 in steps of 2. 3,000 draws: 1,000 an image, give or take 26.
    drawn = sim1800._place(IMAGES, 3000, 24, 2, 0)

    assert {one.top for one in drawn} == set(range(0, 15, 2))
    assert {one.left for one in drawn} == set(range(0, 21, 2))
    assert np.abs(np.unique([one.image for one in drawn], return_counts=True)[1] - 1000).max() < 5 * 26


def test_log_hears_of_every_candidate():
    heard = []

    run(log=lambda step, values: heard.append((step, values)))

    assert heard[-1] == (60, {"accepted": RUN.counts["accepted"], "rejected": 60 - RUN.counts["accepted"]})


def test_too_small_images_are_named():
    with pytest.raises(ValueError, match=r"at least 26x26 after subsampling by 2.* got tiny.png \(25x30\)"):
        generate(IMAGES | {"tiny.png": picture(9, 50, 60)}, candidates=5, keep=1, side=24, factor=2, seed=0, log=print)


def test_too_few_accepted_patches_stop_with_their_number():
    with pytest.raises(
        ValueError, match=r"expected at least 59 accepted patches of 60 .* got \d+ \(rejected: flat 12, .*\)"
    ):
        run(keep=59)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"keep": 61}, r"keep must lie in \[1, candidates = 60\], got 61"), ({"side": 4}, "side must be 8 or more")],
)
def test_numbers_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)


def test_an_empty_folder_is_refused():
    with pytest.raises(ValueError, match="expected at least one image, got none"):
        generate({}, candidates=5, keep=1, side=24, factor=2, seed=0, log=print)
