"""One-shot search on little pictures: whole searches, a step by hand, stopped ones carried on, and what is refused."""

import copy
import dataclasses
import itertools
import sys
from contextlib import nullcontext
from functools import cache
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import nn

from nasir import cluster
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.layers.normalisation import MOMENTUM, BatchNorm
from nasir.search import one_shot
from nasir.search.contract import Found, Problem
from nasir.search.one_shot import OneShotSection
from nasir.search.sampling import alone, finals
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.statistics import set_statistics
from nasir.spaces import contract
from nasir.spaces.cells import searching
from nasir.spaces.contract import random_tokens
from nasir.training import loop
from nasir.training.schedule import cosine
from nasir.training.validation import validate
from tests.search import test_darts
from tests.search.test_darts import Killed, curve
from tests.spaces.cells.small import SMALL
from tests.test_cluster import Backwards
from tests.toys import toy_space

CONFIG = dataclasses.replace(test_darts.CONFIG, strategy="one_shot", val_period=3, warmup_steps=0)
LOWEST, HIGHEST = 300, 1400  # about the middle half of the candidates
ONE_SHOT = OneShotSection(
    sampling="uniform",
    lr_max=0.01,
    selection="random",
    candidates=5,
    population=3,
    tournament=2,
    calibration=2,
    window_of="parameters",
    window=(LOWEST, HIGHEST),
    finalists=0,
    apart=0,
    final_steps=3,
    final_rounds=1,
)
KINDS = [*itertools.product(("uniform", "fair"), ("random", "evolution"), ("batch", "none"))]


def change(**changes: Any) -> Problem:
    """The little problem with some settings replaced, each in the first section that has its key."""
    sections = {"of_strategy": ONE_SHOT, "config": CONFIG, "of_space": SMALL}
    for key, value in changes.items():
        name = next(name for name, section in sections.items() if hasattr(section, key))
        sections[name] = dataclasses.replace(sections[name], **{key: value})
    return dataclasses.replace(test_darts.PROBLEM, **sections)


PROBLEM = change()


COSTS: dict[str, float] = {}


def counted(network: nn.Module, channels: int, size: int) -> float:
    """`flops_per_pixel`, once for each structure: every search counts the same 32 paths of the same space again."""
    key = f"{channels} {size} {network}"
    if key not in COSTS:
        COSTS[key] = flops_per_pixel(network, channels, size)
    return COSTS[key]


@pytest.fixture(autouse=True)
def _counted_once(monkeypatch):
    monkeypatch.setattr(one_shot, "flops_per_pixel", counted)


def run(problem: Problem = PROBLEM, **others: Any) -> Found:
    return one_shot.STRATEGY.search(dataclasses.replace(problem, **others))


@cache
def whole(sampling: str, selection: str, norm: str) -> Found:
    """What a whole little search finds."""
    return run(change(sampling=sampling, selection=selection, norm=norm))


def built(problem: Problem, tokens: Any) -> nn.Module:
    """A candidate with weights of its own."""
    space, section = problem.space, problem.of_space
    return space.build(space.from_tokens(section, tokens), space.candidate_sizes(section), problem.channels)


def assert_same(found: Found, other: Found) -> None:
    assert (found.candidates, found.history) == (other.candidates, other.history)
    assert (found.genotype, found.runner_up, found.step, found.scores) == (
        other.genotype,
        other.runner_up,
        other.step,
        other.scores,
    )
    assert (found.control, found.facts, found.spent_flops) == (other.control, other.facts, other.spent_flops)
    weights = other.tensors["supernet"]
    assert list(found.tensors["supernet"]) == list(weights)
    assert all(torch.equal(found.tensors["supernet"][name], value) for name, value in weights.items())


