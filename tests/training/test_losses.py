"""The loss of equations 7 and 8."""

import math

import pytest
import torch
from skimage.metrics import structural_similarity

from nasir.evaluation.metrics import ssim_zero_padded
from nasir.training.losses import log_ssim, restoration_loss


def test_without_ssim_it_is_the_mean_squared_error():
    # four pixels off by 0.2, twelve right: 4 * 0.04 / 16 = 0.01
    clean = torch.zeros(1, 1, 4, 4)
    restored = clean.clone()
    restored[0, 0, 0] = 0.2
    assert restoration_loss(restored, clean, 0).item() == pytest.approx(0.01)


def test_the_ssim_term_is_the_logarithm_of_one_over_ssim():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 1, 24, 24, generator=generator, dtype=torch.float64)
    restored = clean + 0.1 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    mean_ssim = ssim_zero_padded(restored, clean).mean().item()
    expected = (restored - clean).square().mean().item() + 0.5 * math.log10(1 / mean_ssim)
    assert restoration_loss(restored, clean, 0.5).item() == pytest.approx(expected, rel=1e-12)
    # and that SSIM is the standard one but for the border: scikit-image with the valid window is near
    other = structural_similarity(
        restored[0, 0].numpy(),
        clean[0, 0].numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
    )
    assert ssim_zero_padded(restored, clean)[0].item() == pytest.approx(other, abs=0.02)


def test_log10_of_a_tenth_is_one():
    assert log_ssim(torch.tensor(0.1, dtype=torch.float64)).item() == pytest.approx(1.0)


def test_below_the_floor_the_loss_is_finite_and_falls_as_ssim_rises():
    s = torch.tensor([-0.5, 0.0, 0.001], dtype=torch.float64, requires_grad=True)
    values = torch.stack([log_ssim(x) for x in s])
    values.sum().backward()
    assert values.isfinite().all()
    assert values[0] > values[1] > values[2]
    assert values[2].item() == pytest.approx(3.0)  # log10(1 / 0.001)
    # the tangent at the floor: -1 / (0.001 ln 10)
    assert s.grad[:2].tolist() == pytest.approx([-1 / (0.001 * math.log(10))] * 2)


def test_identical_images_have_no_loss():
    clean = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert restoration_loss(clean, clean, 0.5).item() == pytest.approx(0, abs=1e-6)
