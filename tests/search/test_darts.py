"""The search's loop on little pictures: the plain loop by hand, and every strategy in it."""

import copy
import dataclasses
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nasir import config
from nasir.config import SearchConfig
from nasir.data.collection import to_clean
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.genotype import OPERATIONS
from nasir.search import darts
from nasir.search.complexity import SEPARABLE, operation_costs, relative_cost
from nasir.spaces import hinas, irnas
from nasir.spaces.operations import Style
from nasir.training.losses import restoration_loss
from nasir.training.schedule import cosine

PROFILE = Path(__file__).parents[2] / "profiles/demo.yaml"
CONFIG = dataclasses.replace(
    config.load(PROFILE, "search", SearchConfig),
    layers=2,
    nodes=1,
    width=2,
    width_factors=(1.0, 2.0),
    stem_channels=3,
    batch=2,
    patch=12,
    sigmas=(30.0, 70.0),
    steps=6,
    warmup_steps=1,
    val_period=1,
    keep_from=2,
    log_period=1,
    checkpoint_period=2,
    early_stop="none",
    patience=2,
    order=1,
    complexity=0.0,
    accumulate=1,
)
IMAGES = {str(i): np.random.default_rng(i).integers(0, 256, (20, 24), dtype=np.uint8) for i in range(2)}
SPACES = {"irnas": irnas, "hinas": hinas}


class Killed(Exception):
    """What stands in for SIGKILL."""


def build(settings: SearchConfig, space: str = "irnas") -> torch.nn.Module:
    torch.manual_seed(0)
    supernet = SPACES[space].Supernet
    names = set(inspect.signature(supernet).parameters) & {field.name for field in dataclasses.fields(settings)}
    return supernet(
        channels=1,
        generator=torch.Generator().manual_seed(0),
        **{name: getattr(settings, name) for name in names},
    )


def sampler(name: str) -> PatchSampler:
    return PatchSampler({name: IMAGES[name]}, CONFIG.patch, torch.device("cpu"))


def run(settings=CONFIG, space="irnas", supernet=None, state=None, save=None, log=None) -> darts.Found:
    return darts.search(
        supernet or build(settings, space),
        space=space,
        patches_w=sampler("0"),
        patches_a=sampler("1"),
        images_v={"v": to_clean(IMAGES["0"][:14, :14])},
        config=settings,
        seed=0,
        state=state,
        save=save or (lambda state: None),
        log=log or (lambda step, news: None),
    )


def change(**changes) -> SearchConfig:
    return dataclasses.replace(CONFIG, **changes)


def curve(found: darts.Found, name: str) -> dict[int, float]:
    return {step: value for step, metric, value in found.history if metric == name}


def collapsed(settings: SearchConfig) -> torch.nn.Module:
    """A supernet whose derived cell has two skips, far beyond what the search can undo."""
    supernet = build(settings)
    supernet.alpha.data[:, OPERATIONS["irnas"].index("skip")] = 50.0
    return supernet