@pytest.mark.parametrize(("sampling_kind", "selection", "norm"), KINDS)
def test_a_search_ends_with_the_best_of_its_candidates_which_lie_in_the_window(sampling_kind, selection, norm):
    problem, found = change(norm=norm), whole(sampling_kind, selection, norm)
    tokens = [tuple(candidate["tokens"]) for candidate in found.candidates]
    genotypes = [problem.space.from_tokens(problem.of_space, chosen) for chosen in tokens]
    assert len(set(tokens)) == len(tokens) == 5
    assert [candidate["genotype"] for candidate in found.candidates] == [
        problem.space.to_json(genotype) for genotype in genotypes
    ]
    assert {genotype.norm for genotype in genotypes} == {norm}
    sizes = [parameters(built(problem, chosen)) for chosen in tokens]
    assert [candidate["parameters"] for candidate in found.candidates] == sizes
    assert all(LOWEST <= size <= HIGHEST for size in sizes)

    scores = [candidate["score"] for candidate in found.candidates]
    order = sorted(range(5), key=lambda number: -scores[number])
    assert (found.genotype, found.runner_up) == (genotypes[order[0]], genotypes[order[1]])
    assert found.step == CONFIG.steps + order[0] + 1
    best = found.candidates[order[0]]
    assert found.scores == {name: best[name] for name in ("psnr_db", "ssim", "score")}
    drawn = 5 if selection == "random" else 3
    assert (found.control.found, found.control.random) == (max(scores), scores[:drawn])


@pytest.mark.parametrize(("sampling_kind", "norm"), [("uniform", "batch"), ("fair", "none")])
def test_evolution_starts_with_the_candidates_that_a_random_selection_has(sampling_kind, norm):
    evolved, drawn = (whole(sampling_kind, selection, norm).candidates for selection in ("evolution", "random"))
    assert evolved[:3] == drawn[:3]
    assert evolved[3:] != drawn[3:]


def test_the_history_has_the_training_at_its_steps_and_each_candidate_behind_them():
    found = whole("uniform", "evolution", "batch")
    scores = [candidate["score"] for candidate in found.candidates]
    assert list(curve(found, "train_loss")) == [1, 2, 3, 4, 5, 6]
    assert list(curve(found, "score")) == [3, 6, 7, 8, 9, 10, 11]
    assert list(curve(found, "score").values())[2:] == scores
    assert list(curve(found, "best_score").items()) == [(6 + n, max(scores[:n])) for n in range(1, 6)]


def test_the_learning_rate_is_its_own_and_rises_over_a_twentieth_of_the_steps():
    rates = curve(run(change(steps=40, batch=1, patch=8, val_period=40, candidates=1)), "learning_rate")
    assert [rates[step] for step in (1, 2, 3)] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[40] == pytest.approx(cosine(37, 38, 0.01, 0.0))
    assert curve(whole("uniform", "random", "batch"), "learning_rate")[1] == 0.01  # 6 steps have no rise


@pytest.mark.parametrize("sampling_kind", ["uniform", "fair"])
def test_spent_are_all_paths_at_the_mean_cost_of_thirty_two_random_ones_and_the_scoring(sampling_kind):
    found = whole(sampling_kind, "random", "batch")
    generator = torch.Generator().manual_seed(PROBLEM.seed)
    paths = [random_tokens(PROBLEM.space, SMALL, generator) for _ in range(32)]
    cost = fmean(flops_per_pixel(built(PROBLEM, path), 1, CONFIG.patch) for path in paths)
    group = 1 if sampling_kind == "uniform" else 5  # operations but none, of which irnas has the most choices
    assert found.facts == {
        "steps": 6,
        "candidates": 5,
        "finalists": 0,
        "paths_per_step": group,
        "parameters": found.facts["parameters"],
    }
    step = CONFIG.batch * CONFIG.patch**2
    pixels_v = sum(image.shape[-2] * image.shape[-1] for image in PROBLEM.images_v.values())
    scored = ONE_SHOT.calibration * step + len(CONFIG.sigmas) * pixels_v
    costs = [flops_per_pixel(built(PROBLEM, candidate["tokens"]), 1, CONFIG.patch) for candidate in found.candidates]
    assert [candidate["flops_per_pixel"] for candidate in found.candidates] == costs
    assert found.spent_flops == pytest.approx(6 * group * step * cost + sum(costs) * scored)
    spent = curve(found, "spent_flops")
    assert spent[CONFIG.steps + 1] == pytest.approx(6 * group * step * cost + costs[0] * scored)
    assert spent[max(spent)] == found.spent_flops


def test_the_parameters_told_are_those_of_all_shared_parts():
    shared = searching.share("irnas", SMALL, 1, 0)
    assert whole("uniform", "random", "batch").facts["parameters"] == parameters(shared.network)


