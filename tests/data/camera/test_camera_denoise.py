"""The camera's own denoiser against scipy and against sums written out."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nasir.data.camera.denoise import bilateral, denoise, median_plus, to_rgb, to_yuv
from nasir.data.camera.grid import bilateral_grid

PLUS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])


def texture(*shape: int, seed: int = 0) -> torch.Tensor:
    """A step edge, a slope and some noise, in [0, 1]."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 0.2
    values[..., shape[-1] // 2 :] += 0.5
    return values + torch.linspace(0, 0.2, shape[-2])[:, None]


def sum_of_bilateral(values, guide, sigma_s, sigma_r, reach=None):
    """The definition, pair by pair, float64; values (C, H, W), guide (H, W)."""
    values, guide = values.double().numpy(), guide.double().numpy()
    height, width = guide.shape
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
    square = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    weight = np.exp(-square / 2 / sigma_s**2 - (guide.reshape(-1, 1) - guide.reshape(1, -1)) ** 2 / 2 / sigma_r**2)
    if reach is not None:
        weight[square > reach**2] = 0
    flat = values.reshape(len(values), -1)
    return (flat @ weight.T / weight.sum(axis=1)).reshape(values.shape)


def test_yuv_is_the_matrix_of_the_paper():
    # R, G and B alone, and grey: rows of the matrix
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]])[:, :, None, None]
    expected = torch.tensor([[0.299, -0.3375, 1], [0.587, -0.6625, -0.8374], [0.114, 1, -0.1626], [0.5, 0, 0]])

    assert torch.allclose(to_yuv(colours)[..., 0, 0], expected, atol=5e-5)


def test_rgb_undoes_yuv():
    colour = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))

    assert torch.allclose(to_rgb(to_yuv(colour)), colour, atol=1e-6)


def test_median_removes_an_impulse_and_keeps_a_corner():
    flat = torch.full((1, 1, 5, 5), 0.25)
    impulse = flat.clone()
    impulse[..., 2, 2] = 1.0

    assert torch.equal(median_plus(impulse), flat)


def test_median_is_scipys_over_a_plus():
    planes = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))

    found = median_plus(planes)

    for image, plane in np.ndindex(2, 3):
        expected = ndimage.median_filter(planes[image, plane].numpy(), footprint=PLUS, mode="nearest")
        assert np.array_equal(found[image, plane].numpy(), expected)


def test_bilateral_is_the_sum_of_its_definition_for_each_images_own_deviations():
    values, guide = texture(3, 2, 13, 16), texture(3, 1, 13, 16, seed=1)
    sigma_s, sigma_r = torch.tensor([0.3, 1.0, 1.4]), torch.tensor([0.05, 0.1, 0.3])

    found = bilateral(values, guide, sigma_s, sigma_r).numpy()

    for image, (space, span) in enumerate([(0.3, 0.05), (1.0, 0.1), (1.4, 0.3)]):
        expected = sum_of_bilateral(values[image], guide[image, 0], space, span, reach=3 * space)
        assert np.abs(found[image] - expected).max() < 2e-6


def test_bilateral_with_a_huge_range_is_a_gaussian():
    values = texture(1, 1, 21, 24)

    found = bilateral(values, texture(1, 1, 21, 24, seed=1), torch.tensor([1.0]), torch.tensor([1e4]))

    # scipy's kernel is a square of 3 sigma, ours the disc inside it: the corners hold 0.6 % of the weight
    expected = ndimage.gaussian_filter(values[0, 0].double().numpy(), 1.0, truncate=3.0)
    assert np.abs(found[0, 0].numpy() - expected)[3:-3, 3:-3].max() < 2e-3


def test_bilateral_with_a_tiny_range_changes_nothing():
    values = texture(1, 1, 9, 9)

    assert torch.equal(bilateral(values, values, torch.tensor([1.0]), torch.tensor([1e-9])), values)


@pytest.mark.parametrize(("space", "span"), [(0.0, 1.0), (1.0, -1.0)])
def test_bilateral_refuses_deviations_of_0_and_less(space, span):
    values = torch.zeros(1, 1, 4, 4)

    with pytest.raises(ValueError, match=r"must be above 0, got .* leave the filter out"):
        bilateral(values, values, torch.tensor([space]), torch.tensor([span]))


def hat(distance):
    return np.clip(1 - np.abs(distance), 0, None)


