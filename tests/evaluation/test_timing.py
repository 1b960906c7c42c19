"""The seconds of a denoiser."""

import torch
from torch import Tensor

from nasir.evaluation.timing import Timed


def test_an_input_that_comes_again_is_restored_once_and_its_seconds_count_twice():
    calls = []

    def halve(noisy: Tensor, sigma: float) -> Tensor:
        calls.append((noisy, sigma))
        return noisy / 2

    first, second = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    timed = Timed(halve)

    restored = [timed(first, 50)]
    seconds = timed.seconds
    restored += [timed(first.clone(), 50)]
    assert timed.seconds == 2 * seconds > 0
    restored += [timed(second, 50), timed(second, 30), timed(first, 30), timed(first.double(), 30)]

    assert [image.dtype for image in restored] == [torch.float32] * 5 + [torch.float64]
    for image, noisy in zip(restored, (first, first, second, second, first, first.double()), strict=True):
        assert torch.equal(image, noisy / 2)
    assert [(noisy is first, sigma) for noisy, sigma in calls] == [
        (True, 50), (False, 50), (False, 30), (True, 30), (False, 30),
    ]  # fmt: skip
