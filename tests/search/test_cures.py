"""The cures for collapse in the search's loop: their weights at each step, the selection afterwards, and what is refused."""

import copy
import dataclasses
import math

import pytest
import torch

from nasir.data.noise import add_noise
from nasir.search import darts
from nasir.search.gradient import course
from nasir.spaces import irnas
from nasir.spaces.cells.searching import RelaxedCells
from nasir.training.losses import restoration_loss
from nasir.training.validation import validate
from tests.search.test_darts import (
    CONFIG,
    DARTS,
    PROBLEM,
    Killed,
    change,
    collapsed,
    curve,
    relax,
    run,
    sampler,
    stopped_at,
    weights_of,
)

SHORT = {"steps": 3, "keep_from": 3, "val_period": 3}
ALL = {
    "beta_decay": 1.0, "fading_skip": 0.5, "select": "perturbation", "select_steps": 2, "none": "left_out",
    "share_alpha": False,
}  # fmt: skip


def assert_same(found, whole) -> None:
    assert (found.history, found.step, found.scores) == (whole.history, whole.step, whole.scores)
    assert (found.genotype, found.runner_up, found.facts) == (whole.genotype, whole.runner_up, whole.facts)
    assert found.spent_flops == whole.spent_flops
    assert all(torch.equal(weights_of(found)[name], value) for name, value in weights_of(whole).items())


def test_the_weight_of_beta_decay_rises_from_the_end_of_the_warm_up_to_the_last_step():
    # a smoothness of 1 without a gradient changes no search, and stands in the architecture's loss with its weight alone:
    # four updates after a warm-up of two of the six steps
    changes = {"warmup_steps": 2, "val_period": 6, "keep_from": 6}
    plain, problem = run(change(**changes)), change(beta_decay=0.8, **changes)
    relaxed = relax(problem)
    relaxed.smoothness = lambda: torch.ones((), requires_grad=True)
    found = run(problem, relaxed)
    losses, expected = curve(found, "val_loss"), curve(plain, "val_loss")
    assert list(losses) == [3, 4, 5, 6]
    for step, weight in [(3, 0.2), (4, 0.4), (5, 0.6), (6, 0.8)]:
        assert losses[step] - expected[step] == pytest.approx(weight, abs=1e-5)
    assert curve(found, "train_loss") == curve(plain, "train_loss")


@pytest.mark.parametrize("order", [1, 2])
def test_beta_decay_adds_the_mean_logsumexp_to_the_architectures_loss(order):
    # at the first update of alpha both searches have the same supernet; the first of two updates has half the weight
    plain, found = run(change(order=order, **SHORT)), run(change(order=order, beta_decay=3.0, **SHORT))
    smoothness = relax(PROBLEM).alpha.logsumexp(dim=-1).mean().item()
    difference = curve(found, "val_loss")[2] - curve(plain, "val_loss")[2]
    assert difference == pytest.approx(3.0 * 1 / 2 * smoothness, rel=1e-4)
    assert curve(found, "train_loss")[1] == curve(plain, "train_loss")[1]
    assert not torch.equal(weights_of(found)["alpha"], weights_of(plain)["alpha"])


def test_the_fading_skip_falls_to_0_and_the_discretised_score_is_without_it():
    seen = []

    class Watched(irnas.Supernet):
        def forward(self, x):
            is_discrete = self.alpha.max().item() == 1000
            if self.training or x.shape[-1] == 14:  # not the pass that is counted, on a patch
                seen.append(("train" if self.training else "discrete" if is_discrete else "score", self.fade))
            return super().forward(x)

    problem = change(steps=4, fading_skip=0.8, val_period=2, keep_from=4)
    relaxed = relax(problem)
    relaxed.network.__class__ = Watched
    run(problem, relaxed)
    at = {kind: list(dict.fromkeys(fade for k, fade in seen if k == kind)) for kind in ("train", "score", "discrete")}
    assert at == {"train": pytest.approx([0.6, 0.4, 0.2, 0.0]), "score": pytest.approx([0.4, 0.0]), "discrete": [0.0]}


def test_the_fading_skip_changes_the_search_and_is_gone_after_an_early_end():
    changes = {"early_stop": "skip_count", "steps": 4, "keep_from": 4}
    problem, plain = change(fading_skip=0.8, **changes), change(**changes)
    relaxed = collapsed(problem)
    found = run(problem, relaxed)
    assert stopped_at(found) == 2
    assert relaxed.network.fade == 0
    assert curve(found, "train_loss")[2] != curve(run(plain, collapsed(plain)), "train_loss")[2]


@pytest.fixture(scope="module")
def whole():
    """What the search with every cure finds, and its problem."""
    problem = change(steps=4, checkpoint_period=2, val_period=2, keep_from=2, **ALL)
    return problem, run(problem)


