"""Synthetic rain: a function of its key, laid over images by closed forms."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.feature import structure_tensor
from skimage.filters import gaussian

from nasir.data.pairs import rain
from nasir.data.pairs.rain import Streaks, add_rain, draw, layer, rainy

STREAKS = Streaks(length=24.0, angle=0.0, density=3.0, brightness=0.5, width=1.5)


def smooth_image(height=120, width=160):
    """Colours that change slowly, in [40, 140]."""
    y, x = np.mgrid[:height, :width]
    waves = [90 + 50 * np.sin(x / 30 + shift) * np.cos(y / 40) for shift in (0, 1, 2)]
    return np.stack(waves, axis=2).astype(np.uint8)


def psnr(clean, degraded):
    return 10 * np.log10(255**2 / np.mean((clean.astype(float) - degraded) ** 2))


def test_key_is_the_first_half_of_the_sha256_of_a_json_list():
    key = hashlib.sha256(b'["rain", "train/1", 0]').digest()[:16]
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))
    length = 15 + 25 * generator.random()  # uniform in (15, 40), drawn first

    assert draw("train/1", 0)[0].length == length


def test_same_name_and_seed_give_the_same_bytes_and_others_do_not():
    clean = smooth_image()

    once, again = rainy(clean, "train/1", 0), rainy(clean, "train/1", 0)

    assert once.dtype == np.uint8 and once.shape == clean.shape
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != rainy(clean, "train/1", 1).tobytes()
    assert once.tobytes() != rainy(clean, "train/2", 0).tobytes()


def test_layer_does_not_depend_on_how_many_streaks_are_drawn_at_once(monkeypatch):
    whole = layer((90, 70), STREAKS, "a", 0)
    monkeypatch.setattr(rain, "AT_ONCE", 7)

    assert np.array_equal(layer((90, 70), STREAKS, "a", 0), whole)


def test_additive_rain_is_the_clipped_sum():
    clean = np.array([[[0.25, 0.5, 0.75]]] * 3)
    streaks = np.array([[0.5, 0.25, 0.5]])

    # 0.25 + 0.5 = 0.75, 0.5 + 0.25 = 0.75, and 1.25 is clipped
    assert add_rain(clean, streaks, "additive").tolist() == [[[0.75, 0.75, 1.0]]] * 3


def test_screened_rain_is_the_complement_of_a_product():
    clean = np.array([[[0.25, 0.5, 0.75]]] * 3)
    streaks = np.array([[0.5, 0.25, 0.5]])

    # 1 - 0.75 0.5 = 0.625, 1 - 0.5 0.75 = 0.625, 1 - 0.25 0.5 = 0.875
    assert add_rain(clean, streaks, "screen").tolist() == [[[0.625, 0.625, 0.875]]] * 3


def test_a_lone_streak_holds_the_light_of_its_area():
    # one streak of length L, width w and light b sums to b L w when it lies whole inside; five draws say where
    streaks = replace(STREAKS, density=1000 / (141 * 141), length=20.0, width=2.0, brightness=0.4)
    margin = 18  # ceil(0.75 20 + 2 + 1)
    key = hashlib.sha256(b'["streaks", "whole", 4]').digest()[:16]
    y, x, long, _, light = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8"))).random(5)
    side = 141 - 2 * margin
    assert 0.3 < y < 0.7 and 0.3 < x < 0.7  # of side + 2 margin, so the streak is inside

    drawn = layer((side, side), streaks, "whole", 4)

    expected = 0.4 * (0.5 + 0.5 * light) * 20 * (0.5 + long) * 2
    assert drawn.sum() == pytest.approx(expected, rel=0.02)
    centre = (drawn.sum(axis=1) @ np.arange(side) / drawn.sum(), drawn.sum(axis=0) @ np.arange(side) / drawn.sum())
    assert centre == pytest.approx((y * 141 - margin - 0.5, x * 141 - margin - 0.5), abs=0.1)


@pytest.mark.parametrize("angle", [-50.0, -20.0, 0.0, 15.0, 30.0])
def test_streaks_lean_by_their_angle(angle):
    # The gradient is across the streak. With J the structure tensor and a streak along (cos a, sin a) in (y, x), the
    # gradient is along (-sin a, cos a), so tan 2a = -2 Jxy / (Jxx - Jyy).
    drawn = layer((256, 256), replace(STREAKS, angle=angle, length=40.0), "leaning", 0).astype(float)
    drawn = gaussian(drawn, 2)  # as differences of neighbours are no gradient of lines of 1.5 px

    yy, xy, xx = (part.sum() for part in structure_tensor(drawn, sigma=1.0, order="rc"))
    measured = np.degrees(np.arctan2(-2 * xy, xx - yy)) / 2

    assert measured == pytest.approx(angle, abs=2)


def test_a_steep_streak_is_drawn_as_pixel_by_pixel():
    streaks = replace(STREAKS, angle=58.0, density=1.0, width=3.0)
    key = hashlib.sha256(b'["streaks", "slow", 0]').digest()[:16]
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))
    margin = 22  # 0.75 24 + 3 + 1
    y, x = np.mgrid[:50, :40]
    expected = np.zeros((50, 40))
    for row, column, long, tilt, light in generator.random((round((50 + 44) * (40 + 44) / 1000), 5)):
        angle = np.radians(58 + 4 * tilt - 2)
        dy, dx = y - (row * (50 + 44) - margin - 0.5), x - (column * (40 + 44) - margin - 0.5)
        along, across = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
        cover = np.clip(12 * (0.5 + long) + 0.5 - abs(along), 0, 1) * np.clip(2 - abs(across), 0, 1)
        expected += 0.5 * (0.5 + 0.5 * light) * cover

    assert layer((50, 40), streaks, "slow", 0) == pytest.approx(np.minimum(expected, 1), abs=1e-6)


def test_no_streaks_change_nothing():
    nothing = layer((40, 50), replace(STREAKS, density=0.0), "a", 0)
    clean = smooth_image(40, 50).transpose(2, 0, 1) / 255

    assert nothing.dtype == np.float32 and not nothing.any()
    assert np.array_equal(add_rain(clean, nothing, "screen"), clean)
    assert np.array_equal(add_rain(clean, nothing, "additive"), clean)


def test_rain_takes_no_light_away():
    clean = smooth_image()

    for number in range(6):
        degraded = rainy(clean, f"train/{number}", 0)
        assert (degraded >= clean).all()
        assert degraded.mean() > clean.mean() + 2


def test_denser_rain_is_brighter_in_proportion():
    # where streaks do not overlap beyond 1, the sum of the layer is their number times their mean light
    thin, thick = (
        layer((400, 400), replace(STREAKS, density=density, brightness=0.1), "a", 0).mean() for density in (1.0, 4.0)
    )

    assert thick / thin == pytest.approx(4, rel=0.1)
    # 0.001 streaks per px, each 24 px long, 1.5 wide, of light 0.75 0.1 in the mean: 0.0027
    assert thin == pytest.approx(0.0027, rel=0.1)


def test_draws_stay_in_their_ranges_and_take_both_blends():
    drawn = [draw(f"train/{number}", 0) for number in range(200)]

    assert {blend for _, blend in drawn} == set(rain.BLENDS)
    for streaks, _ in drawn:
        for what, (low, high) in rain.RANGES.items():
            assert low <= getattr(streaks, what) <= high
        low, high = rain.COVERAGE
        assert low <= streaks.density * streaks.length * streaks.width / 1000 <= high


def test_rain_is_as_strong_as_that_of_rain800():
    # Rain800's pairs have 21.5 dB in the mean, half of them between 20.0 and 23.6 dB
    clean = astronaut()
    values = [psnr(clean, rainy(clean, f"train/{number}", 0)) for number in range(24)]

    assert np.mean(values) == pytest.approx(21.5, abs=1.5)
    assert np.mean([18 <= value <= 28 for value in values]) >= 0.75


def test_values_out_of_range_are_refused():
    clean = np.zeros((3, 4, 5))

    with pytest.raises(ValueError, match=r"within 60 degrees of the vertical .* got 70 degrees and 0\.5"):
        replace(STREAKS, angle=70.0)
    with pytest.raises(ValueError, match=r"brightness in \[0, 1\], got 0 degrees and 1\.2"):
        replace(STREAKS, brightness=1.2)
    with pytest.raises(ValueError, match="a density of 0 or more, all finite"):
        replace(STREAKS, density=float("nan"))
    with pytest.raises(ValueError, match=r"shape must be \(height, width\) in px, both positive, got \(3, 4, 5\)"):
        layer(clean.shape, STREAKS, "a", 0)
    with pytest.raises(ValueError, match=r"must be one of \['additive', 'screen'\], got 'multiply'"):
        add_rain(clean, clean[0], "multiply")
    with pytest.raises(ValueError, match=r"clean must have shape \(3, H, W\) and rain \(H, W\)"):
        add_rain(clean, np.zeros((5, 4)), "screen")
    with pytest.raises(ValueError, match=r"clean must hold floats in \[0, 1\], got float64 from 2 to 2"):
        add_rain(clean + 2, clean[0], "screen")
    with pytest.raises(ValueError, match=r"train/1 must be uint8 of shape \(H, W, 3\), got uint8 of shape \(4, 5\)"):
        rainy(np.zeros((4, 5), dtype=np.uint8), "train/1", 0)
