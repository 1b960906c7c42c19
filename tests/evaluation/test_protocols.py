"""Protocols: the grid by hand, the noise draws by their variance, errors by name."""

import math

import pytest
import torch
from torch import Tensor

from nasir.data.noise import add_keyed_noise
from nasir.evaluation import metrics
from nasir.evaluation.classical import identity
from nasir.evaluation.protocols import PROTOCOLS, measure, restore, score, starts


class Recorder:
    """A denoiser that returns 0.5 everywhere and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        self.batches.append(noisy.clone())
        return torch.full_like(noisy, 0.5)


def shrink(noisy: Tensor, sigma: float) -> Tensor:
    """Half-way to mid-grey, so that nothing leaves [0, 1]."""
    return 0.5 + (noisy - 0.5) / 64


def test_starts_are_every_48_pixels_and_then_the_last_that_fits():
    assert starts(321, 48) == [0, 48, 96, 144, 192, 240, 257]
    assert starts(481, 48) == [0, 48, 96, 144, 192, 240, 288, 336, 384, 417]
    assert starts(64, 48) == [0]
    assert starts(65, 48) == [0, 1]
    assert starts(112, 48) == [0, 48]  # 48 = 112 - 64 comes once
    assert starts(113, 48) == [0, 48, 49]


@pytest.mark.parametrize("length", range(64, 210))
def test_every_pixel_is_covered(length):
    covered = {start + i for start in starts(length, 48) for i in range(64)}

    assert covered == set(range(length))


def test_sixty_percent_of_a_bsds500_image_are_covered_more_than_once():
    # 321 pixels: patches meet over 16 pixels 5 times and over 47 once: 127 covered twice, 194 once.
    # 481 pixels: over 16 pixels 8 times and over 31 once (384+64-417): 159 covered twice, 322 once.
    once = [sum(sum(s <= p < s + 64 for s in starts(n, 48)) == 1 for p in range(n)) for n in (321, 481)]

    assert once == [194, 322]
    share = 1 - 194 * 322 / (321 * 481)
    assert share == pytest.approx(0.595, abs=0.001)


def test_whole_gives_the_keyed_noisy_image_once():
    clean, denoiser = torch.full((1, 70, 90), 0.3), Recorder()

    restored = restore(denoiser, clean, "a", 50, "whole", seed=4)

    assert len(denoiser.batches) == 1
    assert torch.equal(denoiser.batches[0], add_keyed_noise(clean, "a", 50, 4)[None])
    assert torch.equal(restored, torch.full((1, 70, 90), 0.5))


def test_overlap_equals_its_literal_restatement():
    clean = torch.rand(2, 100, 130, generator=torch.Generator().manual_seed(0))
    total, count = torch.zeros(clean.shape, dtype=torch.float64), torch.zeros(clean.shape)
    index = 0
    for top in (0, 36):
        for left in (0, 48, 66):
            patch = clean[:, top : top + 64, left : left + 64]
            total[:, top : top + 64, left : left + 64] += shrink(add_keyed_noise(patch, "a", 30, 9, patch=index), 30)
            count[:, top : top + 64, left : left + 64] += 1
            index += 1

    restored = restore(shrink, clean, "a", 30, "overlap", seed=9)

    assert torch.allclose(restored.double(), total / count, atol=1e-7, rtol=0)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batch_changes_the_calls_and_not_the_result(batch):
    clean, denoiser = torch.rand(1, 150, 112, generator=torch.Generator().manual_seed(1)), Recorder()

    restore(denoiser, clean, "a", 50, "overlap", 0, batch)

    # starts 0, 48, 86 times 0, 48: six patches
    assert [len(noisy) for noisy in denoiser.batches] == {1: [1] * 6, 4: [4, 2], 100: [6]}[batch]
    assert torch.equal(
        restore(shrink, clean, "a", 50, "overlap", 0, batch), restore(shrink, clean, "a", 50, "overlap", 0, 3)
    )


def test_averaging_n_draws_divides_the_error_variance_by_n():
    # 321x481 at shrink 1/64: the restored error is noise / 64, of variance sigma^2 / draws at each pixel.
    clean = torch.full((1, 321, 481), 0.5)
    draws = torch.zeros(321, 481)
    for top in starts(321, 48):
        for left in starts(481, 48):
            draws[top : top + 64, left : left + 64] += 1

    error = (restore(shrink, clean, "a", 50, "overlap", 0)[0].double() - 0.5) * 64 * 255

    for count in (1, 2, 4):
        sample = error[draws == count]
        expected = 50 / math.sqrt(count)
        assert sample.std().item() == pytest.approx(expected, abs=4 * expected / math.sqrt(2 * len(sample)))


def test_repeated_draws_alone_gain_1_74_db_on_an_image_of_bsds500_size():
    # before clipping the error variance of a pixel is sigma^2 / draws; their mean over the grid is 0.670 sigma^2
    clean = torch.full((1, 321, 481), 0.5)

    whole = measure("a", restore(shrink, clean, "a", 30, "whole", 0), clean).psnr_db
    overlap = measure("a", restore(shrink, clean, "a", 30, "overlap", 0), clean).psnr_db

    assert overlap - whole == pytest.approx(1.74, abs=0.04)


def test_identity_under_whole_scores_the_noise_itself():
    # nothing clips at sigma 10 around 0.5: PSNR = -20 log10(10 / 255) = 28.131 dB
    rows = score(identity, {"grey": torch.full((1, 400, 400), 0.5)}, sigma=10, protocol="whole", seed=0)

    assert rows[0].psnr_db == pytest.approx(28.131, abs=0.05)


def test_sigma_zero_leaves_the_clean_image_under_every_protocol():
    clean = torch.rand(1, 77, 101, generator=torch.Generator().manual_seed(2))

    for protocol in PROTOCOLS:
        assert torch.equal(restore(identity, clean, "a", 0, protocol, 0), clean)


def test_clipping_comes_once_and_after_averaging():
    # Two patches of a 64x112 image meet over 16 columns and restore to 2 and to 0.25. There the mean is 1.125, clipped
    # to 1; clipping each patch first would give (1 + 0.25) / 2 = 0.625.
    def constant(noisy: Tensor, sigma: float) -> Tensor:
        return torch.tensor([2.0, 0.25]).view(2, 1, 1, 1).expand_as(noisy)

    restored = restore(constant, torch.zeros(1, 64, 112), "a", 50, "overlap", 0)

    assert restored[0, 0, [0, 47, 48, 63, 64, 111]].tolist() == [1, 1, 1, 1, 0.25, 0.25]


def test_scores_are_those_of_the_metrics_in_the_order_of_the_images():
    images = {
        name: torch.rand(1, size, 70, generator=torch.Generator().manual_seed(size))
        for name, size in (("b", 65), ("a", 80))
    }

    rows = score(shrink, images, sigma=50, protocol="overlap", seed=0)

    assert [row.name for row in rows] == ["b", "a"]
    for row in rows:
        restored = restore(shrink, images[row.name], row.name, 50, "overlap", 0)[None].double()
        clean = images[row.name][None].double()
        assert row.psnr_db == metrics.psnr(restored, clean).item()
        assert row.ssim_zero_padded == pytest.approx(metrics.ssim_zero_padded(restored, clean).item())
        assert row.ssim_valid == pytest.approx(metrics.ssim_valid(restored, clean).item())


def test_denoisers_run_without_gradients():
    module = torch.nn.Conv2d(1, 1, 3, padding=1)

    assert not restore(lambda noisy, sigma: module(noisy), torch.zeros(1, 64, 64), "a", 50, "overlap", 0).requires_grad


def test_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match=r"protocol must be one of \['whole', 'overlap'\], got 'half'"):
        score(identity, {"a": torch.zeros(1, 64, 64)}, sigma=50, protocol="half", seed=0)


def test_small_images_are_refused_where_patches_are_needed():
    small = {"test/tiny": torch.zeros(1, 80, 63)}

    with pytest.raises(ValueError, match="'overlap' needs images of at least 64x64 pixels, got 80x63 for 'test/tiny'"):
        score(identity, small, sigma=50, protocol="overlap", seed=0)
    assert len(score(identity, small, sigma=50, protocol="whole", seed=0)) == 1


def test_images_below_the_ssim_window_are_named():
    with pytest.raises(ValueError, match=r"image 'test/tiny' cannot be scored: .* at least 11x11 pixels, got 10x80"):
        score(identity, {"test/tiny": torch.zeros(1, 10, 80)}, sigma=50, protocol="whole", seed=0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            torch.zeros(64, 64),
            r"'a' must be a float tensor of shape \(C, H, W\) .* got torch.float32 of shape \(64, 64\)",
        ),
        (torch.full((1, 64, 64), 255.0), r"'a' must be .* between 255 and 255; divide 8-bit images by 255"),
        (torch.ones(1, 64, 64).byte(), r"'a' must be a float tensor .* got torch.uint8"),
        (torch.full((1, 64, 64), float("nan")), r"'a' must be .* between nan and nan"),
    ],
)
def test_images_of_another_kind_are_named(image, message):
    with pytest.raises(ValueError, match=message):
        score(identity, {"a": image}, sigma=50, protocol="whole", seed=0)


def test_a_batch_without_patches_is_refused():
    with pytest.raises(ValueError, match="batch must be at least 1 patch, got 0"):
        score(identity, {"a": torch.zeros(1, 64, 64)}, sigma=50, protocol="overlap", seed=0, batch=0)


@pytest.mark.parametrize("protocol", ["whole", "overlap"])
@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (lambda noisy, sigma: noisy[..., 1:], r"input's shape \(1, 1, 64, 64\), got \(1, 1, 64, 63\)"),
        (lambda noisy, sigma: noisy.numpy(), "got ndarray"),
        (lambda noisy, sigma: noisy / 0 * 0, "finite values, got NaN or infinity"),
    ],
)
def test_broken_denoisers_are_refused_with_image_and_protocol(denoiser, message, protocol):
    with pytest.raises(ValueError, match=message) as caught:
        score(denoiser, {"test/1": torch.full((1, 64, 64), 0.5)}, sigma=50, protocol=protocol, seed=0)
    assert "'test/1'" in str(caught.value)
    assert f"protocol {protocol!r}" in str(caught.value)
