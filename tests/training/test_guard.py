"""A loss that is not finite takes a training back, the same way however often it was stopped; the clock asks for checkpoints."""

import copy
import dataclasses
import io
import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasir.config.retrain import RetrainConfig
from nasir.config.training import OFF, REWOUND, SafetyConfig
from nasir.data.patches import PatchSampler
from nasir.training import loop
from nasir.training.parallel import alone
from nasir.training.retrain import Trained, retrain
from nasir.training.safety import guard as guards
from nasir.training.safety.guard import Guard
from tests.training.test_retrain import IMAGES_V, PICTURE, SETTINGS, equal

CPU = torch.device("cpu")
CONFIG = RetrainConfig(**SETTINGS | {"steps": 12, "checkpoint_period": 4, "average": 0.25})
REWIND = dataclasses.replace(OFF, on_nan="rewind", rewinds=8)
BAD = 0.4925
"""The mean of a batch from which on the network below gives NaN: of the batches of the seed it is that of a few."""


class Fragile(nn.Module):
    """A network that gives NaN for some batches, in training."""

    def __init__(self, bad: float = BAD) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bad = bad
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        restored: Tensor = self.layers(noisy)
        return restored * math.nan if self.training and noisy.mean() > self.bad else restored


def train(
    network: nn.Module | None = None, safety: SafetyConfig = REWIND, state: dict | None = None, **changes: Any
) -> tuple[Trained, list[dict], list[tuple[int, dict[str, float]]]]:
    """What is trained, each checkpoint as a file gives it back, and the news."""
    saved: list[dict] = []
    news: list[tuple[int, dict[str, float]]] = []

    def save(state: dict[str, Any]) -> None:
        file = io.BytesIO()
        torch.save(state, file)
        saved.append(torch.load(io.BytesIO(file.getvalue()), weights_only=True))

    trained = retrain(
        network or Fragile(),
        patches=PatchSampler({"w": PICTURE}, 12, CPU),
        images_v=IMAGES_V,
        sigma=30.0,
        config=dataclasses.replace(CONFIG, **changes),
        seed=0,
        state=copy.deepcopy(state),
        save=save,
        log=lambda step, told: news.append((step, told)),
        safety=safety,
    )
    return trained, saved, news


def is_same(one: Trained, other: Trained) -> bool:
    return equal(one.last, other.last) and equal(one.best, other.best) and one.history == other.history


def rewinds(trained: Trained) -> list[tuple[int, int]]:
    """Each step that was gone back to, and from where."""
    return [(step, int(value)) for step, metric, value in trained.history if metric == REWOUND]


def test_by_default_a_loss_that_is_not_finite_ends_the_training_and_leaves_its_checkpoints():
    with pytest.raises(
        FloatingPointError, match=r"got nan at retrain step \d+; .*, or set safety\.on_nan to rewind\.$"
    ):
        train(safety=OFF)


def test_a_training_goes_back_draws_other_batches_and_halves_its_rate():
    trained, saved, news = train()
    back = rewinds(trained)
    assert back and all(good % 4 == 0 and good < failed for good, failed in back)
    assert [(step, int(told[REWOUND])) for step, told in news if REWOUND in told] == back

    rates = {step: value for step, metric, value in trained.history if metric == "learning_rate"}
    plain = {step: value for step, metric, value in train(Fragile(2.0))[0].history if metric == "learning_rate"}
    assert list(rates) == list(range(1, 13)) == list(plain)  # what was gone back from is no part of the history
    for step, rate in rates.items():
        halved = sum(good < step for good, _ in back)
        assert rate == pytest.approx(plain[step] / 2**halved)
    assert all(bool(value.isfinite().all()) for value in trained.last.values())
    assert saved[-1]["guard"]["rewound"] == [(failed, good) for good, failed in back]


def test_a_training_that_never_fails_is_the_same_with_and_without_a_way_back():
    with_way, without = (train(Fragile(2.0), safety)[0] for safety in (REWIND, OFF))
    assert is_same(with_way, without) and not rewinds(with_way)
    assert all("guard" not in state for state in train(Fragile(2.0), OFF)[1])


def test_stopped_behind_any_step_it_ends_with_the_bits_of_one_left_alone(monkeypatch):
    whole = train()[0]
    with monkeypatch.context() as patch:
        patch.setattr(loop.stopping, "is_asked", lambda: True)  # a checkpoint behind every step, rewinds among them
        often, saved, _ = train()
    assert is_same(often, whole)
    assert len(saved) > 12
    for state in saved:
        carried, _, news = train(state=state)
        assert is_same(carried, whole), state["step"]
        told = [(step, int(values[REWOUND])) for step, values in news if REWOUND in values]
        assert told == rewinds(whole)  # those of before the stop, too