def test_grid_of_one_pixel_cells_is_the_sum_that_its_interpolation_stands_for():
    # With cells of one pixel only the guide is interpolated: the range weight of two pixels is the sum over bins i and j of
    # hat(32 g_p - i) exp(-(i - j)^2 / 2 sigma_r^2) hat(32 g_q - j).
    values, guide, sigma_r = texture(1, 2, 9, 8), texture(1, 1, 9, 8, seed=1), 0.4
    bins = np.arange(33)
    hats = hat(guide.double().numpy().reshape(-1, 1) * 32 - bins)
    ranges = hats @ np.exp(-((bins[:, None] - bins) ** 2) / 2 / sigma_r**2) @ hats.T
    places = np.stack(np.meshgrid(np.arange(9), np.arange(8), indexing="ij"), axis=-1).reshape(-1, 2)
    weight = ranges * np.exp(-((places[:, None] - places[None]) ** 2).sum(axis=2) / 2 / 1.5**2)
    expected = values[0].double().numpy().reshape(2, -1) @ weight.T / weight.sum(axis=1)

    found = bilateral_grid(values, guide, torch.tensor([1.5]), torch.tensor([sigma_r]))

    assert np.abs(found[0].flatten(1).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("sigma_s", [1.5, 2.0, 5.0, 8.0, 14.0])
def test_coarse_grid_comes_close_to_the_sum_of_the_definition(sigma_s):
    # The values span 0.9. Interpolation along the guide widens sigma_r = 2 bins to sqrt(4 + 1/3) of 1/32.
    values, guide = texture(1, 1, 26, 30), texture(1, 1, 26, 30, seed=1)
    expected = sum_of_bilateral(values[0], guide[0, 0], sigma_s, (4 + 1 / 3) ** 0.5 / 32)

    found = bilateral_grid(values, guide, torch.tensor([sigma_s]), torch.tensor([2.0]))[0].numpy()

    assert np.abs(found - expected).max() < 0.012
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.003


def test_grid_filters_each_image_as_if_it_were_alone():
    values, guide = texture(4, 2, 20, 22), texture(4, 1, 20, 22, seed=1)
    sigma_s, sigma_r = torch.tensor([2.0, 17.0, 3.0, 9.0]), torch.tensor([0.01, 0.5, 0.3, 0.02])

    together = bilateral_grid(values, guide, sigma_s, sigma_r)

    for image in range(4):
        part = slice(image, image + 1)
        assert torch.equal(together[part], bilateral_grid(values[part], guide[part], sigma_s[part], sigma_r[part]))


def test_grid_leaves_one_value_alone_and_does_not_cross_an_edge_of_the_guide():
    guide = torch.full((1, 1, 16, 16), 0.1)
    guide[..., 8:] = 0.9
    values = torch.where(guide > 0.5, 0.7, -0.3)

    found = bilateral_grid(values, guide, torch.tensor([32.0]), torch.tensor([0.5]))

    assert torch.allclose(found, values, atol=1e-6)


def test_grid_refuses_what_it_cannot_resolve():
    values = torch.zeros(1, 1, 4, 4)

    with pytest.raises(ValueError, match="sigma_s must be 1 pixel or more"):
        bilateral_grid(values, values, torch.tensor([0.5]), torch.tensor([1.0]))
    with pytest.raises(ValueError, match=r"guide must lie in \[0, 1\], got values from 0 to 255"):
        bilateral_grid(values, torch.tensor([0.0, 255.0]).view(1, 1, 1, 2), torch.tensor([2.0]), torch.tensor([1.0]))


def test_denoise_keeps_one_colour_and_calms_chroma_more_than_luminance():
    sigmas = {
        name: torch.tensor([value])
        for name, value in {
            "luminance_sigma_s": 0.5,
            "luminance_sigma_r": 0.5,
            "chroma_sigma_s": 10.0,
            "chroma_sigma_r": 0.2,
        }.items()
    }
    flat = torch.tensor([0.6, 0.4, 0.3]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    noisy = (flat + 0.05 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)

    before, after = (to_yuv(colour).std(dim=(2, 3))[0] for colour in (noisy, denoise(noisy, **sigmas)))

    assert torch.allclose(denoise(flat, **sigmas), flat, atol=1e-5)
    assert after[1] < 0.2 * before[1] and after[2] < 0.2 * before[2]
    assert 0.2 * before[0] < after[0] < before[0]
