"""Protocols: the grid by hand, the noise draws by their variance, errors by name."""

import doctest
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nasir.data.noise import add_keyed_noise
from nasir.data.pictures.collection import Pair
from nasir.evaluation import metrics, protocols
from nasir.evaluation.classical import identity
from nasir.evaluation.protocols import PROTOCOLS, find, measure, reference, restore, score, score_image, starts


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


def test_the_examples_in_the_docstrings_run():
    run = doctest.testmod(protocols, optionflags=doctest.ELLIPSIS)
    assert run.attempted >= 17 and run.failed == 0


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


def noisy_patches(clean: Tensor, sigma: float, seed: int, corners: list[tuple[int, int]], is_redrawn: bool):
    """Each patch with its corner: of its own noise, or cut from the noisy image."""
    image = add_keyed_noise(clean, "a", sigma, seed)
    for index, (top, left) in enumerate(corners):
        own = add_keyed_noise(clean[:, top : top + 64, left : left + 64], "a", sigma, seed, patch=index)
        yield top, left, own if is_redrawn else image[:, top : top + 64, left : left + 64]


@pytest.mark.parametrize(
    ("protocol", "tops", "lefts", "is_redrawn"),
    [
        ("adjacent", (0, 36), (0, 64, 66), True),
        ("overlap", (0, 36), (0, 48, 66), True),
        ("overlap-shared", (0, 36), (0, 48, 66), False),
    ],
)
def test_joined_patches_equal_their_literal_restatement(protocol, tops, lefts, is_redrawn):
    clean = torch.rand(2, 100, 130, generator=torch.Generator().manual_seed(0))
    total, count = torch.zeros(clean.shape, dtype=torch.float64), torch.zeros(clean.shape)
    for top, left, noisy in noisy_patches(clean, 30, 9, [(t, x) for t in tops for x in lefts], is_redrawn):
        for row in range(64):
            for column in range(64):
                total[:, top + row, left + column] += shrink(noisy[:, row, column], 30)
                count[:, top + row, left + column] += 1

    restored = restore(shrink, clean, "a", 30, protocol, seed=9)

    assert torch.allclose(restored.double(), total / count, atol=1e-7, rtol=0)


def test_patch_mean_equals_its_literal_restatement():
    clean = torch.rand(1, 100, 130, generator=torch.Generator().manual_seed(0))
    corners = [(top, left) for top in (0, 36) for left in (0, 64, 66)]
    decibels = []
    for top, left, noisy in noisy_patches(clean, 30, 9, corners, is_redrawn=False):
        error = (noisy.clamp(0, 1) - clean[:, top : top + 64, left : left + 64]).double().square().mean()
        decibels.append(-10 * math.log10(error))

    scored = score_image(identity, clean, "a", 30, "patch-mean", seed=9)

    assert scored.psnr_db == pytest.approx(sum(decibels) / 6, abs=1e-6)
    assert scored.psnr_db != pytest.approx(score_image(identity, clean, "a", 30, "whole", seed=9).psnr_db, abs=1e-3)


def test_half_reduces_the_grey_levels_by_pillows_bicubic_filter_before_the_noise():
    levels = np.random.default_rng(0).integers(0, 256, (71, 90), dtype=np.uint8)
    half = np.asarray(Image.fromarray(levels).resize((45, 35), Image.Resampling.BICUBIC))
    small = torch.from_numpy(half.astype(np.float32) / 255)[None]
    clean, denoiser = torch.from_numpy(levels.astype(np.float32) / 255)[None], Recorder()

    restore(denoiser, clean, "a", 50, "half", seed=4)

    assert torch.equal(reference(clean, "a", "half"), small)
    assert torch.equal(denoiser.batches[0], add_keyed_noise(small, "a", 50, 4)[None])


def test_clipped8_rounds_what_the_denoiser_sees():
    clean, denoiser = torch.rand(1, 40, 50, generator=torch.Generator().manual_seed(3)), Recorder()
    expected = (add_keyed_noise(clean, "a", 70, 4) * 255).clamp(0, 255).round() / 255

    restore(denoiser, clean, "a", 70, "clipped8", seed=4)

    assert torch.equal(denoiser.batches[0], expected[None])


