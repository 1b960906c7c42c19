"""Random search: the budget by hand, the candidates' law, and that a killed search ends as one left alone."""

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasir import config
from nasir.config import SearchConfig
from nasir.data.collection import to_clean
from nasir.data.patches import PatchSampler
from nasir.genotype import Genotype, to_json
from nasir.search import darts, random
from nasir.training.validation import validate

PROFILE = Path(__file__).parents[2] / "profiles/demo.yaml"
CONFIG = dataclasses.replace(
    config.load(PROFILE, "search", SearchConfig),
    strategy="random",
    random_candidates=3,
    random_budget=1.0,
    nodes=1,
    steps=6,
    warmup_steps=2,
    keep_from=2,
    batch=2,
    patch=12,
)
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
IMAGES_V = {"v": to_clean(IMAGE[:14, :14])}
STEP = 2 * 12**2 * 2 * 9  # batch * patch^2 * one 3x3 convolution, two operations for each of its 9 multiply-adds


class Killed(Exception):
    """What stands in for SIGKILL."""


def small(genotype: Genotype) -> nn.Module:
    """A stand-in for every genotype's network: one convolution, 18 operations per pixel."""
    torch.manual_seed(0)
    return nn.Conv2d(1, 1, 3, padding=1)


def by_level(genotype: Genotype) -> nn.Module:
    """Networks that differ in cost: 18 operations per pixel for each level of the path's end, from 1 on."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(1 + genotype.path[-1])))


def run(build=small, budget=9.0 * STEP, settings=CONFIG, seed=0, state=None, save=None, log=None) -> random.Found:
    return random.search(
        build,
        space="irnas",
        patches_w=PatchSampler({"w": IMAGE}, settings.patch, torch.device("cpu")),
        images_v=IMAGES_V,
        budget=budget,
        config=settings,
        seed=seed,
        state=state,
        save=save or (lambda state: None),
        log=log or (lambda step, news: None),
    )


def test_the_differentiable_search_spends_one_pass_a_step_and_two_after_the_warm_up():
    # six updates of the weights and four of the architecture, on two patches of 144 pixels
    assert darts.spent_flops(6, CONFIG, cost=10) == (6 + 4) * 2 * 144 * 10
    assert darts.spent_flops(2, CONFIG, cost=10) == 2 * 2 * 144 * 10


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


def test_candidates_are_what_derive_makes_of_drawn_logits_and_the_best_score_wins():
    generator = torch.Generator().manual_seed(5)
    logits = [random.draw(CONFIG, "irnas", generator) for _ in range(3)]

    found = run(by_level, seed=5)

    drawn = [to_json(random.decode(alpha, beta, CONFIG, "irnas")) for alpha, beta in logits]
    assert [candidate["genotype"] for candidate in found.candidates] == drawn
    scores = [candidate["score"] for candidate in found.candidates]
    assert found.step == 1 + scores.index(max(scores))
    assert found.scores["score"] == max(scores)
    assert torch.equal(found.alpha, logits[found.step - 1][0])
    assert torch.equal(found.beta, logits[found.step - 1][1])


def test_logits_are_standard_normal():
    settings = dataclasses.replace(CONFIG, nodes=20, layers=200)
    alpha, beta = random.draw(settings, "irnas", torch.Generator().manual_seed(0))
    assert (tuple(alpha.shape), tuple(beta.shape)) == ((230, 6), (200, 3, 3))  # 2 + 3 + ... + 21 edges
    for logits in (alpha, beta):  # four standard errors of 1380 and 1800 draws
        assert abs(logits.mean().item()) < 4 / math.sqrt(1380)
        assert abs(logits.std().item() - 1) < 4 / math.sqrt(2 * 1380)


def test_the_winner_s_weights_give_the_winner_s_score():
    found = run(by_level)
    network = by_level(random.decode(found.alpha, found.beta, CONFIG, "irnas"))
    network.load_state_dict(found.weights)
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
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in whole.weights.items())


def test_a_loss_that_is_not_finite_names_step_and_candidate():
    class Spoilt(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (math.nan if self.training else 1)

    with pytest.raises(FloatingPointError, match=r"got nan at step 1 of candidate 1; lower search\.lr_max"):
        run(lambda genotype: Spoilt(1, 1, 3, padding=1))
