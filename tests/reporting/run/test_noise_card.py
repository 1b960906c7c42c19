"""Strength and correlation of noise whose law is known."""

import io

import numpy as np
import pytest
from PIL import Image

from nasir.reporting.run.noise_card import REACH, add_gaussian, describe, draw


def grey(value: float, side: int = 200) -> np.ndarray:
    return np.full((side, side), value, dtype=np.uint8)


def test_white_noise_has_one_strength_and_no_correlation():
    # 2 x 40,000 values: a deviation is known to 1 / sqrt(80,000) = 0.35 %, a correlation to 0.0035.
    pairs = [(grey(40), grey(40)), (grey(200), grey(200))]

    found = describe(add_gaussian(pairs, 20.0, 0))

    assert found["images"] == 2 and sum(found["count"]) == 80_000
    assert found["sigma"] == pytest.approx(20, rel=0.02)
    # 40 lies in bin 2, [32, 48), and 200 in bin 12, [192, 208)
    assert [index for index, count in enumerate(found["count"]) if count] == [2, 12]
    assert found["sigma_by_intensity"][2] == pytest.approx(20, rel=0.02)
    assert found["sigma_by_intensity"][12] == pytest.approx(20, rel=0.02)
    assert found["sigma_by_intensity"][0] is None and found["intensity"][2] == 40
    correlation = np.array(found["correlation"])
    assert correlation[REACH, REACH] == 1
    correlation[REACH, REACH] = 0
    assert np.abs(correlation).max() < 0.02


def test_noise_that_grows_with_intensity_is_seen_to():
    noise = np.random.default_rng(0).normal(size=(200, 200))

    found = describe([(grey(40), 40 + 5 * noise), (grey(200), 200 + 15 * noise)])

    assert found["sigma_by_intensity"][2] == pytest.approx(5, rel=0.02)
    assert found["sigma_by_intensity"][12] == pytest.approx(15, rel=0.02)


def test_noise_averaged_over_two_columns_correlates_by_a_half_with_the_next():
    # r = (n_x + n_(x+1)) / 2: products at lag (0, 1) are 1/4 of n's variance, at lag 0 they are 1/2.
    noise = np.random.default_rng(0).normal(0, 20, size=(300, 301, 3))
    clean = np.full((300, 300, 3), 128, dtype=np.uint8)

    correlation = np.array(describe([(clean, 128 + (noise[:, 1:] + noise[:, :-1]) / 2)])["correlation"])

    assert correlation[REACH, REACH + 1] == pytest.approx(0.5, abs=0.01)
    assert correlation[REACH, REACH - 1] == correlation[REACH, REACH + 1]
    assert abs(correlation[REACH, REACH + 2]) < 0.01 and abs(correlation[REACH + 1, REACH]) < 0.01


def test_lags_point_the_way_they_say():
    # r is repeated one row down and two columns right: correlation at (1, 2) and, by symmetry, at (-1, -2), not at (1, -2).
    noise = np.random.default_rng(0).normal(0, 20, size=(300, 300))
    shifted = noise + np.roll(noise, (1, 2), axis=(0, 1))

    correlation = np.array(describe([(grey(128, 300), 128 + shifted)])["correlation"])

    assert correlation[REACH + 1, REACH + 2] == pytest.approx(0.5, abs=0.02)
    assert correlation[REACH - 1, REACH - 2] == correlation[REACH + 1, REACH + 2]
    assert abs(correlation[REACH + 1, REACH - 2]) < 0.02


def test_pairs_without_noise_and_no_pairs_are_refused():
    with pytest.raises(ValueError, match="expected image pairs that differ by noise, got 0 pairs"):
        describe([])
    with pytest.raises(ValueError, match="got 1 pairs without any"):
        describe([(grey(3), grey(3))])


def test_images_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"two images of one shape.* got \(200, 200\) and \(100, 100\)"):
        describe([(grey(3), grey(3, 100))])


def test_card_is_one_png_and_the_same_each_time():
    pairs = list(add_gaussian([(grey(40, 60), grey(40, 60))], 20.0, 0))
    camera, gaussian = describe(pairs), describe(add_gaussian(pairs, 20.0, 1))

    one, two = (draw(camera, gaussian) for _ in range(2))

    assert one == two
    with Image.open(io.BytesIO(one)) as image:
        assert image.mode == "RGB" and image.size[0] > 1000
