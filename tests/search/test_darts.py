"""The search's loop on little pictures: the plain loop by hand, and every variant of the strategy in it."""

import copy
import dataclasses
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nasir import settings
from nasir.config import reading
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import to_clean
from nasir.layers.cost import parameters
from nasir.search import darts
from nasir.search.contract import Found, Problem
from nasir.spaces import contract, irnas
from nasir.spaces.cells import searching
from nasir.spaces.cells.complexity import operation_costs, relative_cost
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.searching import RelaxedCells
from nasir.training.losses import restoration_loss
from nasir.training.parallel import alone
from nasir.training.schedule import cosine
from tests.spaces.cells.small import SMALL

ROOT = Path(__file__).parents[2]
DEMO = settings.Settings(settings.resolve(reading.read(ROOT / "params.yaml"), ROOT / "profiles", "darts"), "demo")
CONFIG = dataclasses.replace(
    DEMO.search,
    clip_usual=0.0,
    batch=2,
    patch=12,
    sigmas=(30.0, 70.0),
    steps=6,
    warmup_steps=1,
    val_period=1,
    log_period=1,
    checkpoint_period=2,
    accumulate=1,
    ssim_weight=0.5,
)
DARTS = dataclasses.replace(
    DEMO.of_strategy, keep_from=2, early_stop="none", patience=2, order=1, complexity=0.0, optimiser="sgd"
)
IMAGES = {str(i): np.random.default_rng(i).integers(0, 256, (20, 24), dtype=np.uint8) for i in range(2)}


class Killed(Exception):
    """What stands in for SIGKILL."""


def sampler(name: str) -> PatchSampler:
    return PatchSampler({name: IMAGES[name]}, CONFIG.patch, torch.device("cpu"))


def change(space: str = "irnas", **changes: Any) -> Problem:
    """The little problem with some settings replaced, each in the section that has its key."""
    sections = {"config": CONFIG, "of_strategy": DARTS, "of_space": SMALL}
    for key, value in changes.items():
        name = next(name for name, section in sections.items() if hasattr(section, key))
        sections[name] = dataclasses.replace(sections[name], **{key: value})
    return Problem(
        space=contract.find(space),
        channels=1,
        patches_w=sampler("0"),
        patches_a=sampler("1"),
        images_v={"v": to_clean(IMAGES["0"][:14, :14])},
        seed=0,
        state=None,
        save=lambda state: None,
        log=lambda step, news: None,
        team=alone(torch.device("cpu")),
        **sections,
    )


PROBLEM = change()


def relax(problem: Problem) -> RelaxedCells:
    return searching.relax(problem.space.name, problem.of_space, problem.channels, problem.seed)


def run(problem: Problem = PROBLEM, relaxed: RelaxedCells | None = None, **others: Any) -> Found:
    return darts.search(relaxed or relax(problem), dataclasses.replace(problem, **others))


def curve(found: Found, name: str) -> dict[int, float]:
    return {step: value for step, metric, value in found.history if metric == name}


def stopped_at(found: Found) -> int | None:
    """The step at which the search was ended early, which is the last of its history, and as many as it says it took."""
    stops = curve(found, "stopped_at")
    assert [found.facts["steps"]] * len(stops) == list(stops) == list(stops.values())
    assert max(step for step, _, _ in found.history) == found.facts["steps"]
    return next(iter(stops), None)


def weights_of(found: Found) -> dict[str, torch.Tensor]:
    return found.tensors["supernet"]


