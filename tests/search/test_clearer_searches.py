"""Every strategy on CLEARER's space: it finds a network of the space, and the losses of alpha pull where they say."""

import dataclasses

import pytest
import torch

from nasir.search import darts, one_shot, random
from nasir.search.contract import Found, Problem, Strategy
from nasir.spaces.clearer import SPACE
from nasir.spaces.resolutions import searching
from tests.search import test_darts, test_one_shot, test_random
from tests.search.test_darts import DARTS
from tests.spaces.resolutions.little import LITTLE

CONFIG = dataclasses.replace(test_darts.CONFIG, patch=16, warmup_steps=0)
SECTION = dataclasses.replace(LITTLE, initial_std=0.0)


def problem(section: object, **changes: object) -> Problem:
    config = dataclasses.replace(CONFIG, **changes)
    return dataclasses.replace(test_darts.PROBLEM, space=SPACE, of_space=SECTION, of_strategy=section, config=config)


@pytest.mark.parametrize(
    ("strategy", "section"),
    [
        (darts.STRATEGY, dataclasses.replace(DARTS, indecision=0.01, complexity=0.1, architecture_mode="eval")),
        (darts.STRATEGY, dataclasses.replace(DARTS, order=2, keep_from=2)),
        (one_shot.STRATEGY, dataclasses.replace(test_one_shot.ONE_SHOT, window=(0.0, 1e12), finalists=2)),
        (random.STRATEGY, dataclasses.replace(test_random.RANDOM, candidates=2)),
    ],
)
def test_a_strategy_finds_a_network_of_the_space(strategy: Strategy, section: object):
    found: Found = strategy.search(problem(section))
    assert SPACE.from_json(SPACE.to_json(found.genotype)) == found.genotype
    assert found.runner_up != found.genotype
    assert SPACE.build(found.genotype, SPACE.candidate_sizes(SECTION), 1)(torch.rand(1, 1, 9, 9)).shape == (1, 1, 9, 9)


def test_on_one_level_alpha_follows_the_loss_on_w():
    section = dataclasses.replace(DARTS, architecture_data="w")
    given = dataclasses.replace(problem(section), patches_a=None)
    assert darts.STRATEGY.search(given).genotype
    with pytest.raises(ValueError, match=r"strategy\.architecture_data must be one of \['a', 'w'\], got 'v'"):
        dataclasses.replace(DARTS, architecture_data="v")


def ends(start: float, **changes: object) -> float:
    """The weight of parallel modules that alpha ends at when nothing but its own losses pulls."""
    section = dataclasses.replace(
        DARTS, architecture_lr=3e-3, architecture_beta1=0.5, keep_from=0, architecture_mode="eval", **changes
    )
    relaxed = searching.relax("clearer", dataclasses.replace(SECTION, columns=(4, 4, 4)), 1, 0)
    relaxed.alpha.data.copy_(torch.tensor([[start, 0.0]] * 12))
    optimiser = darts.architecture_optimiser(relaxed, section)
    for _ in range(2000):
        loss = section.indecision * relaxed.indecision() + section.complexity * relaxed.size("parameters")
        darts.loop.descend(optimiser, relaxed.architecture(), torch.autograd.grad(loss, relaxed.architecture()))
    return relaxed.alpha.softmax(dim=-1)[:, 0].mean().item()


def test_decay_of_alpha_undoes_the_loss_that_decides_it_and_none_lets_it_decide():
    # as with the authors' code: from 0.73 alpha returns to 0.5 with a decay of 1e-3, and ends above 0.99 without
    assert ends(1.0, indecision=0.01, architecture_weight_decay=1e-3) == pytest.approx(0.5, abs=0.01)
    assert ends(1.0, indecision=0.01, architecture_weight_decay=0.0) > 0.99


def test_the_complexity_pulls_towards_fusion_until_decay_holds_it():
    both = {"indecision": 0.01, "complexity": 0.05}  # 0.1 L_Comp, whose value at equal weights is 0.5
    assert ends(1.0, architecture_weight_decay=1e-3, **both) == pytest.approx(0.216, abs=0.01)
    assert ends(0.0, architecture_weight_decay=1e-3, **both) == pytest.approx(0.216, abs=0.01)