@pytest.mark.parametrize("sampling_kind", ["uniform", "fair"])
def test_a_step_follows_the_sum_of_the_gradients_of_its_paths_and_moves_nothing_else(sampling_kind):
    problem = change(sampling=sampling_kind, steps=1, val_period=1, norm="none", clip_norm=0.5, residual=False)
    found = run(problem)
    space, section, config = problem.space, problem.of_space, problem.config

    shared = searching.share("irnas", section, 1, problem.seed)
    before = {name: value.clone() for name, value in shared.network.state_dict().items()}
    generator = torch.Generator().manual_seed(problem.seed)
    group = {"fair": sampling.fair, "uniform": lambda *given: [random_tokens(*given)]}[sampling_kind]
    paths = group(space, section, generator)
    used: dict[int, nn.Parameter] = {}
    losses = []
    for tokens in paths:
        network = shared.path(space.from_tokens(section, tokens)).train()
        batch = loop.draw_batch(problem.patches_w, config.sigmas, config.batch, generator, problem.team)
        loss = loop.batch_loss(network, batch, config.ssim_weight, problem.team)
        loss.backward()  # adds up
        losses.append(loss.item())
        used |= {id(parameter): parameter for parameter in network.parameters()}
    moving = [parameter for parameter in used.values() if parameter.grad is not None]
    nn.utils.clip_grad_norm_(moving, config.clip_norm)
    torch.optim.AdamW(moving, lr=0.01, weight_decay=config.weight_decay).step()

    after = found.tensors["supernet"]
    compared = 0
    for name, value in shared.network.named_parameters():
        # a bias before normalisation has no gradient but rounding, of which AdamW makes a whole step
        is_clear = value.grad.abs() > 1e-5 if value.grad is not None else torch.ones_like(value).bool()
        assert torch.allclose(after[name][is_clear], value[is_clear], rtol=1e-5, atol=1e-5), name
        compared += int(is_clear.sum()) if value.grad is not None else 0
    assert compared > 0.7 * sum(parameter.numel() for parameter in moving)
    moved = {name for name, _ in shared.network.named_parameters() if not torch.equal(after[name], before[name])}
    assert moved == {name for name, parameter in shared.network.named_parameters() if id(parameter) in used}
    assert curve(found, "train_loss")[1] == pytest.approx(fmean(losses), rel=1e-5)


@pytest.mark.parametrize(("selection", "norm"), [("evolution", "none")])
def test_the_same_seed_finds_the_same_and_another_one_something_else(selection, norm):
    found = whole("uniform", selection, norm)
    assert_same(run(change(selection=selection, norm=norm)), found)
    assert run(change(selection=selection, norm=norm), seed=1).candidates != found.candidates


