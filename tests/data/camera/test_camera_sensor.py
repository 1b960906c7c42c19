"""The sensor's steps against their closed forms."""

import pytest
import torch

from nasir.data.camera.sensor import add_read_noise, add_shot_noise, bayer, demosaic, expose, mosaic, quantise


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_stop_doubles_the_light_of_its_own_image_only():
    light = torch.full((2, 3, 2, 2), 0.25)

    exposed = expose(light, torch.tensor([1.0, -2.0]))

    assert torch.equal(exposed[0], torch.full((3, 2, 2), 0.5))
    assert torch.equal(exposed[1], torch.full((3, 2, 2), 0.0625))


def test_bayer_pattern_begins_green_red_over_blue_green():
    # x = y (mod 2) is green; red at x odd, y even; blue at x even, y odd.
    red, green, blue = bayer(2, 4).int().tolist()

    assert red == [[0, 1, 0, 1], [0, 0, 0, 0]]
    assert green == [[1, 0, 1, 0], [0, 1, 0, 1]]
    assert blue == [[0, 0, 0, 0], [1, 0, 1, 0]]


def test_mosaic_keeps_the_colour_that_each_site_sees():
    colour = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)

    assert mosaic(colour).tolist() == [[[[2.0, 1.0], [3.0, 2.0]]]]


def test_shot_noise_has_variance_k_squared_times_light_and_no_mean():
    # 400,000 draws: the variance's own deviation is sqrt(2 / 400,000) = 0.22 %, so 1 % is four and a half of them.
    light = torch.tensor([0.1, 0.4]).view(2, 1, 1, 1).expand(2, 1, 400, 1000)
    strength = torch.tensor([0.2, 0.05])

    noise = (add_shot_noise(light, strength, normal(2, 1, 400, 1000)) - light).double()

    assert noise[0].var().item() == pytest.approx(0.2**2 * 0.1, rel=0.01)
    assert noise[1].var().item() == pytest.approx(0.05**2 * 0.4, rel=0.01)
    assert abs(noise[0].mean().item()) < 5 * 0.2 * 0.1**0.5 / 400_000**0.5


def test_shot_noise_leaves_darkness_and_negative_light_alone():
    raw = torch.tensor([0.0, -0.3]).view(1, 1, 1, 2)

    assert torch.equal(add_shot_noise(raw, torch.tensor([0.2]), torch.ones(1, 1, 1, 2)), raw)


def test_read_noise_has_variance_s_squared_at_any_light():
    light = torch.tensor([0.0, 0.9]).view(2, 1, 1, 1).expand(2, 1, 400, 1000)

    noise = (add_read_noise(light, torch.tensor([0.1, 0.1]), normal(2, 1, 400, 1000, seed=1)) - light).double()

    assert noise[0].var().item() == pytest.approx(0.01, rel=0.01)
    assert noise[1].var().item() == pytest.approx(0.01, rel=0.01)


def test_negative_noise_strengths_are_refused():
    raw = torch.zeros(1, 1, 2, 2)

    with pytest.raises(ValueError, match=r"shot noise must have strengths of 0 or more .* got -0.1"):
        add_shot_noise(raw, torch.tensor([-0.1]), raw)
    with pytest.raises(ValueError, match="read noise must have strengths"):
        add_read_noise(raw, torch.tensor([float("nan")]), raw)


def test_quantiser_clips_and_rounds_down_in_steps_of_its_own_image():
    # 2 bits: steps of 1/4. 0.74 -> 2/4, -1 -> 0, 2 -> 1. 3 bits: 0.74 -> floor(5.92) / 8.
    raw = torch.tensor([0.74, -1.0, 2.0]).view(1, 1, 1, 3).repeat(2, 1, 1, 1)

    levels = quantise(raw, torch.tensor([2, 3]))

    assert levels[0].flatten().tolist() == [0.5, 0.0, 1.0]
    assert levels[1].flatten().tolist() == [0.625, 0.0, 1.0]


def test_demosaic_reproduces_one_colour_everywhere():
    colour = torch.tensor([0.75, 0.5, 0.125]).view(1, 3, 1, 1).expand(1, 3, 7, 8)

    assert torch.equal(demosaic(mosaic(colour)), colour)


def test_demosaic_reproduces_ramps_inside():
    # Means of opposite neighbours are exact on a linear function; mirroring bends it at the border.
    y, x = torch.arange(9.0)[:, None], torch.arange(10.0)[None]
    planes = torch.stack([0.02 * x + 0.03 * y, 0.5 - 0.01 * x + 0.02 * y, 0.9 - 0.03 * x - 0.04 * y])[None]

    restored = demosaic(mosaic(planes))

    assert torch.allclose(restored[..., 1:-1, 1:-1], planes[..., 1:-1, 1:-1], atol=1e-6)


def test_demosaic_spreads_one_red_site_over_its_eight_neighbours_only_in_red():
    raw = torch.zeros(1, 1, 5, 6)
    raw[0, 0, 2, 3] = 1.0  # x odd, y even: red

    red, green, blue = demosaic(raw)[0]

    assert red[1:4, 2:5].tolist() == [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    assert red.sum() == 4.0 and green.sum() == 0.0 and blue.sum() == 0.0