def test_a_training_that_stopped_goes_back_once_that_is_asked_for():
    saved: list[dict] = []
    with pytest.raises(FloatingPointError):
        retrain(
            Fragile(), patches=PatchSampler({"w": PICTURE}, 12, CPU), images_v=IMAGES_V, sigma=30.0, config=CONFIG, seed=0,
            state=None, save=lambda state: saved.append(copy.deepcopy(state)), log=lambda step, news: None,
        )  # fmt: skip
    assert is_same(train(state=saved[-1] if saved else None)[0], train()[0])


def test_after_the_last_rewind_that_is_allowed_it_ends():
    safety = dataclasses.replace(REWIND, rewinds=2)
    words = r"got nan at retrain step 1; .*; it was rewound 2 times before, the most that safety\.rewinds allows"
    with pytest.raises(FloatingPointError, match=words):
        train(Fragile(-10.0), safety)


def test_weights_that_are_not_finite_are_never_the_last_checkpoint():
    def advance(step: int) -> dict[str, float]:
        if step == 6:
            weight[0] = math.inf  # as a gradient that is not finite leaves it; its own loss was fine
        return {"train_loss": 0.5}

    def restore(state: dict[str, Any]) -> None:
        weight.copy_(state["weight"])

    for safety, match in ((OFF, r"the weights must be finite, got others behind step 8; .*on_nan"), (REWIND, None)):
        weight, saved = torch.zeros(1), list[dict[str, Any]]()
        history: loop.History = []

        def run(weight=weight, saved=saved, history=history, safety=safety, broken=itertools.count()) -> None:  # noqa: B008
            loop.run(
                start=0, steps=8, budget=SimpleNamespace(val_period=8, log_period=8, checkpoint_period=4),
                advance=lambda step: advance(step) if next(broken) < 8 else {"train_loss": 0.5},
                score=lambda step: {}, history=history, state=lambda step: {"step": step, "weight": weight.clone()},
                save=saved.append, log=lambda step, news: None, team=alone(CPU), guard=Guard(safety), restore=restore,
            )  # fmt: skip

        if match is not None:
            with pytest.raises(FloatingPointError, match=match):
                run()
        else:
            run()
            assert history[0] == (4, REWOUND, 8.0)
        assert all(bool(state["weight"].isfinite()) for state in saved)
        assert [state["step"] for state in saved] == ([4] if match else [4, 4, 8])


def calendar(times: list[float], safety: SafetyConfig, monkeypatch) -> list[int]:
    """The steps behind which a training of ten steps, which ends each at a moment of a clock, writes checkpoints."""
    now = [0.0]
    monkeypatch.setattr(guards.time, "monotonic", lambda: now[0])
    saved: list[int] = []

    def advance(step: int) -> dict[str, float]:
        now[0] = times[step - 1]
        return {"train_loss": 0.5}

    loop.run(
        start=0, steps=10, budget=SimpleNamespace(val_period=10, log_period=10, checkpoint_period=7), advance=advance,
        score=lambda step: {}, history=[], state=lambda step: {"step": step}, save=lambda state: saved.append(state["step"]),
        log=lambda step, news: None, team=alone(CPU), guard=Guard(safety),
    )  # fmt: skip
    return saved


@pytest.mark.parametrize(
    ("times", "seconds", "expected"),
    [
        ([4.0 * step for step in range(1, 11)], 0.0, [7, 10]),  # by steps alone
        ([4.0 * step for step in range(1, 11)], 10.0, [3, 6, 7, 10]),  # each ten seconds after the last one of any kind
        ([1.0, 2.0, 1e6, *(1e6 + step for step in range(1, 8))], 100.0, [3, 7, 10]),  # it jumps ahead: one, not many
        ([1.0, 2.0, -1e6, *(step - 1e6 for step in range(1, 8))], 100.0, [3, 7, 10]),  # and back
        ([0.0] * 10, 10.0, [7, 10]),  # it stands still
    ],
    ids=["off", "every ten", "ahead", "back", "still"],
)
def test_a_checkpoint_is_written_when_the_clock_says_so_and_no_jump_of_it_stops_that(
    times, seconds, expected, monkeypatch
):
    safety = dataclasses.replace(OFF, checkpoint_seconds=seconds)
    assert calendar(times, safety, monkeypatch) == expected


@pytest.mark.parametrize("safety", [OFF, REWIND], ids=["stop", "rewind"])
def test_what_is_trained_does_not_depend_on_the_clock(safety, monkeypatch):
    bad = BAD if safety.on_nan == "rewind" else 2.0
    whole, few, _ = train(Fragile(bad), safety)
    ticks = itertools.cycle([3.0, 1.0, 1e9, 5.0, -2.0, 8.0])
    monkeypatch.setattr(guards.time, "monotonic", lambda: next(ticks))
    clocked, many, _ = train(Fragile(bad), dataclasses.replace(safety, checkpoint_seconds=2.0))
    assert is_same(clocked, whole)
    assert len(many) > len(few)
    for state in many:
        assert is_same(train(Fragile(bad), safety, state=state)[0], whole)