@pytest.mark.parametrize("protocol", ["clearer", "clearer-patches"])
def test_clearer_cuts_the_middle_and_then_the_noisy_image_to_8_bits(protocol):
    clean, denoiser = torch.rand(1, 131, 200, generator=torch.Generator().manual_seed(3)), Recorder()
    middle = clean[:, 1:129, 4:196]  # rests of 3 and 8: 1 and 4 go above and on the left
    noisy = (add_keyed_noise(middle, "a", 70, 4).clamp(0, 1) * 255 + 1e-4).floor() / 255

    restored = restore(denoiser, clean, "a", 70, protocol, seed=4)

    assert torch.equal(reference(clean, "a", protocol), middle) and restored.shape == middle.shape
    if protocol == "clearer":
        assert torch.allclose(denoiser.batches[0], noisy[None], atol=1e-7) and len(denoiser.batches) == 8
    else:
        patches = [noisy[:, top : top + 64, left : left + 64] for top in (0, 64) for left in (0, 64, 128)]
        assert torch.allclose(torch.cat(denoiser.batches), torch.stack(patches), atol=1e-7)


def test_whole_grey_levels_stay_themselves_when_they_are_truncated():
    levels = (torch.arange(4096) % 256).reshape(1, 64, 64) / 255
    denoiser = Recorder()
    restore(denoiser, levels, "a", 0, "clearer-patches", seed=4)
    assert torch.allclose(denoiser.batches[0][0], levels, atol=1e-7)


def test_8bit_rounds_what_is_scored():
    clean = torch.full((1, 40, 40), 0.5)

    restored = restore(lambda noisy, sigma: torch.full_like(noisy, 0.31), clean, "a", 50, "whole+8bit", 0)

    assert torch.equal(restored, torch.full((1, 40, 40), 79 / 255))  # 0.31 * 255 = 79.05


def test_x8_is_the_mean_over_the_rotations_and_reflections():
    clean, seen = torch.rand(1, 70, 90, generator=torch.Generator().manual_seed(3)), []

    def lean(noisy: Tensor, sigma: float) -> Tensor:
        seen.append(tuple(noisy.shape))
        return noisy * torch.linspace(0, 1, noisy.shape[-1])  # dark on the left, whichever side that was

    restored = restore(lean, clean, "a", 5, "whole+x8", 0)

    # each side is left in 2 of the 8: the mean weight is (x + (1 - x) + y + (1 - y)) / 4 = 1/2 everywhere
    assert torch.allclose(restored, (add_keyed_noise(clean, "a", 5, 0) / 2).clamp(0, 1), atol=1e-6)
    assert sorted(set(seen)) == [(1, 1, 70, 90), (1, 1, 90, 70)] and len(seen) == 8


def test_x8_leaves_an_equivariant_denoiser_alone_under_every_protocol():
    clean = torch.rand(1, 70, 90, generator=torch.Generator().manual_seed(3))

    for protocol in PROTOCOLS:
        once, eight = (score_image(shrink, clean, "a", 30, name, 0) for name in (protocol, f"{protocol}+x8"))
        assert eight.psnr_db == pytest.approx(once.psnr_db, abs=1e-4)


def test_y_scores_the_luma_of_rgb_images():
    # a shift of 0.1 in all channels is one of 0.1 * 219 / 255 in Y: PSNR 20 + 20 log10(255 / 219) = 21.322 dB
    clean = torch.full((3, 40, 40), 0.5)

    scored = {
        name: score_image(lambda noisy, sigma: torch.full_like(noisy, 0.6), clean, "a", 50, name, 0).psnr_db
        for name in ("whole", "whole+y")
    }

    assert scored["whole"] == pytest.approx(20, abs=1e-4)
    assert scored["whole+y"] == pytest.approx(21.322, abs=1e-3)


def test_y_is_refused_for_grey_images():
    with pytest.raises(ValueError, match=r"\+y needs RGB images \(3 channels\), got 1 for 'a'"):
        score(identity, {"a": torch.zeros(1, 64, 64)}, sigma=50, protocol="whole+y", seed=0)


def test_options_may_come_in_any_order_and_are_named_in_one():
    assert find("clipped8+y+x8").name == "clipped8+x8+y"
    assert find("whole+8bit").description.endswith("; output rounded to 8 bits")
    assert {name: find(name) for name in PROTOCOLS} == PROTOCOLS


def test_halving_needs_images_that_stay_above_the_ssim_window():
    with pytest.raises(ValueError, match=r"'half' needs images of at least 22x22 pixels .* got 21x80 for 'test/tiny'"):
        score(identity, {"test/tiny": torch.zeros(1, 21, 80)}, sigma=50, protocol="half", seed=0)


