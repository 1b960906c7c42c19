"""Random search: the budget by hand, the candidates' law, and that a killed search ends as one left alone."""

import copy
import dataclasses
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasir import cluster, settings
from nasir.config import reading
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import to_clean
from nasir.layers.cost import flops_per_pixel
from nasir.search import darts, random
from nasir.search.contract import Found, Problem
from nasir.search.sampling.alone import train
from nasir.spaces import irnas
from nasir.spaces.cells import searching
from nasir.spaces.cells.genotype import Genotype, to_json
from nasir.training.parallel import alone
from nasir.training.validation import validate
from tests.spaces.cells.small import SMALL
from tests.test_cluster import Backwards

ROOT = Path(__file__).parents[2]
RESOLVED = settings.resolve(reading.read(ROOT / "params.yaml"), ROOT / "profiles", strategy="random")
DEMO = settings.Settings(RESOLVED, "demo")
CONFIG = dataclasses.replace(DEMO.search, steps=6, warmup_steps=2, batch=2, patch=12)
RANDOM = dataclasses.replace(DEMO.of_strategy, candidates=3, budget=1.0, optimiser="sgd", window=(0.0, 1e12))
SECTION = dataclasses.replace(SMALL, width_factors=(1.0, 2.0, 4.0))
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
IMAGES_V = {"v": to_clean(IMAGE[:14, :14])}
STEP = 2 * 12**2 * 2 * 9  # batch * patch^2 * one 3x3 convolution, two operations for each of its 9 multiply-adds

Build = Callable[[Genotype], nn.Module]


class Killed(Exception):
    """What stands in for SIGKILL."""


class Stand(irnas.IrNas):
    """The space irnas with a stand-in for its networks."""

    def __init__(self, build_one: Build) -> None:
        self.build_one = build_one

    def build(self, genotype: Genotype, sizes: Any, channels: int) -> nn.Module:
        return self.build_one(genotype)


def small(genotype: Genotype) -> nn.Module:
    """A stand-in for every genotype's network: one convolution, 18 operations per pixel."""
    return nn.Conv2d(1, 1, 3, padding=1)


def by_level(genotype: Genotype) -> nn.Module:
    """Networks that differ in cost: 18 operations per pixel for each level of the path's end, from 1 on."""
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(1 + genotype.path[-1])))


def problem(build: Build = small, **others: Any) -> Problem:
    given: dict[str, Any] = {
        "space": Stand(build),
        "of_space": SECTION,
        "config": CONFIG,
        "of_strategy": RANDOM,
        "channels": 1,
        "patches_w": PatchSampler({"w": IMAGE}, CONFIG.patch, torch.device("cpu")),
        "patches_a": PatchSampler({"a": IMAGE}, CONFIG.patch, torch.device("cpu")),
        "images_v": IMAGES_V,
        "seed": 0,
        "state": None,
        "save": lambda state: None,
        "log": lambda step, news: None,
        "team": alone(torch.device("cpu")),
    }
    return Problem(**given | others)


def run(build: Build = small, budget: float = 9.0 * STEP, **others: Any) -> Found:
    return random.search(problem(build, **others), budget)


def test_the_differentiable_search_spends_one_pass_a_step_and_two_after_the_warm_up():
    # six updates of the weights and four of the architecture, on two patches of 144 pixels
    assert darts.spent_flops(6, CONFIG, 1, cost=10) == (6 + 4) * 2 * 144 * 10
    assert darts.spent_flops(2, CONFIG, 1, cost=10) == 2 * 2 * 144 * 10


def test_the_budget_is_a_share_of_what_the_differentiable_search_spends_on_the_supernet():
    found = random.STRATEGY.search(problem(of_strategy=dataclasses.replace(RANDOM, budget=0.02)))

    cost = flops_per_pixel(searching.relax("irnas", SECTION, 1, 0).network, 1, 12)
    assert found.facts["budget_flops"] == 0.02 * ((6 + 4) * 2 * 144 * cost)
    # what the three candidates leave of it is less than one step of each
    assert 0 <= found.facts["budget_flops"] - found.spent_flops < 3 * STEP


def test_without_a_supernet_the_candidates_mean_cost_stands_in_for_its(monkeypatch):
    class Flat(Stand):
        searching = "flat_searching"

    monkeypatch.setitem(sys.modules, "flat_searching", SimpleNamespace(random_genotype=searching.random_genotype))
    found = random.STRATEGY.search(problem(space=Flat(by_level)))

    levels = [candidate["genotype"]["path"][-1] for candidate in found.candidates]
    assert len(set(levels)) > 1
    assert found.facts["budget_flops"] == pytest.approx((6 + 4) * STEP * fmean(1 + level for level in levels))