def collapsed(problem: Problem) -> RelaxedCells:
    """A supernet whose derived cell has two skips, far beyond what the search can undo."""
    relaxed = relax(problem)
    relaxed.alpha.data[:, irnas.OPERATIONS.index("skip")] = 50.0
    return relaxed


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_first_order_search_is_the_plain_loop(kind):
    problem = change(val_period=6, keep_from=6, optimiser=kind)
    config, section = problem.config, problem.of_strategy
    found = run(problem)

    net = relax(problem).network
    on_weights: torch.optim.Optimizer
    if kind == "sgd":
        lr_max, lr_min = config.lr_max, config.lr_min
        on_weights = torch.optim.SGD(net.weights(), momentum=config.momentum, weight_decay=config.weight_decay)
    else:
        lr_max, lr_min = DARTS.lr_max, 0.0
        on_weights = torch.optim.AdamW(net.weights(), weight_decay=config.weight_decay)
    adam = torch.optim.Adam(
        net.architecture(), lr=section.architecture_lr, weight_decay=section.architecture_weight_decay
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(config.steps):
        for group in on_weights.param_groups:
            group["lr"] = cosine(step, config.steps, lr_max, lr_min)
        for part, optimiser in [("1", adam), ("0", on_weights)][step < config.warmup_steps :]:
            clean = sampler(part).draw(config.batch, generator)
            sigmas = torch.tensor(config.sigmas)[torch.randint(2, (config.batch,), generator=generator)]
            noisy = add_noise(clean, sigmas, generator)
            net.zero_grad()
            restoration_loss(net(noisy), clean, config.ssim_weight).backward()
            if optimiser is on_weights:
                torch.nn.utils.clip_grad_norm_(net.weights(), config.clip_norm)
            optimiser.step()

    assert all(torch.equal(weights_of(found)[name], value) for name, value in net.state_dict().items())


def test_what_is_found_is_decoded_from_the_best_supernet_and_its_runner_up_is_another():
    relaxed = relax(PROBLEM)
    found = run(relaxed=relaxed)
    scores = {step: score for step, score in curve(found, "score").items() if step >= DARTS.keep_from}
    assert found.step == max(scores, key=lambda step: scores[step])
    assert found.scores["score"] == scores[found.step]
    assert found.genotype == relaxed.decode(weights_of(found))
    assert found.runner_up == relaxed.runner_up(weights_of(found)) != found.genotype
    for name in ("alpha", "beta"):
        assert torch.equal(found.tensors["architecture"][name], weights_of(found)[name])
    assert found.facts["parameters"] == parameters(relaxed.network)
    for name in ("alpha_entropy", "beta_entropy", "skip_share", "none_share"):
        assert found.facts[name] == curve(found, name)[found.step]


@pytest.mark.parametrize("space", ["irnas", "hinas"])
@pytest.mark.parametrize(
    "changes",
    [
        {"order": 2},
        {"order": 2, "accumulate": 2, "complexity": 0.1, "share_alpha": False},
        {"complexity": 0.1, "complexity_of": "flops"},
        {"accumulate": 2},
        {"share_alpha": False, "beta_norm": "outgoing", "early_stop": "rank_stable"},
    ],
    ids=str,
)
def test_every_variant_runs_and_moves_the_architecture(space, changes):
    problem = change(space, steps=3, **changes)
    found = run(problem)
    before = relax(problem)
    assert not torch.equal(weights_of(found)["alpha"], before.alpha)
    assert weights_of(found)["alpha"].shape == before.alpha.shape
    assert not torch.equal(weights_of(found)["beta"], before.beta)
    assert found.genotype.space == space
    assert all(math.isfinite(value) for _, _, value in found.history)
    assert {"derived_skips", "rank_stable_scores", "rank_correlation", "discretisation_gap", "relative_cost"} <= {
        name for _, name, _ in found.history
    }


@pytest.mark.parametrize("changes", [{"order": 2}, {"accumulate": 2}, {"complexity": 1.0}], ids=str)
def test_a_variant_draws_the_same_batches_and_finds_something_else(changes):
    states: list[dict] = []
    plain, other = (run(problem, save=states.append) for problem in (PROBLEM, change(**changes)))
    assert [state["step"] for state in states] == [2, 4, 6, 2, 4, 6]
    assert all(torch.equal(a["generator"], b["generator"]) for a, b in zip(states[:3], states[3:], strict=True))
    assert not torch.equal(weights_of(plain)["alpha"], weights_of(other)["alpha"])


def test_the_second_order_steps_ahead_on_the_batch_that_the_weights_follow():
    seen = []

    class Watched(irnas.Supernet):
        def forward(self, x):
            if self.training:
                seen.append(x.clone())
            return super().forward(x)

    problem = change(steps=2, order=2, val_period=2)
    relaxed = relax(problem)
    relaxed.network.__class__ = Watched
    run(problem, relaxed)
    warmup, ahead, val, above, below, update = seen
    assert torch.equal(ahead, update) and torch.equal(above, update) and torch.equal(below, update)
    assert not torch.equal(val, update) and not torch.equal(warmup, update)


def test_the_penalty_is_in_the_architectures_loss_alone():
    # at the first update of alpha and beta both searches have the same weights, alpha and beta
    plain, priced = run(), run(change(complexity=3.0))
    relaxed = relax(PROBLEM)
    style = Style(activation=SMALL.activation, separable=irnas.SEPARABLE)
    costs = operation_costs(irnas.OPERATIONS, [2, 4], style, "parameters")
    penalty = 3.0 * relative_cost(relaxed.alpha, relaxed.beta, costs).item()
    assert curve(priced, "val_loss")[2] == pytest.approx(curve(plain, "val_loss")[2] + penalty, rel=1e-5)
    assert curve(priced, "train_loss")[1] == curve(plain, "train_loss")[1]
    assert curve(priced, "relative_cost")[6] < curve(plain, "relative_cost")[6]


@pytest.mark.parametrize(("order", "passes"), [(1, 1), (2, 4)])
def test_the_second_order_is_billed_four_passes(order, passes):
    # six updates of the weights and five of the architecture, on two patches of 144 pixels
    assert darts.spent_flops(6, CONFIG, order, cost=10) == (6 + 5 * passes) * 2 * 144 * 10


def test_two_skips_in_a_cell_stop_the_search_at_the_first_score_after_the_warm_up():
    problem = change(early_stop="skip_count", warmup_steps=2, keep_from=5)
    news = {}
    found = run(problem, collapsed(problem), log=lambda step, now: news.update({step: now}))
    assert stopped_at(found) == found.step == max(news) == 3  # before keep_from: the last score is kept
    assert news[3]["stopped_at"] == 3 and news[3]["derived_skips"] == 2 and news[2]["derived_skips"] == 2
    assert curve(found, "stopped_at") == {3: 3}
    assert found.scores["score"] == curve(found, "score")[3]
    assert found.spent_flops == news[3]["spent_flops"]


def test_without_a_rule_the_same_search_goes_to_its_end():
    found = run(relaxed=collapsed(PROBLEM))
    assert stopped_at(found) is None
    assert found.facts["steps"] == 6
    assert curve(found, "derived_skips")[6] == 2
    assert "stopped_at" not in {name for _, name, _ in found.history}


def test_a_ranking_that_never_changes_stops_after_patience_scores_of_the_architecture():
    # the rates are too small to exchange two operations; the first score after the warm-up has nothing before it
    found = run(change(early_stop="rank_stable", warmup_steps=2, keep_from=2, architecture_lr=1e-12))
    assert curve(found, "rank_stable_scores") == {1: 0, 2: 0, 3: 0, 4: 1, 5: 2}
    assert stopped_at(found) == 5
    assert found.scores["score"] == max(value for step, value in curve(found, "score").items() if step >= 2)


def test_a_plateau_stops_patience_scores_after_the_best():
    problem = change(early_stop="val_plateau", patience=1, steps=12, lr_max=1.0, clip_norm=1e9)
    found = run(problem)
    scores = list(curve(found, "score").values())[problem.config.warmup_steps :]
    assert stopped_at(found) is not None and stopped_at(found) < 12
    assert scores[-1] <= max(scores[:-1])
    assert all(later > max(scores[: i + 1]) for i, later in enumerate(scores[1:-1]))  # never before


@pytest.mark.parametrize("kill", [2, 3, 4])
def test_a_stopped_search_carried_on_ends_as_one_left_alone(kill):
    problem = change(early_stop="rank_stable", architecture_lr=1e-12, checkpoint_period=1)
    whole = run(problem)
    assert stopped_at(whole) == 4
    saved: list[dict] = []

    def log(step, news):
        if step == kill:
            raise Killed(f"at step {step}")

    with pytest.raises(Killed, match="at step"):
        run(problem, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    found = run(problem, state=saved[-1])
    assert (found.history, found.step, found.scores) == (whole.history, whole.step, whole.scores)
    assert (found.genotype, found.runner_up, found.facts) == (whole.genotype, whole.runner_up, whole.facts)
    assert all(torch.equal(weights_of(found)[name], value) for name, value in weights_of(whole).items())


def test_a_search_that_has_stopped_is_not_begun_again():
    problem = change(early_stop="rank_stable", architecture_lr=1e-12)
    saved: list[dict] = []
    whole = run(problem, save=lambda state: saved.append(copy.deepcopy(state)))
    assert saved[-1]["step"] == stopped_at(whole) == 4

    def log(step, news):
        raise Killed(f"at step {step}")

    found = run(problem, state=saved[-1], log=log)
    assert (found.history, stopped_at(found), found.spent_flops) == (whole.history, 4, whole.spent_flops)


def test_the_strategy_searches_the_supernet_that_the_space_makes_of_the_seed():
    problem = change(steps=2)
    found = darts.STRATEGY.search(problem)
    assert found.history == run(problem).history
    assert found.genotype == run(problem).genotype


def test_a_space_without_a_supernet_is_refused(monkeypatch):
    class Flat(irnas.IrNas):
        name = "flat"
        searching = "flat_searching"

    monkeypatch.setitem(sys.modules, "flat_searching", SimpleNamespace(random_genotype=searching.random_genotype))
    with pytest.raises(ValueError, match=r"darts needs a space with a supernet, got flat, which has none; take random"):
        darts.STRATEGY.search(dataclasses.replace(PROBLEM, space=Flat()))


@pytest.mark.parametrize(("keep_from", "is_met"), [(0, False), (1, True), (6, True), (7, False)])
def test_what_is_kept_has_been_learnt_by_the_end(keep_from, is_met):
    problem = change(keep_from=keep_from)
    if is_met:
        darts.STRATEGY.check(problem.of_strategy, problem.config)
        return
    message = rf"strategy\.keep_from must lie between search\.warmup_steps .*\(1 to 6\), got {keep_from}"
    with pytest.raises(ValueError, match=message):
        darts.STRATEGY.check(problem.of_strategy, problem.config)
