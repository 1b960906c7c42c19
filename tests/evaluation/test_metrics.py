"""PSNR and SSIM against closed forms, scikit-image and a direct two-dimensional convolution."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.autograd import gradcheck, gradgradcheck

from nasir.evaluation import metrics
from nasir.evaluation.metrics import psnr, ssim_map, ssim_valid, ssim_zero_padded, valid_region


def draw_pair(height: int, width: int, seed: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth image with a noisy, clipped copy of it: (restored, clean), float64."""
    generator = np.random.default_rng(seed)
    clean = gaussian_filter(generator.random((channels, height, width)), (0, 3, 3))
    clean = (clean - clean.min()) / (clean.max() - clean.min())
    restored = np.clip(clean + 0.1 * generator.standard_normal(clean.shape), 0, 1)
    return torch.from_numpy(restored)[None], torch.from_numpy(clean)[None]


def direct_zero_padded_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The definition, written out: a two-dimensional window, convolved with images continued by zeros."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return convolve2d(image, window, mode="same", boundary="fill", fillvalue=0)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.0001, 0.0009
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_psnr_of_a_constant_error_of_a_tenth_is_20_db():
    # -10 log10(0.1^2) = 20; half the pixels wrong by 0.1: -10 log10(0.005) = 23.0103
    clean = torch.full((2, 1, 4, 6), 0.5, dtype=torch.float64)
    restored = clean + 0.1
    restored[1, :, :2] = 0.5

    assert psnr(restored, clean).tolist() == pytest.approx([20, 23.010299956639813])


def test_psnr_equals_scikit_image():
    restored, clean = draw_pair(33, 50, seed=0)

    expected = peak_signal_noise_ratio(clean[0, 0].numpy(), restored[0, 0].numpy(), data_range=1)

    assert psnr(restored, clean).item() == pytest.approx(expected, abs=1e-9)


def test_psnr_of_equal_images_is_infinite():
    clean = torch.rand(1, 1, 8, 8)

    assert psnr(clean, clean).item() == math.inf


def test_psnr_of_float32_images_is_summed_in_float64():
    # 2^22 squared errors of 2^-20 each: float32 sums of so many equal terms lose digits, the mean is 2^-20 exactly
    clean = torch.zeros(1, 1, 2048, 2048)
    restored = clean + 2**-10

    assert psnr(restored, clean).item() == pytest.approx(200 * math.log10(2), abs=1e-12)
    assert psnr(restored, clean).dtype == torch.float64


@pytest.mark.parametrize(("height", "width"), [(11, 11), (16, 23), (64, 64), (57, 120), (481, 321)])
def test_valid_ssim_equals_scikit_image(height, width):
    restored, clean = draw_pair(height, width, seed=height)

    expected = structural_similarity(
        clean[0, 0].numpy(),
        restored[0, 0].numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
    )

    assert 0.1 < expected < 0.99
    assert ssim_valid(restored, clean).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("height", "width"), [(1, 9), (3, 5), (30, 4), (11, 11), (24, 37), (47, 16)])
def test_zero_padded_ssim_equals_a_direct_convolution(height, width):
    restored, clean = draw_pair(height, width, seed=height)

    expected = direct_zero_padded_map(restored[0, 0].numpy(), clean[0, 0].numpy())

    assert ssim_map(restored, clean)[0, 0].numpy() == pytest.approx(expected, abs=1e-9)
    assert ssim_zero_padded(restored, clean).item() == pytest.approx(expected.mean(), abs=1e-9)


def test_ssim_of_two_constant_images_is_its_first_factor():
    # no variance: (2 * 0.5 * 0.25 + 0.0001) / (0.25 + 0.0625 + 0.0001) = 0.2501 / 0.3126
    clean = torch.full((1, 1, 20, 20), 0.5, dtype=torch.float64)

    assert ssim_valid(clean / 2, clean).item() == pytest.approx(0.2501 / 0.3126)


def test_ssim_of_equal_images_is_one_and_of_inverted_ones_is_negative():
    _, clean = draw_pair(32, 32, seed=1)

    assert ssim_zero_padded(clean, clean).item() == 1  # no rounding either: the difference is 0 and both factors a / a
    assert ssim_valid(clean, clean).item() == 1
    assert ssim_valid(1 - clean, clean).item() < 0


def test_ssim_is_symmetric():
    restored, clean = draw_pair(20, 30, seed=2)

    assert ssim_zero_padded(restored, clean).item() == pytest.approx(
        ssim_zero_padded(clean, restored).item(), abs=1e-14
    )


def test_channels_are_scored_one_by_one_and_averaged():
    restored, clean = draw_pair(20, 30, seed=3, channels=3)

    for ssim in (ssim_zero_padded, ssim_valid):
        each = [ssim(restored[:, [c]], clean[:, [c]]).item() for c in range(3)]
        assert ssim(restored, clean).item() == pytest.approx(sum(each) / 3)


