"""The camera as a whole: what is drawn, what depends on the key, and how clean light is made."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasir.data.camera import camera
from nasir.data.camera.camera import Settings, degrade, draw, prepare, reference, shoot
from nasir.data.camera.output import linearise, to_srgb

GENTLE = Settings(
    exposure=0.0,
    shot=0.0,
    read=0.0,
    bits=14,
    luminance_sigma_s=0.25,
    luminance_sigma_r=0.1,
    chroma_sigma_s=2.0,
    chroma_sigma_r=0.01,
    amount=0.0,
    quality=6,
    phase_y=0,
    phase_x=0,
)


def scene(count: int, side: int = 34) -> torch.Tensor:
    """Smooth light of different colours, in [0.1, 0.9]."""
    y, x = torch.arange(side)[:, None] / side, torch.arange(side)[None] / side
    waves = [torch.sin(3 * (image + 1) * x + plane) * torch.cos(4 * y) for image in range(count) for plane in range(3)]
    return 0.5 + 0.4 * torch.stack(waves).view(count, 3, side, side)


DRAWN = [draw("image", patch, 0) for patch in range(4000)]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("shot", 0.01, 0.2),
        ("read", 0.01, 0.1),
        ("luminance_sigma_s", 0.25, 1.0),
        ("luminance_sigma_r", 0.1, 1.0),
    ],
)
def test_deviations_are_drawn_uniformly_in_their_logarithm(name, low, high):
    # ln x is uniform: mean (ln low + ln high) / 2, deviation ln(high / low) / sqrt(12); 5 standard errors of 4,000 draws.
    logs = np.log([getattr(one, name) for one in DRAWN])
    spread = math.log(high / low)

    assert math.log(low) <= logs.min() < math.log(low) + 0.01 * spread
    assert math.log(high) - 0.01 * spread < logs.max() <= math.log(high)
    assert logs.mean() == pytest.approx((math.log(low) + math.log(high)) / 2, abs=5 * spread / math.sqrt(12 * 4000))
    assert logs.std() == pytest.approx(spread / math.sqrt(12), rel=0.05)


@pytest.mark.parametrize(("axis", "low", "high"), [("s", 8.0, 32.0), ("r", 0.1, 0.5)])
def test_chroma_deviations_are_those_of_luminance_times_a_log_uniform_ratio(axis, low, high):
    chroma, luminance = (
        np.array([getattr(one, f"{kind}_sigma_{axis}") for one in DRAWN]) for kind in ("chroma", "luminance")
    )
    logs, spread = np.log(chroma / luminance), math.log(high / low)

    assert math.log(low) - 1e-12 <= logs.min() and logs.max() <= math.log(high) + 1e-12
    assert logs.mean() == pytest.approx(math.log(low * high) / 2, abs=5 * spread / math.sqrt(12 * 4000))
    assert abs(np.corrcoef(logs, np.log(luminance))[0, 1]) < 5 / math.sqrt(4000)


def test_amount_is_uniform_and_quality_and_phase_are_drawn_evenly():
    amounts = np.array([one.amount for one in DRAWN])

    assert amounts.min() >= 0 and amounts.max() <= 0.25
    assert amounts.mean() == pytest.approx(0.125, abs=5 * 0.25 / math.sqrt(12 * 4000))
    for name, values in (("quality", (4, 5, 6, 7)), ("phase_y", (0, 1)), ("phase_x", (0, 1))):
        found, counts = np.unique([getattr(one, name) for one in DRAWN], return_counts=True)
        assert tuple(found) == values
        share = 1 / len(values)
        assert np.abs(counts / 4000 - share).max() < 5 * math.sqrt(share * (1 - share) / 4000)
    assert {(one.exposure, one.bits) for one in DRAWN} == {(0.0, 14)}


def test_settings_depend_on_each_part_of_the_key_and_on_nothing_else():
    assert draw("image", 3, 0) == DRAWN[3]
    assert len({DRAWN[3], draw("other", 3, 0), draw("image", 4, 0), draw("image", 3, 1)}) == 4


@pytest.mark.parametrize(("name", "value"), [("shot", -0.1), ("quality", 8), ("phase_x", 2), ("read", float("nan"))])
def test_settings_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must lie in \[.*\], got {value}"):
        replace(GENTLE, **{name: value})


def test_prepared_light_of_one_grey_is_that_grey_without_its_gamma():
    light = prepare(np.full((9, 12, 3), 188, dtype=np.uint8), 2)

    assert light.shape == (3, 5, 6) and light.dtype == torch.float32
    # ((188 / 255 + 0.055) / 1.055)^2.4 = 0.502886
    assert torch.allclose(light, torch.tensor(0.502886), atol=1e-6)


def test_preparing_averages_away_the_pictures_own_noise():
    # Factor 2 blurs with taps exp(-k^2 / 8), |k| <= 2: weights 0.152, 0.222, 0.251, 0.222, 0.152. White noise falls by the
    # sum of their squares, 0.2078, in deviation (both axes: the square root twice).
    noise = np.random.default_rng(0).normal(128, 4, size=(400, 400, 3)).round().astype(np.uint8)

    before, after = prepare(noise, 1).std().item(), prepare(noise, 2).std().item()

    assert after / before == pytest.approx(0.2078, rel=0.02)


def test_prepare_refuses_grey_pictures_floats_and_factor_0():
    with pytest.raises(ValueError, match=r"image must be uint8 of shape \(H, W, 3\), got uint8 of \(4, 4\)"):
        prepare(np.zeros((4, 4), dtype=np.uint8), 2)
    with pytest.raises(ValueError, match="got float64"):
        prepare(np.zeros((4, 4, 3)), 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="factor must be 1 or more, got 0"):
        prepare(np.zeros((4, 4, 3), dtype=np.uint8), 0)


def test_a_camera_without_noise_returns_nearly_a_grey_scene():
    light = scene(2)[:, :1].repeat(1, 3, 1, 1)

    found = shoot(light, [GENTLE, GENTLE], [("a", 0, 0), ("b", 0, 0)]).float() / 255

    expected = to_srgb(reference(light, [GENTLE, GENTLE]))
    assert found.shape == (2, 3, 32, 32)
    assert (found - expected).square().mean().sqrt() < 1.5 / 255


def test_degraded_light_is_the_picture_without_its_gamma():
    light, settings, keys = scene(1), [DRAWN[0]], [("a", 0, 0)]

    assert torch.equal(degrade(light, settings, keys), linearise(shoot(light, settings, keys).float() / 255))


def test_phase_says_where_the_crop_begins():
    # The picture's columns and rows are numbered; 6x6 less a margin of 2 leaves 4x4.
    numbers = (10 * torch.arange(6.0)[:, None] + torch.arange(6.0)[None]).expand(2, 1, 6, 6)

    cut = camera.crop(numbers, [GENTLE, replace(GENTLE, phase_y=1, phase_x=0)])

    assert cut[0, 0, 0].tolist() == [0, 1, 2, 3] and cut[0, 0, -1].tolist() == [30, 31, 32, 33]
    assert cut[1, 0, 0].tolist() == [10, 11, 12, 13] and cut[1, 0, -1].tolist() == [40, 41, 42, 43]


def test_reference_is_exposed_and_clipped():
    light = torch.full((1, 3, 4, 4), 0.75)

    assert torch.equal(reference(light, [replace(GENTLE, exposure=1.0)]), torch.ones(1, 3, 2, 2))
    assert torch.equal(reference(light, [replace(GENTLE, exposure=-1.0)]), torch.full((1, 3, 2, 2), 0.375))


def test_an_image_alone_and_in_a_batch_has_the_same_bytes_and_another_key_others():
    light, settings, keys = scene(5), DRAWN[:5], [("image", patch, 0) for patch in range(5)]

    together = shoot(light, settings, keys)
    alone = [shoot(light[[i]], settings[i : i + 1], keys[i : i + 1])[0] for i in range(5)]

    assert torch.equal(together, torch.stack(alone))
    assert not torch.equal(shoot(light, settings, [("image", patch, 1) for patch in range(5)]), together)


def test_number_of_threads_changes_no_byte():
    light, settings, keys = scene(6, side=130), DRAWN[:6], [("image", patch, 0) for patch in range(6)]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(shoot(light, settings, keys))
    finally:
        torch.set_num_threads(before)

    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_shoot_refuses_unequal_numbers_and_8_bit_light():
    with pytest.raises(ValueError, match=r"of one number above 0, got 2, 1 and 2"):
        shoot(scene(2), [GENTLE], [("a", 0, 0)] * 2)
    with pytest.raises(ValueError, match=r"light must be float32 in \[0, 1\], got torch.float32 from .* to 255"):
        shoot(torch.full((1, 3, 8, 8), 255.0), [GENTLE], [("a", 0, 0)])
