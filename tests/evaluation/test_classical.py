"""Classical denoisers: tuned, scale-free and fair."""

import sys
import types

import numpy as np
import pytest
import torch
from skimage.data import camera
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from nasir.evaluation import classical, protocols
from nasir.evaluation.classical import bm3d, choose, identity, non_local_means, total_variation


def photograph() -> Tensor:
    return torch.from_numpy(camera()[100:228, 180:308]).float()[None] / 255


def mean_psnr(denoiser: protocols.Denoiser, sigma: float) -> float:
    return protocols.score(denoiser, {"camera": photograph()}, sigma, "whole", seed=0)[0].psnr_db


@pytest.mark.parametrize("make", [total_variation, non_local_means])
@pytest.mark.parametrize("sigma", [30, 50, 70])
def test_classical_denoisers_gain_decibels_at_every_noise_level(make, sigma):
    gain = mean_psnr(make(0.8), sigma) - mean_psnr(identity, sigma)

    assert gain > 6


def test_total_variation_keeps_the_mean_and_lowers_the_variation():
    noisy = photograph()[None] + 50 / 255 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))

    restored = total_variation(0.8)(noisy, 50)

    def variation(image: Tensor) -> float:
        return (image.diff(dim=-1).abs().sum() + image.diff(dim=-2).abs().sum()).item()

    assert restored.mean().item() == pytest.approx(noisy.mean().item(), abs=1e-5)
    assert variation(restored) < variation(noisy) / 5


def test_total_variation_of_a_step_matches_its_closed_form():
    # Two halves of height 0 and 1, each 20 pixels wide: TV denoising moves each towards the other by weight / 20.
    step = torch.zeros(1, 1, 4, 40)
    step[..., 20:] = 1

    restored = denoise_tv_chambolle(step[0, 0].numpy(), weight=0.1, eps=0, max_num_iter=5000)
    ours = total_variation(0.1)(step, 255)  # weight = 0.1 * 255 / 255

    assert restored[0, [0, -1]] == pytest.approx([0.005, 0.995], abs=2e-4)
    assert ours[0, 0, 0, [0, -1]].tolist() == pytest.approx([0.005, 0.995], abs=5e-3)


def test_more_iterations_would_not_help_total_variation():
    clean = photograph()

    def converged(noisy: Tensor, sigma: float) -> Tensor:
        image = denoise_tv_chambolle(noisy[0, 0].numpy(), weight=0.8 * sigma / 255, eps=0, max_num_iter=1000)
        return torch.from_numpy(image)[None, None]

    ours = protocols.score(total_variation(0.8), {"camera": clean}, 50, "whole", seed=0)[0].psnr_db
    limit = protocols.score(converged, {"camera": clean}, 50, "whole", seed=0)[0].psnr_db

    assert ours > limit - 0.02


@pytest.mark.parametrize("make", [total_variation, non_local_means])
def test_a_batch_of_colour_images_is_denoised_image_by_image(make):
    noisy = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(0))

    restored = make(0.8)(noisy, 30)

    assert restored.shape == noisy.shape
    assert restored.dtype == noisy.dtype
    assert torch.equal(restored[1:], make(0.8)(noisy[1:], 30))


@pytest.mark.parametrize("make", [total_variation, non_local_means])
def test_oblong_grey_images_keep_their_orientation(make):
    # a vertical edge in an image that is wider than high
    noisy = torch.zeros(1, 1, 16, 40)
    noisy[..., 20:] = 1

    restored = make(0.5)(noisy, 30)

    assert torch.allclose(restored, noisy, atol=0.05)


@pytest.mark.parametrize("make", [total_variation, non_local_means])
def test_a_large_image_is_restored_in_tiles_that_show_no_seam(monkeypatch, make):
    image = torch.stack([torch.from_numpy(camera()[:230, :300]).float() / 255] * 3)[None]
    noisy = image + 50 / 255 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    whole = make(0.8)(noisy, 50)
    monkeypatch.setattr(classical, "LARGE", 230 * 300 - 1)
    monkeypatch.setattr(classical, "TILE", 100)

    in_tiles = make(0.8)(noisy, 50)
    monkeypatch.setattr(classical, "MARGIN", 0)
    without_margin = make(0.8)(noisy, 50)

    assert (in_tiles - whole).abs().max() < 1e-6
    assert (without_margin - whole).abs().max() > 0.01


@pytest.mark.parametrize("denoiser", [identity, total_variation(0.8), non_local_means(0.8)])
def test_sigma_zero_changes_nothing(denoiser):
    noisy = torch.rand(1, 1, 16, 16)

    assert torch.equal(denoiser(noisy, 0), noisy)


def test_choose_takes_the_factor_with_the_highest_mean_psnr():
    # A denoiser that scales towards the clean value 0.5: the closer the factor is to 0, the better.
    def scale(factor: float) -> protocols.Denoiser:
        return lambda noisy, sigma: 0.5 + factor * (noisy - 0.5)

    images = {name: torch.full((1, 16, 16), 0.5) for name in "ab"}

    assert choose(scale, (0.9, 0.1, 0.4), images, 50, seed=0) == 0.1


def test_choose_brackets_the_best_weight():
    images = {"camera": photograph()}

    assert choose(total_variation, (0.1, 0.8, 3.0), images, 50, seed=0) == 0.8
    assert choose(non_local_means, (0.1, 0.8, 3.0), images, 50, seed=0) == 0.8


def test_choose_needs_candidates_and_images():
    with pytest.raises(ValueError, match="at least one factor and one validation image, got 0 and 1"):
        choose(total_variation, (), {"a": photograph()}, 50, seed=0)
    with pytest.raises(ValueError, match="at least one factor and one validation image, got 1 and 0"):
        choose(total_variation, (0.8,), {}, 50, seed=0)


def test_bm3d_says_what_it_needs_and_that_its_licence_is_non_commercial(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)

    with pytest.raises(ValueError, match=r"needs the package bm3d, got none; .*non-commercial use only.*pip install"):
        bm3d()


def test_bm3d_beats_the_noise_on_grey_and_colour_and_refuses_other_channels(monkeypatch):
    calls = []

    def flatten(image: np.ndarray, sigma_psd: float) -> np.ndarray:
        calls.append((image.shape, sigma_psd))
        return np.full_like(image, image.mean())

    monkeypatch.setitem(sys.modules, "bm3d", types.SimpleNamespace(bm3d=flatten, bm3d_rgb=flatten))
    denoise = bm3d()

    for channels, shape in ((1, (20, 30)), (3, (20, 30, 3))):
        noisy = torch.rand(2, channels, 20, 30, generator=torch.Generator().manual_seed(0))
        restored = denoise(noisy, 51)
        assert restored.shape == noisy.shape
        assert restored[1, 0, 0, 0].item() == pytest.approx(noisy[1].mean().item(), abs=1e-6)
        assert calls[-1] == (shape, pytest.approx(0.2))  # 51 of 255
    with pytest.raises(ValueError, match=r"1 or 3 channels.*, got 2"):
        denoise(torch.zeros(1, 2, 20, 30), 51)


def test_bm3d_of_the_package_gains_more_than_10_db_on_a_flat_image():
    pytest.importorskip("bm3d", reason="the optional package bm3d is not installed")
    clean = torch.full((1, 48, 48), 0.5)

    restored, noisy = (
        protocols.score(denoiser, {"a": clean}, 30, "whole", 0)[0].psnr_db for denoiser in (bm3d(), identity)
    )

    assert restored - noisy > 10
