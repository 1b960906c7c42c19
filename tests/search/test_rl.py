"""The search by reinforcement learning: rewards by hand, who is stopped, failures, and carrying on."""

import copy
import dataclasses
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasir import cluster, settings
from nasir.config import reading
from nasir.search import rl
from nasir.search.contract import Found, Problem
from nasir.search.policy import assistance
from nasir.search.sampling import alone
from nasir.spaces.cells.genotype import Genotype
from nasir.training import loop
from tests.search.test_random import CONFIG, Killed, by_level
from tests.search.test_random import problem as of_random
from tests.test_cluster import Backwards

ROOT = Path(__file__).parents[2]
RESOLVED = settings.resolve(reading.read(ROOT / "params.yaml"), ROOT / "profiles", strategy="rl")
RL = dataclasses.replace(
    settings.Settings(RESOLVED, "demo").of_strategy, candidates=6, steps=2, more_steps=1, first=3, window=(0.0, 1e12),
    hidden=5, layers=1, slots=4, mini_batch=2, auxiliary=0.0, cache=0, stem_steps=0,
)  # fmt: skip


def problem(build: Any = by_level, **others: Any) -> Problem:
    changes = {key: others.pop(key) for key in list(others) if key in {field.name for field in dataclasses.fields(RL)}}
    return of_random(build, of_strategy=dataclasses.replace(RL, **changes), **others)


def near(genotype: Genotype) -> nn.Module:
    """Networks that begin as a blur, of another width for each level of the path's end."""
    network = by_level(genotype)
    for number, conv in enumerate(network):
        nn.init.dirac_(conv.weight)
        conv.weight.data += 0.01 * (1 + number)
    return network


def run(build: Any = near, **others: Any) -> Found:
    return rl.STRATEGY.search(problem(build, **others))


@pytest.mark.parametrize(
    ("psnr_db", "expected"), [(20.0, 0.0), (19.0, 0.0), (21.0, 0.25), (24.0, 1.0), (26.0, 1.5), (40.0, 2.0)]
)
def test_the_place_of_a_psnr(psnr_db, expected):
    assert rl.place(psnr_db, 20.0, 24.0) == expected
    assert rl.place(psnr_db, 24.0, 24.0) == 1


def test_rewards_are_geometric_means_on_the_scale_of_the_first_candidates():
    found = run(stop="never", price=0.5)
    low, high = (kind(one["psnr_db"] for one in found.candidates[:3]) for kind in (min, max))
    for one in found.candidates:
        value = math.sqrt(rl.place(one["psnr_db"], low, high) * max(0, one["ssim"])) - 0.5 * one["parameters"] / 1e5
        assert one["reward"] == pytest.approx(value)
        assert one["steps"] == 3 and not one["is_stopped"]
    rewards = [one["reward"] for one in found.candidates]
    assert found.step == 1 + rewards.index(max(rewards))
    assert found.candidates[found.step - 1]["genotype"]["path"] == list(found.genotype.path)
    assert found.facts == {"candidates": 6, "stopped": 0, "failed": 0}
    flops = sum(3 * 2 * 144 * one["flops_per_pixel"] for one in found.candidates)
    assert found.spent_flops == pytest.approx(flops)


def test_the_controller_learns_from_the_first_ones_once_they_are_all_there():
    found = run(stop="never")
    told = {number for number, name, _ in found.history if name == "entropy"}
    assert told == {3, 4, 5, 6}
    start = rl._Course(problem()).teacher.controller.state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in found.tensors["controller"].items())
    assert len(found.control.random) == 3


def test_with_one_training_nobody_is_stopped():
    found = run(more_steps=0)
    assert [one["steps"] for one in found.candidates] == [2] * 6 and found.facts["stopped"] == 0


def test_candidates_far_below_the_average_have_no_second_training(monkeypatch):
    # PSNR on V as it comes: of the first three after either training, then of the first training of each, which is the last
    scores = iter([20.0, 20.5, 22.0, 22.5, 19.0, 21.5, *[19.01] * 4])
    monkeypatch.setattr(alone, "validate", lambda *given, **named: {"psnr_db": next(scores), "ssim": 0.5, "score": 0.7})
    found = run(candidates=7, stop="below_average", stop_decay=0.9)
    stopped = [one["is_stopped"] for one in found.candidates]
    # the first ones, even the worst of them, go on; their places among each other are 1/3, 1 and 0, the others' 1/300: a
    # hundredth of the average, so that they are stopped with certainty
    assert stopped == [False] * 3 + [True] * 4
    assert [one["steps"] for one in found.candidates] == [3] * 3 + [2] * 4
    assert found.facts["stopped"] == 4 and found.candidates[1]["first_psnr_db"] == 22.0
    # the history says it of those of whom it was asked
    assert {number: value for number, name, value in found.history if name == "stopped"} == dict.fromkeys(
        (4, 5, 6, 7), 1
    )


