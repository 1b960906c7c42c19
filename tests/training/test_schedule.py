"""The learning rate of each step, by hand."""

import math

import pytest
import torch

from nasir.training.schedule import anneal, cosine


def optimiser() -> torch.optim.SGD:
    """One with two groups."""
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    return torch.optim.SGD([{"params": [weight]} for weight in weights], lr=9.0)


def rates(steps: int, warmup_steps: int) -> list[float]:
    """Of steps 0 to `steps`, for the highest rate 0.8 and the lowest 0.2; the optimiser has what is told."""
    ours, told = optimiser(), []
    for step in range(steps + 1):
        told.append(anneal(ours, step, steps, 0.8, 0.2, warmup_steps))
        assert [group["lr"] for group in ours.param_groups] == [told[-1]] * 2
    return told


def test_without_a_warm_up_the_rate_is_the_cosine_alone():
    # 0.2 + 0.6 (1 + cos(pi t / 4)) / 2
    half = math.sqrt(0.5)
    assert rates(4, 0) == pytest.approx([0.8, 0.5 + 0.3 * half, 0.5, 0.5 - 0.3 * half, 0.2])
    assert anneal(optimiser(), 3, 4, 0.8, 0.2) == cosine(3, 4, 0.8, 0.2)


def test_the_rate_rises_in_equal_steps_and_falls_by_a_cosine_over_the_rest():
    # four steps up, then six down: their third is the middle of the cosine, the sixth its end
    found = rates(10, 4)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert found[6:] == pytest.approx([0.65, 0.5, 0.35, 0.2 + 0.3 * (1 - math.sqrt(0.75)), 0.2])


def test_a_warm_up_of_one_step_starts_at_the_highest_rate():
    assert rates(3, 1)[:2] == pytest.approx([0.8, 0.8])