def test_images_of_mixed_sizes_are_scored_one_by_one():
    images = {name: torch.rand(1, height, 77) for name, height in (("a", 65), ("b", 101), ("c", 64))}

    for protocol in PROTOCOLS:
        together = score(shrink, images, 30, protocol, 0)
        alone = [score_image(shrink, image, name, 30, protocol, 0) for name, image in images.items()]
        assert together == alone


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
    shared = measure("a", restore(shrink, clean, "a", 30, "overlap-shared", 0), clean).psnr_db

    assert overlap - whole == pytest.approx(1.74, abs=0.04)
    assert shared == pytest.approx(whole, abs=1e-5)  # the average of one and the same draw


def test_identity_under_whole_scores_the_noise_itself():
    # nothing clips at sigma 10 around 0.5: PSNR = -20 log10(10 / 255) = 28.131 dB
    rows = score(identity, {"grey": torch.full((1, 400, 400), 0.5)}, sigma=10, protocol="whole", seed=0)

    assert rows[0].psnr_db == pytest.approx(28.131, abs=0.05)


def test_sigma_zero_leaves_the_clean_image_under_every_protocol():
    clean = torch.rand(1, 77, 101, generator=torch.Generator().manual_seed(2))

    for protocol in PROTOCOLS:
        restored, expected = restore(identity, clean, "a", 0, protocol, 0), reference(clean, "a", protocol)
        if protocol == "clipped8":
            expected = (expected * 255).round() / 255
        elif protocol.startswith("clearer"):
            expected = (expected * 255 + 1e-4).floor() / 255
        assert torch.allclose(restored, expected, atol=1e-7, rtol=0), protocol


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
    for name in ("quarter", "whole+x9", "whole+x8+x8", "whole+"):
        with pytest.raises(
            ValueError, match=r"one of \['whole', 'half', .*\['\+8bit', '\+x8', '\+y'\] once each, got "
        ):
            score(identity, {"a": torch.zeros(1, 64, 64)}, sigma=50, protocol=name, seed=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            {"a": np.zeros((16, 16), np.uint8)},
            "image 'a' must be a float tensor of shape .*, got a ndarray; make an array",
        ),
        ({"a": Pair(torch.zeros(1, 16, 16), None)}, "image 'a' must be a float tensor .*, got a NoneType"),
        ({"a": torch.zeros(1, 0, 16)}, r"image 'a' must be a float tensor .*, got an empty one, \(1, 0, 16\)"),
        ([torch.zeros(1, 16, 16)], "images must be a mapping of names to images, got a list; name them"),
        (np.zeros((1, 16, 16)), "images must be a mapping of names to images, got a ndarray"),
    ],
)
def test_what_is_no_image_or_has_no_name_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        score(identity, images, sigma=50, protocol="whole", seed=0)


def test_small_images_are_refused_where_patches_are_needed():
    small = {"test/tiny": torch.zeros(1, 80, 63)}

    with pytest.raises(ValueError, match="'overlap' needs images of at least 64x64 pixels, got 80x63 for 'test/tiny'"):
        score(identity, small, sigma=50, protocol="overlap", seed=0)
    with pytest.raises(ValueError, match="'clearer' needs images of at least 64x64 pixels, got 80x63 for 'test/tiny'"):
        score(identity, small, sigma=50, protocol="clearer", seed=0)
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


def test_the_degraded_image_of_a_pair_is_restored_and_held_against_the_clean_one():
    clean, degraded, denoiser = torch.full((3, 70, 90), 0.5), torch.full((3, 70, 90), 0.6), Recorder()

    [through] = score(identity, {"a": Pair(clean, degraded)}, 0, "whole", seed=0)
    perfect = restore(denoiser, Pair(clean, degraded), "a", 0, "overlap", seed=0)

    assert through.psnr_db == pytest.approx(20, abs=1e-4)  # mean squared error 0.1^2
    assert torch.equal(torch.cat(denoiser.batches), torch.full((4, 3, 64, 64), 0.6))  # 2 x 2 patches, without noise
    assert torch.equal(perfect, clean)


def test_images_of_a_pair_must_have_one_shape():
    with pytest.raises(ValueError, match=r"images of 'a' must have one shape, got \(1, 70, 90\) and \(1, 70, 91\)"):
        restore(identity, Pair(torch.zeros(1, 70, 90), torch.zeros(1, 70, 91)), "a", 0, "whole", seed=0)
