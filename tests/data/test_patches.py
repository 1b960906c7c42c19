"""Training patches: right pixels, right chances, same seed same patches."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nasir.data.noise import add_noise
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


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_batch_is_what_one_patch_after_the_other_gives_bit_for_bit(colours):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (9 + i, 14 - i, *colours), dtype=np.uint8) for i in range(4)]
    found = PatchSampler({str(i): image for i, image in enumerate(images)}, 5, CPU).draw(40, generator(3))

    g = generator(3)  # the order of the draws is part of a run's numbers
    which = torch.randint(4, (40,), generator=g).tolist()
    tops, lefts = torch.rand((2, 40), generator=g, dtype=torch.float64).tolist()
    turned, upside_down, mirrored = torch.randint(2, (3, 40), generator=g).tolist()
    for i in range(40):
        image = images[which[i]].reshape(*images[which[i]].shape[:2], -1)
        top, left = int(tops[i] * (image.shape[0] - 4)), int(lefts[i] * (image.shape[1] - 4))
        square = image[top : top + 5, left : left + 5]
        square = square[::-1] if upside_down[i] else square
        square = square[:, ::-1] if mirrored[i] else square
        square = square.transpose(1, 0, 2) if turned[i] else square
        expected = square.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        assert np.array_equal(found[i].numpy(), expected)


def test_a_generator_put_back_gives_the_next_batch_again():
    # nothing is drawn ahead: what a checkpoint holds is the state after the batch that was used
    sampler = PatchSampler({"a": np.arange(900, dtype=np.uint8).reshape(30, 30)}, 8, CPU)
    g = generator()
    sampler.draw(3, g)
    state = g.get_state()
    expected = sampler.draw(3, g)
    assert torch.equal(sampler.draw(3, torch.Generator().set_state(state)), expected)


class Calls(TorchDispatchMode):
    """Counts calls of tensor operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_the_work_is_done_for_all_patches_at_once():
    sampler = PatchSampler({"a": np.zeros((30, 30), np.uint8)}, 8, CPU)
    counts = []
    for count in (2, 200):
        with Calls() as calls:
            add_noise(sampler.draw(count, generator()), torch.full((count,), 50.0), generator())
        counts.append(calls.count)
    assert counts[0] == counts[1] > 0


@pytest.mark.gpu
def test_a_gpu_gets_the_same_batches():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images = {"a": np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)}
    batches = []
    for device in (CPU, torch.device("cuda")):
        g, sampler = generator(), PatchSampler(images, 16, device)
        clean = [sampler.draw(4, g) for _ in range(3)]
        noisy = [add_noise(one, sigma, g) for one, sigma in zip(clean, (50.0, torch.full((4,), 30.0), 0), strict=True)]
        batches.append([one.cpu() for one in clean + noisy])
    for on_cpu, on_gpu in zip(*batches, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=1e-6)  # products and sums may be contracted there


def test_the_images_of_a_pair_are_cut_and_mirrored_alike():
    clean = np.arange(8 * 9, dtype=np.uint8).reshape(8, 9, 1)
    stack = np.concatenate([clean, 255 - clean], axis=2)
    sampler = PatchSampler({"a": stack}, 4, CPU, is_paired=True)
    first, second = sampler.draw_pairs(50, generator())
    assert first.shape == second.shape == (50, 1, 4, 4)
    assert torch.allclose(first + second, torch.ones(()))


def test_images_without_partners_are_their_own():
    clean, degraded = PatchSampler({"a": np.zeros((8, 9), np.uint8)}, 4, CPU).draw_pairs(2, generator())
    assert degraded is clean


def test_patches_that_are_not_turned_are_as_they_are_or_mirrored():
    image = np.arange(8 * 9, dtype=np.uint8).reshape(8, 9)
    patches = PatchSampler({"a": image}, 4, CPU, is_turned=False).draw(200, generator()).mul(255).round()
    down, right = patches[:, 0, 1, 0] - patches[:, 0, 0, 0], patches[:, 0, 0, 1] - patches[:, 0, 0, 0]
    assert set(down.tolist()) == {9.0}  # a row down is 9 more: never upside down or turned
    assert set(right.tolist()) == {1.0, -1.0}