def test_images_of_a_batch_are_scored_on_their_own():
    pairs = [draw_pair(20, 30, seed=seed) for seed in (4, 5, 6)]
    restored, clean = torch.cat([r for r, _ in pairs]), torch.cat([c for _, c in pairs])

    for measure in (psnr, ssim_zero_padded, ssim_valid):
        assert measure(restored, clean).tolist() == pytest.approx([measure(r, c).item() for r, c in pairs])


def test_an_image_that_is_not_finite_leaves_the_others_of_its_batch_alone():
    pairs = [draw_pair(21, 30, seed=seed) for seed in (4, 5, 6)]
    restored, clean = torch.cat([r for r, _ in pairs]), torch.cat([c for _, c in pairs])
    expected = [ssim_zero_padded(r, c).item() for r, c in pairs]
    restored[1] = math.nan

    first, middle, last = ssim_zero_padded(restored, clean).tolist()

    assert (first, last) == (expected[0], expected[2])
    assert math.isnan(middle)


@pytest.mark.parametrize("tile", [1, 3 * 23 * 14, 3 * 23 * 41, 3 * 23 * 41 * 2])
def test_large_images_and_batches_are_worked_off_in_tiles(monkeypatch, tile):
    # each image in 5 strips (of at most 10 rows), in 3 (of at most 14), as a whole, and two images at a time
    pairs = [draw_pair(41, 23, seed=seed, channels=3) for seed in (9, 10, 11)]
    restored, clean = torch.cat([r for r, _ in pairs]), torch.cat([c for _, c in pairs])
    whole = ssim_map(restored, clean)

    monkeypatch.setattr(metrics, "TILE", tile)

    assert ssim_map(restored, clean).numpy() == pytest.approx(whole.numpy(), abs=1e-12)


def test_values_do_not_depend_on_the_number_of_threads():
    restored, clean = draw_pair(300, 301, seed=12)
    threads, found = torch.get_num_threads(), []

    for count in (1, 2):
        torch.set_num_threads(count)
        found.append([measure(restored, clean).item() for measure in (psnr, ssim_zero_padded, ssim_valid)])
    torch.set_num_threads(threads)

    assert found[0] == found[1]


def test_float32_ssim_is_close_to_float64():
    restored, clean = draw_pair(64, 64, seed=7)

    value = ssim_zero_padded(restored.float(), clean.float())

    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(ssim_zero_padded(restored, clean).item(), abs=1e-5)


def test_ssim_has_exact_first_and_second_derivatives(monkeypatch):
    pair = [image.clone().requires_grad_() for image in draw_pair(7, 12, seed=8)]
    assert gradcheck(ssim_zero_padded, pair)
    assert gradgradcheck(ssim_zero_padded, pair)

    strip = [image.clone().requires_grad_() for image in draw_pair(12, 3, seed=8)]
    monkeypatch.setattr(metrics, "TILE", 1)
    assert gradcheck(ssim_zero_padded, strip)
    assert gradgradcheck(ssim_zero_padded, strip)


def test_float32_derivatives_are_close_to_float64():
    restored, clean = draw_pair(48, 48, seed=13)
    slopes = []

    for dtype in (torch.float32, torch.float64):
        image = restored.to(dtype).requires_grad_()
        ssim_zero_padded(image, clean.to(dtype)).sum().backward()
        slopes.append(image.grad.double())

    assert (slopes[0] - slopes[1]).norm() / slopes[1].norm() < 1e-4


def test_valid_ssim_needs_eleven_pixels():
    images = torch.zeros(1, 1, 10, 40)

    with pytest.raises(ValueError, match="valid SSIM needs images of at least 11x11 pixels, got 10x40"):
        ssim_valid(images, images)
    with pytest.raises(ValueError, match="use ssim_zero_padded"):
        valid_region(images)


def test_pairs_that_do_not_fit_are_refused():
    images = torch.zeros(1, 1, 12, 12)

    for measure in (psnr, ssim_zero_padded, ssim_valid):
        with pytest.raises(ValueError, match=r"one shape \(N, C, H, W\), got \(1, 1, 12, 12\) and \(1, 1, 12, 13\)"):
            measure(images, torch.zeros(1, 1, 12, 13))
        with pytest.raises(ValueError, match=r"one shape \(N, C, H, W\), got \(1, 12, 12\)"):
            measure(images[0], images[0])
        with pytest.raises(ValueError, match=r"floats in \[0, 1\], got torch.float32 and torch.uint8"):
            measure(images, images.byte())
        with pytest.raises(ValueError, match=r"got \(0, 1, 12, 12\).*each side must be at least 1"):
            measure(images[:0], images[:0])
    with pytest.raises(ValueError, match=r"one dtype, got torch.float32 and torch.float64"):
        ssim_valid(images, images.double())
    with pytest.raises(ValueError, match=r"clean must lie in \[0, 1\], got a maximum of 255"):
        psnr(images, images + 255)
