"""DDN: its guided filter against a fit of every window, its size, and its layers as plain numbers."""

import math
import random

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import nn

from nasir.inference.reach import radius
from nasir.layers.cost import parameters
from nasir.networks.ddn import DDN, guided_filter, window_mean


def fit_windows(image: np.ndarray, r: int, epsilon: float) -> np.ndarray:
    """Guided filter as it is defined: a ridge regression x ~ a x + b in every window, then the mean of all that hold a pixel.

    The window's a and b minimise sum (a x + b - x)^2 + epsilon a^2 for each pixel of it; solved as least squares.
    """
    total, count = np.zeros_like(image), np.zeros_like(image)
    for row, column in np.ndindex(image.shape):
        window = (slice(max(row - r, 0), row + r + 1), slice(max(column - r, 0), column + r + 1))
        x = image[window].ravel()
        penalty = [math.sqrt(epsilon * x.size), 0.0]
        (a, b), *_ = np.linalg.lstsq(np.vstack([np.stack([x, np.ones_like(x)], axis=1), penalty]), np.append(x, 0.0))
        total[window] += a * image[window] + b
        count[window] += 1
    return total / count


@pytest.mark.parametrize("shape", [(40, 37), (5, 50), (50, 5), (1, 1), (31, 16)], ids=str)
def test_a_window_at_the_border_is_averaged_over_its_pixels_inside(shape):
    # SciPy pads with zeros; divided by the same mean of ones it is the mean over the pixels inside
    x = np.random.default_rng(0).random(shape)
    padded = [scipy.ndimage.uniform_filter(image, 31, mode="constant") for image in (x, np.ones(shape))]
    torch.testing.assert_close(window_mean(torch.from_numpy(x)[None, None], 15)[0, 0].numpy(), padded[0] / padded[1])


@pytest.mark.parametrize(("r", "epsilon"), [(3, 0.01), (2, 1.0), (15, 1.0)])
def test_the_guided_filter_fits_a_line_in_every_window(r, epsilon):
    x = np.random.default_rng(1).random((2, 3, 9, 12))

    filtered = guided_filter(torch.from_numpy(x), r, epsilon).numpy()

    for image, channel in np.ndindex(2, 3):
        expected = fit_windows(x[image, channel], r, epsilon)
        np.testing.assert_allclose(filtered[image, channel], expected, rtol=0, atol=1e-12)


def test_two_pixels_are_drawn_together_by_hand():
    # every window holds both: mean 1/2, variance 1/4, a = (1/4) / (5/4) = 1/5, b = 4/5 * 1/2 = 2/5
    x = torch.tensor([[[[0.0, 1.0]]]])
    torch.testing.assert_close(guided_filter(x, 15, 1.0), torch.tensor([[[[0.4, 0.6]]]]))


def test_a_small_epsilon_keeps_the_image_and_a_large_one_takes_the_mean_twice():
    x = torch.rand(1, 3, 20, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guided_filter(x, 4, 1e-12), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(guided_filter(x, 4, 1e12), window_mean(window_mean(x, 4), 4), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("channels", "count"), [(3, 57_369), (1, 56_787)])
def test_parameters(channels, count):
    # each of 26 convolutions has biases, each batch normalisation scale and shift: 3 numbers for each output channel
    weights = 9 * 16 * channels + 24 * 9 * 16 * 16 + 9 * 16 * channels
    assert parameters(DDN(channels)) == weights + 3 * (25 * 16 + channels) == count


def test_twenty_six_convolutions_each_with_its_normalisation():
    kinds = [type(module) for module in DDN(3).modules()]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.BatchNorm2d) == 26
    assert kinds.count(nn.ReLU) == 25


def test_the_network_is_its_restatement_with_plain_numbers():
    # Convolutions that multiply channel 0, normalisations that do nothing. Of the pixels 0 and 1 the detail is -2/5 and 2/5
    # (see above); ReLUs let positive multiples of the one through and nothing of the other.
    network, rng = DDN(1).double().eval(), random.Random(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
            nn.init.ones_(module.weight)
    factors = [rng.choice([-1, 1, 1]) * rng.uniform(0.2, 0.8) for _ in range(24)]
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for convolution, factor in zip(convolutions, [2.0, *factors, -0.3], strict=True):
            convolution.weight.zero_()
            convolution.weight[0, 0, 1, 1] = factor
    h = 2 * 0.4
    for first, second in zip(factors[::2], factors[1::2], strict=True):
        h += max(second * max(first * h, 0), 0)
    assert 2 * h > 2 * 2 * 0.4 and min(factors) < 0  # some pairs add and some do not

    with torch.no_grad():
        restored = network(torch.tensor([[[[0.0, 1.0]]]], dtype=torch.float64))

    torch.testing.assert_close(restored, torch.tensor([[[[0.0, 1.0 - 0.3 * h]]]], dtype=torch.float64))


def test_a_brighter_image_is_restored_to_a_brighter_one():
    # detail = x - base does not know the level: base(x + 1/4) = base(x) + 1/4
    torch.manual_seed(0)
    network = DDN(3).double().eval()
    x = torch.rand(1, 3, 20, 24, dtype=torch.float64) / 2
    with torch.no_grad():
        assert (network(x) - x).std() > 1e-4
        torch.testing.assert_close(network(x + 0.25), network(x) + 0.25, rtol=0, atol=1e-12)


def test_a_pixel_sees_56_pixels_far():
    # two means of radius 15 and 26 layers of 3x3
    assert radius(DDN(1), 1) == 15 + 15 + 26


def test_in_training_a_fresh_estimate_is_a_tenth_of_the_range():
    # the last batch normalisation makes the estimate's deviation its scale, 0.1, up to its epsilon
    torch.manual_seed(0)
    x = torch.rand(4, 3, 24, 24)
    estimate = (DDN(3).train()(x) - x).detach()
    assert estimate.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert estimate.std(dim=(0, 2, 3)).tolist() == pytest.approx([0.1] * 3, rel=0.01)


def test_weights_start_at_the_authors_spread():
    # uniform with variance 2 / (9 inputs + 9 outputs), 2 / 288 in the middle; four standard errors of 24 * 2304 squares,
    # each of relative deviation sqrt(4/5), are 0.015
    torch.manual_seed(0)
    network = DDN(3)
    draws = torch.cat([m.weight.flatten() for m in network.pairs.modules() if isinstance(m, nn.Conv2d)])
    assert draws.square().mean().item() == pytest.approx(2 / 288, rel=0.016)
    assert draws.abs().max().item() == pytest.approx(math.sqrt(6 / 288), rel=0.01)
