"""The training from scratch: its optimisers and its rate by hand, what it scores and keeps, and how it is carried on."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasir.config.retrain import RetrainConfig
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import to_clean
from nasir.training.retrain import Trained, retrain
from nasir.training.validation import validate

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
IMAGES_V = {"v": to_clean(PICTURE[:14, :15])}
AVERAGE = 0.25
SETTINGS: dict[str, Any] = {
    "steps": 6, "batch": 2, "patch": 12, "optimiser": "adam", "weight_decay": 0.0, "warmup_steps": 0, "lr_max": 0.02,
    "lr_min": 0.01, "average": 0.0, "clip_norm": 5.0, "clip_usual": 0.0, "epoch": 1, "noise": "float",
    "ssim_weight": 0.0, "val_period": 1,
    "val_crop": 0,
    "log_period": 1, "checkpoint_period": 1, "compile": False, "devices": 1, "parallel": "auto",
    "precision": "32-true", "device": "cpu",
}  # fmt: skip


def build(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3, padding=1))


def train(network: nn.Module, state: dict | None = None, **changes: Any) -> tuple[Trained, list[dict]]:
    """What is trained, and a copy of each checkpoint."""
    saved: list[dict] = []
    trained = retrain(
        network,
        patches=PatchSampler({"w": PICTURE}, 12, torch.device("cpu")),
        images_v=IMAGES_V,
        sigma=30.0,
        config=RetrainConfig(**SETTINGS | changes),
        seed=0,
        state=state,
        save=lambda state: saved.append(copy.deepcopy(state)),
        log=lambda step, news: None,
    )
    return trained, saved


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(value, other[name]) for name, value in one.items())


def test_last_and_best_are_the_averaged_weights_and_so_is_what_is_scored():
    network = build()
    trained, saved = train(network, average=AVERAGE)

    means, scores = [saved[0]["network"]], []  # after each step, by hand
    for number, state in enumerate(saved):
        kept = min(AVERAGE, (1 + number) / (10 + number)) if number else 0.0
        means.append(
            {
                name: kept * means[-1][name] + (1 - kept) * value if value.is_floating_point() else value
                for name, value in state["network"].items()
            }
        )
        twin = build()
        twin.load_state_dict(means[-1])
        scores.append(validate(twin, IMAGES_V, (30.0,), 0)["psnr_db"])
    assert [value for _, name, value in trained.history if name == "psnr_db"] == pytest.approx(scores, abs=1e-3)
    assert trained.best_step == 1 + scores.index(max(scores))
    assert trained.best_scores["psnr_db"] == pytest.approx(max(scores), abs=1e-3)
    for found, expected in ((trained.last, means[-1]), (trained.best, means[trained.best_step])):
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert equal(saved[-1]["network"], network.state_dict())
    assert not torch.allclose(trained.last["0.weight"], network.state_dict()["0.weight"], atol=1e-4)


def test_without_an_average_the_weights_themselves_are_kept():
    network = build()
    trained, saved = train(network)
    assert saved[-1]["average"] == {}
    assert equal(trained.last, network.state_dict())
    assert equal(trained.best, saved[trained.best_step - 1]["network"])


@pytest.mark.parametrize("changes", [{"average": AVERAGE}, {"optimiser": "adamw", "weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("done", [1, 4])
def test_a_training_carried_on_ends_with_the_bits_of_one_left_alone(changes, done):
    whole, saved = train(build(), **changes, warmup_steps=2)
    found, _ = train(build(seed=1), state=saved[done - 1], **changes, warmup_steps=2)
    assert equal(found.last, whole.last)
    assert equal(found.best, whole.best)
    assert (found.best_step, found.best_scores, found.history) == (whole.best_step, whole.best_scores, whole.history)


def test_adamw_takes_adam_s_step_and_a_share_of_the_weights():
    # decoupled: w - rate * decay * w, and Adam's step, which does not see the decay
    start = copy.deepcopy(build().state_dict())
    adam, adamw = (
        train(build(), steps=1, optimiser=name, weight_decay=decay)[0].last
        for name, decay in (("adam", 0.0), ("adamw", 0.5))
    )
    for name, _ in build().named_parameters():
        torch.testing.assert_close(adamw[name], adam[name] - 0.02 * 0.5 * start[name], rtol=0, atol=1e-6)
    assert not torch.allclose(adamw["0.weight"], adam["0.weight"], atol=1e-5)


def test_the_rate_rises_over_the_warm_up():
    # two steps up to 0.02, then a cosine over four: 0.02 still, then 0.01 (1 + (1 + cos(pi / 4)) / 2), 0.015
    trained, _ = train(build(), warmup_steps=2)
    rates = [value for _, name, value in trained.history if name == "learning_rate"]
    assert rates[:5] == pytest.approx([0.01, 0.02, 0.02, 0.01 * (1.5 + 0.5 * 0.5**0.5), 0.015])


@pytest.mark.parametrize("noise", ["float", "truncated8"])
def test_v_has_the_noise_of_the_training(noise):
    trained, _ = train(build(), noise=noise)

    seen = build()
    seen.load_state_dict(trained.last)
    scores = {kind: validate(seen, IMAGES_V, (30.0,), 0, kind)["psnr_db"] for kind in ("float", "truncated8")}
    last = [value for step, metric, value in trained.history if metric == "psnr_db"][-1]
    assert scores["float"] != scores["truncated8"] and last == pytest.approx(scores[noise], abs=1e-4)