@pytest.mark.parametrize("kill", [3, "selection"])
def test_with_every_cure_a_stopped_search_carried_on_ends_as_one_left_alone(whole, kill):
    problem, found = whole
    saved: list[dict] = []

    class Fragile(RelaxedCells):
        def select(self, score, tune, generator):
            def killed() -> None:
                tune()
                raise Killed("in the selection")

            super().select(score, killed if kill == "selection" else tune, generator)

    def log(step, news):
        if step == kill:
            raise Killed(f"at step {step}")

    fragile = Fragile(relax(problem).network, "irnas", problem.of_space)
    with pytest.raises(Killed, match=r"at step|in the selection"):
        run(problem, fragile, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    assert saved[-1]["step"] == {3: 2, "selection": 4}[kill]
    assert_same(run(problem, state=saved[-1]), found)


def test_the_selection_starts_from_the_kept_supernet_and_scores_v(monkeypatch):
    falling = iter(range(0, -100, -1))  # so that the first score is the best, two steps before the end
    monkeypatch.setattr(course, "validate", lambda *_: {"score": float(next(falling))})
    changes = {"fading_skip": 0.5, "steps": 4, "keep_from": 2, "val_period": 2, "lr_max": 0.5}
    problem = change(select="perturbation", **changes)
    relaxed, seen = relax(problem), []

    def look(score, tune, generator):
        seen.append({name: value.clone() for name, value in relaxed.network.state_dict().items()})
        assert torch.equal(generator.get_state(), torch.Generator().manual_seed(problem.seed).get_state())
        assert relaxed.network.fade == 0
        expected = validate(relaxed.network, problem.images_v, CONFIG.sigmas, problem.seed)["score"]
        assert score() == expected

    relaxed.select = look
    found = run(problem, relaxed)
    falling = iter(range(0, -100, -1))
    plain = run(change(**changes))
    assert found.step == 2
    assert all(torch.equal(seen[0][name], value) for name, value in weights_of(plain).items())
    assert (found.step, found.scores, found.history) == (plain.step, plain.scores, plain.history)


def test_the_tuning_is_the_plain_loop_at_the_least_learning_rate_with_alpha_at_rest():
    problem = change(select="perturbation", select_steps=2, lr_min=0.01, **SHORT)
    config, relaxed = problem.config, relax(problem)
    relaxed.select = lambda score, tune, generator: (tune(), tune())
    found = run(problem, relaxed)

    net = relax(problem).network
    net.load_state_dict(weights_of(run(change(lr_min=0.01, **SHORT))))
    sgd = torch.optim.SGD(net.weights(), lr=0.01, momentum=config.momentum, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        clean = sampler("0").draw(config.batch, generator)
        sigmas = torch.tensor(config.sigmas)[torch.randint(2, (config.batch,), generator=generator)]
        noisy = add_noise(clean, sigmas, generator)
        net.zero_grad()
        restoration_loss(net(noisy), clean, config.ssim_weight).backward()
        torch.nn.utils.clip_grad_norm_(net.weights(), config.clip_norm)
        sgd.step()
    assert all(torch.equal(weights_of(found)[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("space", "changes"), [("irnas", {}), ("hinas", {"share_alpha": False, "twin": "fast"})], ids=str
)
def test_what_is_selected_is_decoded_and_its_tuning_is_billed(space, changes):
    problem = change(space, select="perturbation", select_steps=3, **SHORT, **changes)
    relaxed = relax(problem)
    found, plain = run(problem, relaxed), run(change(space, **SHORT, **changes))
    tensors, alpha = weights_of(found), weights_of(found)["alpha"]
    assert alpha.softmax(dim=-1).unique().tolist() == [0.0, 1.0]
    assert torch.equal(found.tensors["architecture"]["alpha"], alpha)
    assert torch.equal(tensors["beta"], weights_of(plain)["beta"])
    assert found.genotype == relaxed.decode(tensors)
    assert found.genotype.path == plain.genotype.path
    assert found.runner_up.cells == found.genotype.cells and found.runner_up.path != found.genotype.path

    # two edges in the one node of each cell, and nothing to leave out
    tunings = 2 * (1 if alpha.ndim == 2 else 2)
    passes = (found.spent_flops - plain.spent_flops) / (plain.spent_flops / (3 + 2))  # 3 of the weights, 2 of alpha
    assert passes == pytest.approx(3 * tunings)
    relaxed.network.load_state_dict(tensors)
    score = validate(relaxed.network, problem.images_v, CONFIG.sigmas, problem.seed)["score"]
    assert found.facts["selected_score"] == score
    assert "selected_score" not in plain.facts


def test_a_loss_that_is_not_finite_in_the_tuning_is_named():
    problem = change(select="perturbation", select_steps=2, **SHORT)
    relaxed = relax(problem)

    def spoil(score, tune, generator):
        relaxed.beta.data.fill_(math.nan)
        tune()

    relaxed.select = spoil
    with pytest.raises(FloatingPointError, match=r"got nan at step 1 of the selection's tuning; lower search\.lr_max"):
        run(problem, relaxed)


@pytest.mark.parametrize(
    ("option", "value", "method"),
    [("beta_decay", 0.5, "smoothness"), ("fading_skip", 1.0, "fade"), ("select", "perturbation", "select")],
)
def test_an_option_that_the_supernet_has_no_method_for_is_refused(option, value, method):
    class Bare:
        def __init__(self, relaxed):
            self.relaxed = relaxed

        def __getattr__(self, name):
            if name in ("smoothness", "fade", "select"):
                raise AttributeError(name)
            return getattr(self.relaxed, name)

    off = "alpha" if option == "select" else "0"
    message = rf"strategy\.{option} must be {off} with a supernet that has no method {method} \(Bare\), got"
    with pytest.raises(ValueError, match=message):
        run(change(**{option: value}), Bare(relax(PROBLEM)))
    problem = change(steps=2, val_period=2)
    assert run(problem, Bare(relax(problem))).history == run(problem).history


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("beta_decay", -0.1, r"strategy\.beta_decay must be 0 or more, got -0\.1"),
        ("fading_skip", -1.0, r"strategy\.fading_skip must be 0 or more, got -1\.0"),
        ("select_steps", -1, r"strategy\.select_steps must be 0 or more, got -1"),
        ("select", "beta", r"strategy\.select must be one of \['alpha', 'perturbation'\], got 'beta'"),
    ],
)
def test_what_an_option_cannot_be_is_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DARTS, **{option: value})


def test_by_default_there_is_none_of_it():
    assert [getattr(DARTS, name) for name in darts.CURES] == [off for off, _ in darts.CURES.values()]
