"""Training patches: right pixels, right chances, same seed same patches."""

import numpy as np
import pytest
import torch

from nasir.data.patches import PatchSampler

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symmetries(square: np.ndarray) -> set[bytes]:
    return {np.rot90(s, k).tobytes() for s in (square, square.T) for k in range(4)}


def test_patches_of_a_patch_sized_image_are_its_eight_symmetries_and_all_occur():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    patches = PatchSampler({"a": image}, 3, CPU).draw(200, generator())
    seen = {(p[0] * 255).round().to(torch.uint8).numpy().tobytes() for p in patches}
    # 200 draws miss one of eight kinds with a chance below 8 (7/8)^200 = 2e-11
    assert seen == symmetries(image)


def test_every_patch_is_a_window_of_one_image_in_mixed_sizes():
    rng = np.random.default_rng(0)
    images = {
        "wide": rng.integers(0, 256, (5, 11), dtype=np.uint8),
        "tall": rng.integers(0, 256, (9, 4), dtype=np.uint8),
    }
    windows = set()
    for image in images.values():
        for top in range(image.shape[0] - 3):
            for left in range(image.shape[1] - 3):
                windows |= symmetries(image[top : top + 4, left : left + 4])
    patches = PatchSampler(images, 4, CPU).draw(500, generator())
    seen = {(p[0] * 255).round().to(torch.uint8).numpy().tobytes() for p in patches}
    assert seen <= windows
    assert len(seen) > 60  # of 8 * (2 * 8 + 6 * 1) = 176 windows


def test_images_are_drawn_alike_whatever_their_size():
    images = {"big": np.zeros((90, 90), np.uint8), "small": np.full((8, 8), 255, np.uint8)}
    share = PatchSampler(images, 8, CPU).draw(4000, generator())[:, 0, 0, 0].mean().item()
    assert share == pytest.approx(0.5, abs=5 * 0.5 / 4000**0.5)  # five standard deviations


def test_same_seed_same_patches_other_seed_other_patches():
    sampler = PatchSampler({"a": np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)}, 16, CPU)
    first, again, other = (sampler.draw(4, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_colour_keeps_its_channels():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 255
    patch = PatchSampler({"green": image}, 4, CPU).draw(2, generator())
    assert patch.shape == (2, 3, 4, 4)
    assert patch.mean(dim=(0, 2, 3)).tolist() == [0.0, 1.0, 0.0]


def test_an_image_smaller_than_a_patch_is_named():
    with pytest.raises(ValueError, match="tiny must be at least 8 pixels on both sides, got 9x7"):
        PatchSampler({"tiny": np.zeros((7, 9), np.uint8)}, 8, CPU)


def test_floats_are_refused():
    with pytest.raises(ValueError, match="a must be an 8-bit image, got float32"):
        PatchSampler({"a": np.zeros((9, 9), np.float32)}, 8, CPU)
