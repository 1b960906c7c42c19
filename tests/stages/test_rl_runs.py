"""`rl` from search to retrained network in every space, at the smallest size; and what a run keeps of a candidate that failed."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from little_run import CODE, ignore

from nasir import settings
from nasir.config import reading
from nasir.config.derive import DeriveConfig
from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.training import SafetyConfig
from nasir.files import read_csv, read_json
from nasir.inference import model
from nasir.search.policy import assistance
from nasir.settings import Settings
from nasir.spaces import contract
from stages import derive, retrain, search

ROOT = Path(__file__).parents[2]
CHANGES = (
    "search.batch=2", "search.patch=12", "search.val_crop=16", "search.precision=32-true", "search.device=cpu",
    "strategy.candidates=4", "strategy.first=2", "strategy.steps=2", "strategy.more_steps=1", "strategy.window=[0, 1.0e+12]",
    "strategy.cache=4", "strategy.stem_steps=1", "strategy.teacher=dncnn", "strategy.teacher_steps=1", "strategy.hidden=5",
    "strategy.layers=1", "strategy.slots=4", "retrain.steps=2", "retrain.warmup_steps=0", "retrain.batch=2", "retrain.patch=12",
    "retrain.val_period=2", "retrain.val_crop=0", "retrain.precision=32-true", "retrain.device=cpu",
)  # fmt: skip
"""To the profile demo, with all that helps a candidate's training switched on."""

CELLS = (
    "space.layers=2",
    "space.nodes=1",
    "space.width=2",
    "space.stem_channels=3",
    "network.width=2",
    "network.stem_channels=3",
)
OWN = {
    "irnas": CELLS,
    "hinas": CELLS,
    "nekrasov": (
        "space.blocks=1",
        "space.layers=1",
        "space.width=2",
        "space.taps=[2, 3, 3, 2]",
        "network.width=3",
        "network.taps=[2, 3, 3, 2]",
    ),
    "clearer": ("space.widths=[2, 3]", "space.columns=[2, 1]", "network.widths=[2, 3]"),
}
"""Of each space, so that it is small."""


def chosen(space: str, *more: str) -> Settings:
    params = reading.read(ROOT / "params.yaml") | {"space": space, "profile": "demo"}
    resolved = settings.resolve(params, ROOT / "profiles", "rl")
    return settings.change(resolved, [*CHANGES, *OWN[space], *more], "demo")


def run_search(place: Path, of: Settings, out: str) -> None:
    search.run(
        pictures=place / "pictures", split=place / "split", checkpoint=place / f"{out}.pt", out=place / out, task="denoise",
        space=of.space, of_space=of.of_space, strategy=of.strategy, of_strategy=of.of_strategy, seed=0, config=of.search,
        safety=of.section("safety", SafetyConfig), code=CODE, log=ignore,
    )  # fmt: skip


def test_every_space_that_ships_is_tried():
    assert sorted(OWN) == contract.names()


@pytest.mark.parametrize("space", sorted(OWN))
def test_rl_goes_the_whole_way(little, space):
    of = chosen(space)
    run_search(little, of, "found")
    candidates, facts = read_json(little / "found/candidates.json"), read_json(little / "found/search.json")
    assert (facts["space"], facts["strategy"], facts["candidates"], facts["failed"]) == (space, "rl", 4, 0)
    rewards = [one["reward"] for one in candidates]
    assert facts["best_step"] == 1 + rewards.index(max(rewards))
    names = {path.stem for path in (little / "found").glob("*.safetensors")}
    assert names == {"controller", "stem", "teacher"}

    derive.run(
        search=little / "found",
        out=little / "derived",
        space=of.space,
        config=of.section("derive", DeriveConfig),
        log=ignore,
    )
    genotype = read_json(little / "derived/genotype.json")
    assert genotype == candidates[facts["best_step"] - 1]["genotype"] and genotype["space"] == space
    retrain.run(
        pictures=little / "pictures", split=little / "split", genotype=little / "derived/genotype.json", network=None,
        checkpoint=little / "retrain.pt", out=little / "trained", task="denoise", sigma=50.0, space=of.space,
        of_network=of.of_network, seed=0, config=of.section("retrain", RetrainConfig),
        tone=of.section("tone", ToneConfig), safety=of.section("safety", SafetyConfig),
        code=CODE, log=ignore,
    )  # fmt: skip
    weights = model.read_tensors(little / "trained/model/best.safetensors")
    assert weights and not any("aux" in name for name in weights)  # what helped its training is not in the network
    assert model.load(little / "trained/model")(torch.rand(1, 1, 20, 24), 50).shape == (1, 1, 20, 24)


def test_a_failed_candidate_stands_in_the_files_with_a_reward_of_nothing(little, monkeypatch):
    train = assistance.train

    def once(network: Any, problem: Any, steps: int, name: str, *given: Any) -> float:
        if name == "candidate 3":
            raise FloatingPointError(f"the loss must be finite, got {math.nan} at step 1 of {name}.")
        return train(network, problem, steps, name, *given)

    monkeypatch.setattr(assistance, "train", once)
    run_search(little, chosen("clearer", "strategy.price=0.5"), "found")
    candidates, facts = read_json(little / "found/candidates.json"), read_json(little / "found/search.json")
    third = candidates[2]
    assert third["failure"] == "the loss must be finite, got nan at step 1 of candidate 3."
    assert third["reward"] == 0 and third["parameters"] > 0 and not third["is_stopped"] and "psnr_db" not in third
    assert facts["failed"] == 1 and len(candidates) == 4 and "failure" not in candidates[facts["best_step"] - 1]
    rows = {row["metric"]: row["value"] for row in read_csv(little / "found/history.csv") if row["step"] == "3"}
    assert float(rows["reward"]) == 0 and "score" not in rows