@pytest.mark.parametrize(("budget", "steps"), [(9.0, 3), (11.9, 3), (12.0, 4), (2.0, 1)])
def test_each_of_three_candidates_gets_a_third_in_whole_steps_and_one_at_least(budget, steps):
    found = run(budget=budget * STEP)

    assert [candidate["steps"] for candidate in found.candidates] == [steps] * 3
    assert found.spent_flops == 3 * steps * STEP  # of a budget of 2 steps it takes 3


def test_a_costlier_candidate_gets_fewer_steps_for_the_same_share():
    # of 18 steps' budget each of three has 6: six steps of one convolution or three of two
    found = run(by_level, budget=18.0 * STEP)

    levels = [candidate["genotype"]["path"][-1] for candidate in found.candidates]
    assert len(set(levels)) > 1
    assert [candidate["steps"] for candidate in found.candidates] == [6 // (1 + level) for level in levels]


def test_candidates_are_the_space_s_draws_and_the_best_score_wins_before_the_second():
    generator = torch.Generator().manual_seed(5)
    drawn = [searching.random_genotype("irnas", SECTION, generator) for _ in range(3)]

    found = run(by_level, seed=5)

    assert [candidate["genotype"] for candidate in found.candidates] == [to_json(genotype) for genotype in drawn]
    scores = [candidate["score"] for candidate in found.candidates]
    assert found.step == 1 + scores.index(max(scores))
    assert found.scores["score"] == max(scores)
    assert found.genotype == drawn[found.step - 1]
    assert found.runner_up == drawn[scores.index(sorted(scores)[-2])]


def test_one_candidate_has_no_runner_up():
    assert run(of_strategy=dataclasses.replace(RANDOM, candidates=1)).runner_up is None


def test_the_winner_s_weights_give_the_winner_s_score():
    found = run(by_level)
    network = by_level(found.genotype)
    network.load_state_dict(found.tensors["winner"])
    assert validate(network, IMAGES_V, CONFIG.sigmas, seed=0) == found.scores


def test_candidates_with_one_network_are_trained_alike():
    # the same initial weights and the same batches: what differs between candidates is their architecture
    scores = [candidate["score"] for candidate in run().candidates]
    assert scores[0] == scores[1] == scores[2]
    assert run(seed=1).candidates[0]["score"] != scores[0]


@pytest.mark.parametrize("done", [1, 2])
def test_a_search_carried_on_ends_as_one_left_alone(done):
    saved: list[dict] = []

    def log(number, news):
        if number == done + 1:
            raise Killed(f"at candidate {number}")

    with pytest.raises(Killed, match="at candidate"):
        run(by_level, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    assert len(saved) == done
    found, whole = run(by_level, state=saved[-1]), run(by_level)

    assert found.candidates == whole.candidates
    assert (found.step, found.scores, found.history) == (whole.step, whole.scores, whole.history)
    assert (found.genotype, found.runner_up) == (whole.genotype, whole.runner_up)
    winners = [search.tensors["winner"] for search in (found, whole)]
    assert all(torch.equal(winners[0][name], tensor) for name, tensor in winners[1].items())


def test_candidates_that_are_done_before_their_turn_change_nothing_and_are_kept(monkeypatch):
    saved: list[dict] = []
    whole = run(by_level)
    monkeypatch.setattr(cluster, "pool", lambda here, *given: nullcontext(Backwards(here)))
    found = run(by_level, save=lambda state: saved.append(copy.deepcopy(state)))
    assert (found.candidates, found.history, found.step) == (whole.candidates, whole.history, whole.step)
    # the third and the second come first; then all three have their turn
    assert [(len(state["candidates"]), sorted(state["ahead"])) for state in saved] == [
        (0, [3]), (0, [2, 3]), (1, [2, 3]), (2, [3]), (3, []),
    ]  # fmt: skip

    names: list[str] = []
    monkeypatch.setattr(random, "train", lambda *given: names.append(given[3]) or train(*given))
    again = run(by_level, state=saved[1])
    assert names == ["candidate 1"] and again.candidates == whole.candidates and again.history == whole.history
    winners = [search.tensors["winner"] for search in (again, whole)]
    assert all(torch.equal(winners[0][name], tensor) for name, tensor in winners[1].items())


def test_a_loss_that_is_not_finite_names_step_and_candidate():
    class Spoilt(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (math.nan if self.training else 1)

    with pytest.raises(FloatingPointError, match=r"got nan at step 1 of candidate 1; lower search\.lr_max"):
        run(lambda genotype: Spoilt(1, 1, 3, padding=1))