def test_a_second_training_has_batches_of_its_own(monkeypatch):
    sums, draw_batch = [], loop.draw_batch

    def draw(*given: Any) -> loop.Batch:
        batch = draw_batch(*given)
        sums.append(batch[0].sum().item())
        return batch

    monkeypatch.setattr(loop, "draw_batch", draw)
    run(candidates=3, steps=2, more_steps=2, stop="never")
    assert len(sums) == 12 and sums[:4] == sums[4:8]  # every candidate the same, and no batch twice
    assert len(set(sums[:4])) == 4


def test_a_candidate_that_fails_is_rewarded_with_nothing_and_the_search_goes_on():
    class Spoilt(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (math.nan if self.training else 1)

    def build(genotype: Genotype) -> nn.Module:
        return Spoilt(1, 1, 3, padding=1) if genotype.path[-1] == 0 else by_level(genotype)

    found = run(build, candidates=10)
    failed = [one for one in found.candidates if "failure" in one]
    assert failed and len(failed) == found.facts["failed"] < 10
    assert all(one["genotype"]["path"][-1] == 0 and one["reward"] == 0 for one in failed)
    assert found.runner_up is None or found.runner_up.path[-1] > 0
    assert all("got nan at step 1 of candidate" in one["failure"] for one in failed)
    assert found.genotype.path[-1] > 0

    with pytest.raises(
        FloatingPointError, match=r"must end well, got 6 that failed, the last for: the loss must be finite"
    ):
        run(lambda genotype: Spoilt(1, 1, 3, padding=1))


def test_without_any_first_candidate_that_ended_well_there_is_no_control(monkeypatch):
    trained, train = [], assistance.train

    def some(*given: Any) -> float:
        trained.append(given)
        if len(trained) <= 3:
            raise RuntimeError("not enough memory: you tried to allocate 9 bytes")
        return train(*given)

    monkeypatch.setattr(assistance, "train", some)
    found = run(candidates=6, more_steps=0)
    assert ["failure" in one for one in found.candidates] == [True] * 3 + [False] * 3
    assert found.control is None


def test_a_failure_is_never_what_was_found_whatever_the_price():
    class Late(nn.Conv2d):
        """Is not finite behind its last step."""

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.weight.register_hook(lambda slope: slope * math.nan)
            return super().forward(x)

    def build(genotype: Genotype) -> nn.Module:
        return Late(1, 1, 3, padding=1) if genotype.path[-1] == 0 else near(genotype)

    found = run(build, candidates=10, price=1e6, steps=1, more_steps=0)
    failed = [one for one in found.candidates if "failure" in one]
    assert failed and all("weights must be finite" in one["failure"] for one in failed)
    assert all(one["reward"] == 0 and one["parameters"] > 0 for one in failed)  # it is not charged for its size
    assert all(one["reward"] < 0 for one in found.candidates if one not in failed)  # at least 10 parameters at 10 each
    assert found.genotype.path[-1] > 0 and found.runner_up is not None
    assert found.runner_up != found.genotype


def test_too_little_memory_is_a_failure_and_another_error_is_not(monkeypatch):
    def fail(text: str) -> None:
        def train(*given: Any) -> float:
            raise RuntimeError(text)

        monkeypatch.setattr(assistance, "train", train)

    fail("not enough memory: you tried to allocate 9 bytes")
    with pytest.raises(FloatingPointError, match="got 6 that failed, the last for: not enough memory"):
        run()
    fail("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run()


def test_what_helps_is_made_once_and_kept_before_the_first_candidate():
    saved: list[dict] = []
    changes = {
        "cache": 4,
        "teacher": "dncnn",
        "teacher_steps": 1,
        "distillation": 0.5,
        "more_steps": 1,
    }
    whole = run(save=lambda state: saved.append(copy.deepcopy(state)), **changes)
    assert [len(state["candidates"]) for state in saved] == list(range(7))
    assert set(saved[0]["assistance"]["weights"]) == {"teacher"}
    found = run(state=saved[0], **changes)
    assert (found.candidates, found.history, found.spent_flops) == (whole.candidates, whole.history, whole.spent_flops)
    plain = run(more_steps=1)
    assert found.spent_flops > plain.spent_flops and found.candidates != plain.candidates


def test_networks_are_ranked_by_the_trainings_that_candidates_have():
    given = problem(near, cache=4, teacher="dncnn", teacher_steps=1)
    found = rl.STRATEGY.search(given)
    networks = [one["tokens"] for one in found.candidates]
    scores = rl.STRATEGY.rank(given, found, networks)
    assert [score for score, one in zip(scores, found.candidates, strict=True) if not one["is_stopped"]] == [
        one["psnr_db"] for one in found.candidates if not one["is_stopped"]
    ]
    assert len(scores) == 6 and min(scores) > 0


@pytest.mark.parametrize("estimator", rl.ESTIMATORS)
@pytest.mark.parametrize("done", [2, 4])
def test_a_search_carried_on_ends_as_one_left_alone(done, estimator):
    saved: list[dict] = []

    def log(number, news):
        if number == done + 1:
            raise Killed(f"at candidate {number}")

    with pytest.raises(Killed):
        run(save=lambda state: saved.append(copy.deepcopy(state)), log=log, estimator=estimator)
    assert len(saved) == done
    found, whole = run(state=saved[-1], estimator=estimator), run(estimator=estimator)
    assert found.candidates == whole.candidates and found.history == whole.history
    assert (found.genotype, found.step, found.scores) == (whole.genotype, whole.step, whole.scores)
    assert all(
        torch.equal(value, whole.tensors["controller"][name]) for name, value in found.tensors["controller"].items()
    )


ROUNDS = {"candidates": 10, "round": 3, "more_steps": 2, "stop_decay": 0.5}


def test_the_controller_does_not_learn_within_a_round():
    found = run(**ROUNDS)
    assert found.candidates[:3] == run(candidates=10, more_steps=2, stop_decay=0.5).candidates[:3]
    teacher = rl._Course(problem(near, **ROUNDS)).teacher
    # what the controller as it was drawn gives to the first ones; the later rounds have been drawn by another one each
    of_round = [found.candidates[start : start + 3] for start in (0, 3, 6)]
    with torch.no_grad():
        known = [teacher._evaluate([one["tokens"] for one in round_])[0].tolist() for round_ in of_round]
    drawn = [[one["log_prob"] for one in round_] for round_ in of_round]
    assert drawn[0] == pytest.approx(known[0], abs=1e-5)
    assert drawn[1] != pytest.approx(known[1], abs=1e-5)
    assert [number for number, name, _ in found.history if name == "entropy"] == list(range(3, 11))


def test_who_trains_a_round_in_which_order_changes_nothing(monkeypatch):
    whole = run(**ROUNDS)
    assert 0 < whole.facts["stopped"] < 7
    monkeypatch.setattr(cluster, "pool", lambda here, *given: nullcontext(Backwards(here)))
    found = run(**ROUNDS)
    assert (found.candidates, found.history, found.spent_flops) == (whole.candidates, whole.history, whole.spent_flops)


def test_a_search_killed_within_a_round_ends_as_one_left_alone(monkeypatch):
    whole, saved = run(**ROUNDS), list[dict]()
    monkeypatch.setattr(cluster, "pool", lambda here, *given: nullcontext(Backwards(here)))
    run(save=lambda state: saved.append(copy.deepcopy(state)), **ROUNDS)
    seen = {(len(state["firsts"]), len(state["wholes"]), len(state["drawn"])) for state in saved}
    # the first trainings of a round as they come; a second one before its turn; all that is not learnt from yet
    assert {(1, 0, 3), (2, 0, 3), (3, 0, 3)} <= seen and any(wholes and drawn == 3 for _, wholes, drawn in seen)
    for state in saved[4:13:4]:
        found = run(state=state, **ROUNDS)
        assert (found.candidates, found.history) == (whole.candidates, whole.history)


def test_a_window_without_a_candidate_is_refused(monkeypatch):
    monkeypatch.setattr(rl, "TRIES", 30)
    with pytest.raises(ValueError, match=r"strategy\.window must leave room for candidates, got none of 30 draws"):
        run(window=(1.0, 2.0))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("candidates", 0, "strategy.candidates must be 1 or more"),
        ("round", 0, "strategy.round must be 1 or more"),
        ("more_steps", -1, "strategy.more_steps must be 0 or more"),
        ("lr", 0.0, "strategy.lr must be above 0"),
        ("average", 1.0, "strategy.average must be 0 or more and below 1"),
        ("first", 1, "strategy.first must lie in 2 to strategy.candidates"),
        ("first", 7, "strategy.first must lie in 2 to strategy.candidates, got 7"),
        ("estimator", "dqn", r"strategy.estimator must be one of \['ppo', 'reinforce'\], got 'dqn'"),
        ("stop", "soon", r"strategy.stop must be one of \['below_average', 'never'\], got 'soon'"),
    ],
)
def test_a_value_that_no_search_can_have_is_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RL, **{key: value})


def test_a_batch_in_parts_is_refused_with_what_takes_it_as_a_whole():
    config = dataclasses.replace(CONFIG, accumulate=2)
    rl.STRATEGY.check(RL, config)
    for changes in ({"auxiliary": 0.1}, {"cache": 3}):
        with pytest.raises(
            ValueError, match=r"search\.accumulate must be 1 with strategy\.auxiliary or strategy\.cache"
        ):
            rl.STRATEGY.check(dataclasses.replace(RL, **changes), config)


@pytest.mark.parametrize("parts", [1, 2])
def test_without_cells_and_teacher_a_batch_is_taken_in_parts(parts):
    sizes = set()

    class Seen(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                sizes.add(len(x))
            return super().forward(x)

    run(lambda genotype: Seen(1, 1, 3, padding=1), candidates=3, config=dataclasses.replace(CONFIG, accumulate=parts))
    assert sizes == {CONFIG.batch // parts}


def test_the_news_are_one_for_each_candidate():
    assert rl.STRATEGY.count(RL, CONFIG) == 6
    assert {number for number, *_ in run().history} == set(range(1, 7))
