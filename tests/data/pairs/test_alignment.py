"""Pairs are judged by their pixels; Rain800 itself is not needed."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.data import astronaut, chelsea
from skimage.metrics import peak_signal_noise_ratio

from nasir.data.pairs.alignment import FAR, best_shift, blurrier, psnr, rain_lead, rainier
from nasir.data.pairs.motion import blur
from nasir.data.pairs.rain import rainy


def texture(seed, shape=(140, 180)):
    """Smooth random colours, uint8, shape (H, W, 3)."""
    noise = np.random.default_rng(seed).standard_normal((*shape, 3))
    soft = ndimage.gaussian_filter(noise, (2, 2, 0))
    return np.clip(110 + 30 * soft / soft.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (-2, 3), (3, -3)])
def test_a_shift_is_found_under_rain(shift):
    wide = texture(0)
    dy, dx = shift
    clean = wide[5:-5, 5:-5]
    moved = wide[5 - dy : wide.shape[0] - 5 - dy, 5 - dx : wide.shape[1] - 5 - dx]  # moved[y + dy] = clean[y]

    assert best_shift(clean, moved) == shift
    assert best_shift(clean, rainy(np.ascontiguousarray(moved), "train/1", 0)) == shift


def test_through_haze_a_kernel_shifts_by_its_centre_of_gravity_alone():
    # a bright end three to the right, and a faint long tail to the left: 0.6 3 + 0.4 (-4.5) = 0
    weights = np.zeros((13, 13))
    weights[6, 6 + 3], weights[6, 6 - 6 : 6 - 2] = 0.6, 0.1
    assert weights.sum() == pytest.approx(1) and weights[6] @ np.arange(-6, 7) == pytest.approx(0)
    clean = astronaut()[:300, :300]

    moved = np.rint(255 * blur(clean.transpose(2, 0, 1) / 255, weights)).astype(np.uint8).transpose(1, 2, 0)

    assert best_shift(clean, moved) == (0, 3)  # where the kernel is brightest
    assert best_shift(clean, moved, haze=FAR) == (0, 0)
    assert best_shift(clean[:, 1:], moved[:, :-1], haze=FAR) == (0, 1)


def test_a_mean_of_neighbours_is_the_blurrier_one():
    clean = texture(3)
    mean = ndimage.uniform_filter(clean, (5, 5, 1))

    assert blurrier(clean, mean) == "right"
    assert blurrier(mean, clean) == "left"
    assert blurrier(clean, clean) == "unclear"
    # 0.96 of the contrast has 0.92 of the energy, which is above MOST_DETAIL
    assert blurrier(clean, np.rint(110 + 0.96 * (clean - 110.0)).astype(np.uint8)) == "unclear"
    assert blurrier(np.full((30, 40), 7, np.uint8), np.full((30, 40), 9, np.uint8)) == "unclear"


def test_brightness_and_contrast_are_no_shift():
    clean = texture(1)

    assert best_shift(clean, (40 + clean * 0.6).astype(np.uint8)) == (0, 0)


def test_flat_images_have_no_shift():
    flat = np.full((30, 40), 7, dtype=np.uint8)

    assert best_shift(flat, flat) == (0, 0)
    assert best_shift(flat, flat + np.uint8(9)) == (0, 0)


def test_a_shift_beyond_reach_is_not_guessed_at_its_edge_of_a_wider_one():
    wide = texture(2)
    clean, moved = wide[:, 4:], wide[:, :-4]  # 4 px to the right

    assert best_shift(clean, moved, reach=5) == (0, 4)
    assert abs(best_shift(clean, moved, reach=3)[1]) <= 3


def test_psnr_is_that_of_a_known_error_and_of_scikit_image():
    clean = np.zeros((4, 6, 3), dtype=np.uint8)
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (30, 20, 3)).astype(np.uint8) for _ in range(2))

    # 51 = 255 / 5, so 10 log10(25) = 13.979 dB
    assert psnr(clean, clean + np.uint8(51)) == pytest.approx(13.9794, abs=1e-4)
    assert psnr(clean + np.uint8(51), clean) == pytest.approx(13.9794, abs=1e-4)
    assert psnr(clean, clean) == float("inf")
    assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(first, second), abs=1e-9)


@pytest.mark.parametrize("number", range(6))
def test_the_rainy_side_is_told(number):
    clean = texture(number) if number % 2 else (astronaut() if number % 4 else chelsea())
    wet = rainy(clean, f"train/{number}", 0)

    assert rainier(clean, wet) == "right"
    assert rainier(wet, clean) == "left"


def test_the_rainy_side_is_told_where_rain_came_with_a_darker_tone():
    # Rain800 has pairs whose rainy image is 30 grey levels darker in the mean
    clean = astronaut()
    wet = rainy((255 * (clean / 255) ** 2).astype(np.uint8), "train/3", 0)
    assert wet.mean() < clean.mean() - 10

    assert rainier(clean, wet) == "right"
    assert rainier(wet, clean) == "left"


def test_exchanging_the_images_turns_the_sign():
    clean = texture(3)
    wet = rainy(clean, "train/3", 0)

    assert rain_lead(clean, wet) == -rain_lead(wet, clean) > 0.05


def test_equal_images_white_noise_and_another_tone_are_no_rain():
    clean = astronaut()
    noise = np.random.default_rng(0).normal(0, 10, clean.shape)
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    mild = np.clip(clean, 40, 215)
    grainy = np.rint(mild + np.clip(noise, -40, 40)).astype(np.uint8)

    assert rain_lead(clean, clean) == 0
    assert rainier(clean, clean) == "unclear"
    assert rainier(mild, grainy) == "unclear"
    assert best_shift(clean, noisy) == (0, 0)


def test_large_images_are_judged_by_their_middle():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (1000, 900, 3)).astype(np.uint8)
    other = rng.integers(0, 256, (1000, 900, 3)).astype(np.uint8)
    other[116:-116, 66:-66] = np.roll(clean, (2, -1), axis=(0, 1))[116:-116, 66:-66]  # the middle 768x768

    assert best_shift(clean, other) == (2, -1)


def test_what_is_no_pair_is_refused():
    image = np.zeros((20, 30, 3), dtype=np.uint8)

    with pytest.raises(ValueError, match="must have one size, got 30x20 and 29x20 px"):
        best_shift(image, image[:, 1:])
    with pytest.raises(ValueError, match=r"must be uint8 of shape \(H, W\) or \(H, W, 3\), got float64"):
        rainier(image, image / 255)
    with pytest.raises(ValueError, match="both images must be grey or both in colour"):
        psnr(image, image[..., 0])
    with pytest.raises(ValueError, match="leave more than 7 px of each side, got 7 for images of 30x20 px"):
        best_shift(image, image, reach=7)