def test_the_first_order_search_is_the_plain_loop():
    settings = change(val_period=6, keep_from=6)
    found = run(settings)

    net = build(settings)
    sgd = torch.optim.SGD(net.weights(), lr=1.0, momentum=settings.momentum, weight_decay=settings.weight_decay)
    adam = torch.optim.Adam(
        net.architecture(), lr=settings.architecture_lr, weight_decay=settings.architecture_weight_decay
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(settings.steps):
        for group in sgd.param_groups:
            group["lr"] = cosine(step, settings.steps, settings.lr_max, settings.lr_min)
        for part, optimiser in [("1", adam), ("0", sgd)][step < settings.warmup_steps :]:
            clean = sampler(part).draw(settings.batch, generator)
            sigmas = torch.tensor(settings.sigmas)[torch.randint(2, (settings.batch,), generator=generator)]
            noisy = add_noise(clean, sigmas, generator)
            net.zero_grad()
            restoration_loss(net(noisy), clean, settings.ssim_weight).backward()
            if optimiser is sgd:
                torch.nn.utils.clip_grad_norm_(net.weights(), settings.clip_norm)
            optimiser.step()

    assert all(torch.equal(found.weights[name], value) for name, value in net.state_dict().items())


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
def test_every_strategy_runs_and_moves_the_architecture(space, changes):
    settings = change(steps=3, **changes)
    found = run(settings, space)
    before = build(settings, space)
    assert not torch.equal(found.alpha, before.alpha)
    assert found.alpha.shape == before.alpha.shape
    assert not torch.equal(found.beta, before.beta)
    assert all(math.isfinite(value) for _, _, value in found.history)
    assert {"derived_skips", "rank_stable_scores", "rank_correlation", "discretisation_gap", "relative_cost"} <= {
        name for _, name, _ in found.history
    }


@pytest.mark.parametrize("changes", [{"order": 2}, {"accumulate": 2}, {"complexity": 1.0}], ids=str)
def test_a_strategy_draws_the_same_batches_and_finds_something_else(changes):
    states: list[dict] = []
    plain, other = (run(settings, save=states.append) for settings in (CONFIG, change(**changes)))
    assert [state["step"] for state in states] == [2, 4, 6, 2, 4, 6]
    assert all(torch.equal(a["generator"], b["generator"]) for a, b in zip(states[:3], states[3:], strict=True))
    assert not torch.equal(plain.alpha, other.alpha)


def test_the_second_order_steps_ahead_on_the_batch_that_the_weights_follow():
    seen = []

    class Watched(irnas.Supernet):
        def forward(self, x):
            if self.training:
                seen.append(x.clone())
            return super().forward(x)

    settings = change(steps=2, order=2, val_period=2)
    net = build(settings)
    net.__class__ = Watched
    run(settings, supernet=net)
    warmup, ahead, val, above, below, update = seen
    assert torch.equal(ahead, update) and torch.equal(above, update) and torch.equal(below, update)
    assert not torch.equal(val, update) and not torch.equal(warmup, update)


def test_the_penalty_is_in_the_architectures_loss_alone():
    # at the first update of alpha and beta both searches have the same weights, alpha and beta
    plain, priced = run(), run(change(complexity=3.0))
    net = build(CONFIG)
    style = Style(activation=CONFIG.activation, separable=SEPARABLE["irnas"])
    costs = operation_costs(OPERATIONS["irnas"], [2, 4], style, "parameters")
    penalty = 3.0 * relative_cost(net.alpha, net.beta, costs).item()
    assert curve(priced, "val_loss")[2] == pytest.approx(curve(plain, "val_loss")[2] + penalty, rel=1e-5)
    assert curve(priced, "train_loss")[1] == curve(plain, "train_loss")[1]
    assert curve(priced, "relative_cost")[6] < curve(plain, "relative_cost")[6]


@pytest.mark.parametrize(("order", "passes"), [(1, 1), (2, 4)])
def test_the_second_order_is_billed_four_passes(order, passes):
    # six updates of the weights and five of the architecture, on two patches of 144 pixels
    assert darts.spent_flops(6, change(order=order), cost=10) == (6 + 5 * passes) * 2 * 144 * 10


def test_two_skips_in_a_cell_stop_the_search_at_the_first_score_after_the_warm_up():
    settings = change(early_stop="skip_count", warmup_steps=2, keep_from=5)
    news = {}
    found = run(settings, supernet=collapsed(settings), log=lambda step, now: news.update({step: now}))
    assert found.stopped_at == found.step == max(news) == 3  # before keep_from: the last score is kept
    assert news[3]["stopped_at"] == 3 and news[3]["derived_skips"] == 2 and news[2]["derived_skips"] == 2
    assert curve(found, "stopped_at") == {3: 3}
    assert found.scores["score"] == curve(found, "score")[3]
    assert found.spent_flops == news[3]["spent_flops"]


def test_without_a_rule_the_same_search_goes_to_its_end():
    found = run(supernet=collapsed(CONFIG))
    assert found.stopped_at is None
    assert curve(found, "derived_skips")[6] == 2
    assert "stopped_at" not in {name for _, name, _ in found.history}


def test_a_ranking_that_never_changes_stops_after_patience_scores_of_the_architecture():
    # the rates are too small to exchange two operations; the first score after the warm-up has nothing before it
    settings = change(early_stop="rank_stable", warmup_steps=2, keep_from=2, architecture_lr=1e-12)
    found = run(settings)
    assert curve(found, "rank_stable_scores") == {1: 0, 2: 0, 3: 0, 4: 1, 5: 2}
    assert found.stopped_at == 5
    assert found.scores["score"] == max(value for step, value in curve(found, "score").items() if step >= 2)


def test_a_plateau_stops_patience_scores_after_the_best():
    settings = change(early_stop="val_plateau", patience=1, steps=12, lr_max=1.0, clip_norm=1e9)
    found = run(settings)
    scores = list(curve(found, "score").values())[settings.warmup_steps :]
    assert found.stopped_at is not None and found.stopped_at < 12
    assert scores[-1] <= max(scores[:-1])
    assert all(later > max(scores[: i + 1]) for i, later in enumerate(scores[1:-1]))  # never before


@pytest.mark.parametrize("kill", [2, 3, 4])
def test_a_stopped_search_carried_on_ends_as_one_left_alone(kill):
    settings = change(early_stop="rank_stable", architecture_lr=1e-12, checkpoint_period=1)
    whole = run(settings)
    assert whole.stopped_at == 4
    saved: list[dict] = []

    def log(step, news):
        if step == kill:
            raise Killed

    with pytest.raises(Killed):
        run(settings, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    found = run(settings, state=saved[-1])
    assert (found.history, found.step, found.scores) == (whole.history, whole.step, whole.scores)
    assert all(torch.equal(found.weights[name], value) for name, value in whole.weights.items())


def test_a_search_that_has_stopped_is_not_begun_again():
    settings = change(early_stop="rank_stable", architecture_lr=1e-12)
    saved: list[dict] = []
    whole = run(settings, save=lambda state: saved.append(copy.deepcopy(state)))
    assert saved[-1]["step"] == whole.stopped_at == 4

    def log(step, news):
        raise Killed(f"at step {step}")

    found = run(settings, state=saved[-1], log=log)
    assert (found.history, found.stopped_at, found.spent_flops) == (whole.history, 4, whole.spent_flops)