@pytest.mark.parametrize("sampling_kind", ["uniform", "fair"])
@pytest.mark.parametrize("kill", [3, 5, 10])
def test_a_stopped_search_carried_on_ends_as_one_left_alone(monkeypatch, sampling_kind, kill):
    monkeypatch.setattr(one_shot, "KEEP", 2)
    saved: list[dict] = []

    def log(step, news):
        if step == kill:
            raise Killed(f"at step {step}")

    problem = change(sampling=sampling_kind, selection="evolution")
    with pytest.raises(Killed, match="at step"):
        run(problem, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    state, steps = saved[-1], []
    # a checkpoint every two steps, and every two candidates
    assert (state["step"], len(state["candidates"])) == {3: (2, 0), 5: (4, 0), 10: (6, 2)}[kill]
    found = run(problem, state=state, log=lambda step, news: steps.append(step))
    assert_same(found, whole(sampling_kind, "evolution", "batch"))
    assert steps == list(range({3: 3, 5: 5, 10: 9}[kill], 12))  # what is known is not done again


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_finalists_are_the_best_candidates_trained_alone_and_the_best_of_them_is_found(norm):
    found = run(change(finalists=3, norm=norm))
    order = sorted(found.candidates, key=lambda candidate: -candidate["score"])
    assert ["finals" in candidate for candidate in order] == [True] * 3 + [False] * 2
    problem = change(norm=norm)
    for number, candidate in enumerate(order[:3], start=1):
        genotype = problem.space.from_tokens(problem.of_space, candidate["tokens"])
        network = alone.build(genotype, problem)
        alone.train(network, problem, 3, "one", ONE_SHOT.lr_max)
        scores = validate(network, problem.images_v, CONFIG.sigmas, problem.seed)
        assert candidate["finals"] == [scores]
        assert (CONFIG.steps + 5 + number, "psnr_db", scores["psnr_db"]) in found.history
    best, second = sorted(order[:3], key=lambda candidate: -candidate["finals"][-1]["score"])[:2]
    assert problem.space.to_json(found.genotype) == best["genotype"]
    assert problem.space.to_json(found.runner_up) == second["genotype"]
    assert found.scores == best["finals"][-1]
    without = run(problem)
    final = 3 * CONFIG.batch * CONFIG.patch**2 * sum(candidate["flops_per_pixel"] for candidate in order[:3])
    assert found.spent_flops == pytest.approx(without.spent_flops + final)
    assert one_shot.STRATEGY.count(change(finalists=3).of_strategy, CONFIG) == CONFIG.steps + 5 + 3


def test_a_second_round_trains_the_best_third_anew_and_three_times_as_long():
    found = run(change(finalists=5, final_rounds=2))
    assert finals.rounds(5, 3, 2) == [(5, 3), (2, 9)]
    order = sorted(found.candidates, key=lambda candidate: -candidate["finals"][0]["score"])
    assert [len(candidate["finals"]) for candidate in order] == [2, 2, 1, 1, 1]
    problem = dataclasses.replace(change(), seed=1)
    for candidate in order[:2]:
        network = alone.build(problem.space.from_tokens(problem.of_space, candidate["tokens"]), problem)
        alone.train(network, problem, 9, "one", ONE_SHOT.lr_max)
        assert candidate["finals"][1] == validate(network, problem.images_v, CONFIG.sigmas, PROBLEM.seed)
    best = max(order[:2], key=lambda candidate: candidate["finals"][1]["score"])
    assert problem.space.to_json(found.genotype) == best["genotype"]
    assert found.scores == best["finals"][1]
    step, costs = CONFIG.batch * CONFIG.patch**2, [candidate["flops_per_pixel"] for candidate in order]
    trained = step * (3 * sum(costs) + 9 * sum(costs[:2]))
    assert found.spent_flops == pytest.approx(run(change()).spent_flops + trained)
    assert one_shot.STRATEGY.count(change(finalists=5, final_rounds=2).of_strategy, CONFIG) == CONFIG.steps + 5 + 7


@pytest.mark.parametrize(
    ("finalists", "steps", "count", "expected"),
    [(0, 5, 3, []), (1, 5, 3, [(1, 5)]), (3, 5, 2, [(3, 5)]), (12, 2, 3, [(12, 2), (4, 6), (2, 18)])],
)
def test_a_round_has_a_third_of_the_one_before_and_none_a_single_finalist(finalists, steps, count, expected):
    assert finals.rounds(finalists, steps, count) == expected


def test_finalists_are_the_best_that_lie_apart_and_the_best_of_the_rest_where_there_are_too_few():
    tokens = [(0, 0, 0), (0, 0, 1), (1, 1, 1), (1, 1, 0), (0, 1, 1)]
    candidates = [{"tokens": one, "score": -place} for place, one in enumerate(tokens)]
    assert finals.apart(candidates, 3, 2) == [0, 2, 1]
    assert finals.apart(candidates, 2, 2) == [0, 2]
    assert finals.apart(candidates, 2, 0) == [0, 1]
    assert finals.apart(candidates, 9, 3) == [0, 2, 1, 3, 4]


def test_a_search_stopped_among_its_finalists_carries_on_with_the_next():
    saved: list[dict] = []

    def log(step, news):
        if step == CONFIG.steps + 5 + 2:
            raise Killed("at the second finalist")

    with pytest.raises(Killed):
        run(change(finalists=3), save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    told: list[int] = []
    found = run(change(finalists=3), state=saved[-1], log=lambda step, news: told.append(step))
    assert told == [CONFIG.steps + 5 + 2, CONFIG.steps + 5 + 3]
    assert_same(found, run(change(finalists=3)))


def test_finalists_that_are_done_before_their_turn_change_nothing_and_are_kept(monkeypatch):
    saved: list[dict] = []
    problem = change(finalists=5, final_rounds=2)
    expected = run(problem)
    monkeypatch.setattr(cluster, "pool", lambda here, *given: nullcontext(Backwards(here)))
    assert_same(run(problem, save=lambda state: saved.append(copy.deepcopy(state))), expected)
    # the fifth to the second come first, then all have their turn; in the second round the seventh comes first
    assert [sorted(state["ahead"]) for state in saved if state["ahead"]] == [
        [5], [4, 5], [3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5], [4, 5], [5], [7], [7],
    ]  # fmt: skip
    trained: list[str] = []
    monkeypatch.setattr(one_shot, "train", lambda *given: trained.append(given[3]) or alone.train(*given))
    stopped = next(state for state in saved if sorted(state["ahead"]) == [3, 4, 5])
    assert_same(run(problem, state=stopped), expected)
    assert trained == ["finalist 2", "finalist 1", "finalist 7", "finalist 6"]


def test_a_search_stopped_at_any_finalist_carries_on_with_those_that_are_left(monkeypatch):
    saved: list[dict] = []
    problem = change(finalists=5, final_rounds=2)
    expected = run(problem, save=lambda state: saved.append(copy.deepcopy(state)))
    counts = [sum(len(one.get("finals", ())) for one in state["candidates"]) for state in saved]
    for done in range(1, 8):
        stopped = copy.deepcopy(saved[counts.index(done)])
        for one in stopped["candidates"]:
            if len(one["finals"]) > 1:
                one["finals"][1]["score"] = -1.0  # of whom the second round is does not hang on how it goes
        told: list[int] = []
        found = run(problem, state=stopped, log=lambda step, news, told=told: told.append(step))
        assert told == [CONFIG.steps + 5 + number for number in range(done + 1, 8)]
        if done < 6:
            assert_same(found, expected)


def test_processes_that_share_batches_are_refused_beside_workers_before_the_training(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    team, told = dataclasses.replace(PROBLEM.team, size=2), list[int]()
    with pytest.raises(ValueError, match=r"search\.devices must be 1 with NASIR_SCHEDULER, .*, got 2; unset one"):
        run(change(finalists=3), team=team, log=lambda step, news: told.append(step))
    assert told == []


def test_the_first_process_tells_each_step_and_then_each_candidate_up_to_the_count():
    told: dict[int, dict[str, float]] = {}
    run(log=lambda step, news: told.update({step: news}))
    assert list(told) == list(range(1, 12))
    assert max(told) == one_shot.STRATEGY.count(ONE_SHOT, CONFIG)
    assert set(told[11]) == {"psnr_db", "ssim", "score", "best_score", "spent_flops"}
    assert "train_loss" in told[6] and "train_loss" not in told[7]


def test_other_processes_tell_and_save_nothing():
    second = dataclasses.replace(PROBLEM.team, rank=1)

    def refuse(*_: object) -> None:
        raise AssertionError("only the first process may")

    found = run(team=second, log=refuse, save=refuse)
    assert found.candidates == whole("uniform", "random", "batch").candidates


def test_an_empty_window_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setattr(sampling, "TRIES", 20)

    class Untouched:
        def draw_pairs(self, count, generator):
            raise AssertionError("a batch was drawn")

    message = r"strategy\.window must leave room for candidates, got none of 20 with 1 to 2 parameters; widen it"
    with pytest.raises(ValueError, match=message):
        run(change(window=(1, 2)), patches_w=Untouched())


def test_a_space_without_shared_weights_is_refused_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "nasir.spaces.toy_space", toy_space)
    message = r"search\.strategy one_shot needs a space with shared weights, got toy_space, which has none; take random"
    with pytest.raises(ValueError, match=message):
        run(space=toy_space.SPACE, of_space=toy_space.ChainSection(layers=2, kernels=(1, 3), width=2))


def test_a_loss_that_is_not_finite_names_the_step(monkeypatch):
    monkeypatch.setattr("nasir.config.training.HIGHEST_RATE", 1e30)
    with pytest.raises(FloatingPointError, match=r"at search step \d; lower search\.lr_max"):
        run(change(lr_max=1e30, clip_norm=1e9, norm="none"))


def test_statistics_set_anew_are_the_mean_of_those_of_the_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), BatchNorm(3, affine=False), nn.ReLU(), nn.Conv2d(3, 1, 1), BatchNorm(1))
    weights = copy.deepcopy(dict(network.named_parameters()))
    batches = [torch.rand(2, 1, 8, 8) + shift for shift in range(3)]
    network.train()
    network(torch.rand(2, 1, 8, 8) - 50)  # of another path
    set_statistics(network, batches)

    first = [network[0](batch) for batch in batches]
    normal = [((x - x.mean((0, 2, 3), True)) / (x.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()) for x in first]
    second = [network[3](x.relu()) for x in normal]
    for norm, inputs in ((network[1], first), (network[4], second)):
        means, variances = (torch.stack([f(x) for x in inputs]).mean(0) for f in (mean_of, variance_of))
        assert torch.allclose(norm.running_mean, means, atol=1e-5)
        assert torch.allclose(norm.running_var, variances, rtol=1e-4)
        assert norm.momentum == MOMENTUM
    assert all(torch.equal(weights[name], value) for name, value in network.named_parameters())


def mean_of(x: torch.Tensor) -> torch.Tensor:
    return x.mean((0, 2, 3))


def variance_of(x: torch.Tensor) -> torch.Tensor:
    return x.var((0, 2, 3))  # unbiased


def test_without_normalisation_nothing_is_run():
    class Untouched(nn.Conv2d):
        def forward(self, x):
            raise AssertionError("run")

    set_statistics(nn.Sequential(Untouched(1, 1, 1)), [torch.rand(1, 1, 2, 2)])


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_candidates_score_is_that_of_the_shared_weights_with_statistics_of_w(norm):
    problem, found = change(norm=norm), whole("uniform", "random", norm)
    shared = searching.share("irnas", problem.of_space, 1, problem.seed)
    shared.network.load_state_dict(found.tensors["supernet"])
    generator = torch.Generator().manual_seed(problem.seed)
    batches = [
        loop.draw_batch(problem.patches_w, CONFIG.sigmas, CONFIG.batch, generator, problem.team)[0] for _ in range(2)
    ]
    for candidate in found.candidates:
        network = shared.path(contract.find("irnas").from_json(candidate["genotype"]))
        set_statistics(network, batches)
        scores = validate(network, problem.images_v, CONFIG.sigmas, problem.seed)
        assert {name: candidate[name] for name in scores} == pytest.approx(scores, rel=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sampling", "all", r"strategy\.sampling must be one of \['uniform', 'fair'\], got 'all'"),
        ("selection", "best", r"strategy\.selection must be one of \['random', 'evolution'\], got 'best'"),
        ("lr_max", 0.0, r"strategy\.lr_max must be above 0 and at most \d+, got 0"),
        ("candidates", 0, r"strategy\.candidates must be 1 or more and at most \d+, got 0"),
        ("population", 0, r"strategy\.population must be 1 or more and at most \d+, got 0"),
        ("tournament", 0, r"strategy\.tournament must be 1 or more and at most \d+, got 0"),
        ("tournament", 4, r"strategy\.tournament must not be above strategy\.population \(3\), got 4"),
        ("calibration", 0, r"strategy\.calibration must be 1 or more and at most \d+, got 0"),
        ("finalists", -1, r"strategy\.finalists must be 0 or more and at most \d+, got -1"),
        ("final_steps", 0, r"strategy\.final_steps must be 1 or more and at most \d+, got 0"),
        ("final_rounds", 0, r"strategy\.final_rounds must be 1 or more and at most \d+, got 0"),
        ("apart", -1, r"strategy\.apart must be 0 or more, got -1"),
        ("window_of", "seconds", r"strategy\.window_of must be parameters or flops, got 'seconds'"),
        ("window", (1.0,), r"strategy\.window must hold two numbers, got \[1\.0\]"),
        ("window", (2.0, 1.0), r"strategy\.window must hold two numbers, 0 or more, .* got \[2\.0, 1\.0\]"),
        ("window", (-1.0, 1.0), r"strategy\.window must hold two numbers, 0 or more, .* got \[-1\.0, 1\.0\]"),
    ],
)
def test_what_a_setting_cannot_be_is_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ONE_SHOT, **{key: value})


def test_networks_are_ranked_by_the_score_that_a_candidate_has():
    found = whole("uniform", "random", "batch")
    tokens = [tuple(candidate["tokens"]) for candidate in found.candidates]
    ranking = one_shot.STRATEGY.rank(PROBLEM, found, tokens[::-1])
    assert ranking == pytest.approx([candidate["psnr_db"] for candidate in found.candidates[::-1]], rel=1e-6)
