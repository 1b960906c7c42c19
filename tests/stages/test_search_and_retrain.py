"""The two long stages on little pictures: same seed same bytes, killed and carried on same bytes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folder import list_pictures
from PIL import Image

from nasir import genotype as genotypes
from nasir.config import DeriveConfig, RetrainConfig, SearchConfig, SplitConfig
from nasir.data.images import save_png
from nasir.files import read_csv, read_json
from nasir.networks import catalogue
from nasir.search.modify import NothingToModifyError
from nasir.spaces import hinas
from nasir.training import model
from nasir.training.model import read_tensors
from stages import derive, retrain, search, split

SEARCH = SearchConfig(
    strategy="darts",
    random_candidates=3,
    random_budget=1.0,
    layers=2,
    nodes=1,
    width=2,
    width_factors=(1.0, 2.0, 4.0),
    stem_channels=3,
    residual=True,
    share_cells=True,
    share_alpha=True,
    beta_norm="incoming",
    activation="relu",
    sigmoid=False,
    partial=1,
    twin="fast",
    recompute="none",
    compile=False,
    accumulate=1,
    devices=1,
    parallel="auto",
    precision="32-true",
    sigmas=(30.0, 70.0),
    steps=6,
    warmup_steps=2,
    batch=2,
    patch=12,
    lr_max=0.05,
    lr_min=0.001,
    momentum=0.9,
    weight_decay=0.0003,
    clip_norm=5.0,
    architecture_lr=0.1,
    architecture_weight_decay=0.001,
    order=1,
    complexity=0.0,
    complexity_of="parameters",
    early_stop="none",
    patience=10,
    ssim_weight=0.5,
    val_period=3,
    val_crop=16,
    keep_from=3,
    log_period=1,
    checkpoint_period=2,
    device="cpu",
)
DERIVE = DeriveConfig(inputs=2, modify="none", modify_seed=0)
HINAS = dataclasses.replace(
    SEARCH,
    width_factors=(1.0, 1.5, 2.0),
    share_alpha=False,
    beta_norm="outgoing",
    activation="leaky_relu",
    sigmoid=True,
)
CONTROL = {"strategy": "random", "steps": 2, "warmup_steps": 1, "keep_from": 2}  # a budget of 3 passes
RANDOM = dataclasses.replace(SEARCH, **CONTROL)
RETRAIN = RetrainConfig(
    width=2,
    stem_channels=3,
    aspp_channels=2,
    aspp_rates=(2,),
    steps=6,
    batch=2,
    patch=12,
    lr_max=0.01,
    lr_min=0.001,
    clip_norm=5.0,
    ssim_weight=0.5,
    val_period=2,
    val_crop=0,
    log_period=1,
    checkpoint_period=2,
    compile=False,
    devices=1,
    parallel="auto",
    precision="32-true",
    device="cpu",
)


class Killed(Exception):
    """What stands in for SIGKILL."""


def ignore(step, news):
    pass


def killed_at(step):
    """A log that ends the run at a step."""

    def log(now, news):
        if now == step:
            raise Killed

    return log


@pytest.fixture
def data(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(5):
        low = rng.integers(0, 256, (5, 6))
        save_png(tmp_path / f"images/train/{i}.png", np.kron(low, np.ones((4, 4))).astype(np.uint8))
    list_pictures(tmp_path / "images", [f"train/{i}" for i in range(5)])
    split.run(
        images=tmp_path / "images",
        out=tmp_path / "split",
        seed=0,
        config=SplitConfig(w=0.49, a=0.49, v=0.02, exclude_leaks=True),
        log=ignore,
    )
    return tmp_path


def run_search(data, out, log=ignore, config=SEARCH, seed=0, space="irnas", task="denoise"):
    search.run(
        images=data / "images",
        split=data / "split",
        checkpoint=data / f"{out}.pt",
        out=data / out,
        task=task,
        space=space,
        seed=seed,
        config=config,
        log=log,
    )


def run_derive(data, found, config=DERIVE, or_reason=False):
    derive.run(search=data / found, out=data / "derived", or_reason=or_reason, config=config, log=ignore)


def run_retrain(data, out, log=ignore, config=RETRAIN, network=None, task="denoise"):
    retrain.run(
        images=data / "images",
        split=data / "split",
        genotype=None if network else data / "derived/genotype.json",
        network=network,
        checkpoint=data / f"{out}.pt",
        out=data / out,
        task=task,
        sigma=50.0 if task == "denoise" else 0.0,
        seed=0,
        config=config,
        log=log,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_chain_from_search_to_retrain_is_repeatable_to_the_byte(data):
    for out in ("first", "second"):
        run_search(data, out)
    assert files(data / "first") == files(data / "second")
    assert sorted(files(data / "first")) == [
        "architecture.safetensors",
        "history.csv",
        "search.json",
        "supernet.safetensors",
    ]
    assert not (data / "first.pt").exists()

    run_derive(data, "first")
    genotype = genotypes.load(data / "derived/genotype.json")
    assert (genotype.nodes, genotype.layers, genotype.residual) == (1, 2, True)
    for out in ("once", "twice"):
        run_retrain(data, out)
    assert files(data / "once") == files(data / "twice")

    metrics = {row["metric"] for row in read_csv(data / "first/history.csv")}
    assert {"train_loss", "val_loss", "psnr_db", "ssim", "alpha_entropy", "skip_share"} <= metrics
    # A is untouched during the warm-up
    assert min(int(r["step"]) for r in read_csv(data / "first/history.csv") if r["metric"] == "val_loss") == 3


@pytest.mark.parametrize("step", [3, 4, 5, 6])
def test_a_search_that_was_killed_carries_on_to_the_same_bytes(data, step):
    run_search(data, "whole")
    with pytest.raises(Killed):
        run_search(data, "killed", log=killed_at(step))
    assert (data / "killed.pt").exists()
    assert not (data / "killed").exists()
    run_search(data, "killed")
    assert files(data / "killed") == files(data / "whole")


def test_the_random_strategy_leaves_what_derive_reads_and_derive_gives_the_winner_back(data):
    for out in ("first", "second"):
        run_search(data, out, config=RANDOM)
    assert files(data / "first") == files(data / "second")
    assert sorted(files(data / "first")) == [
        "architecture.safetensors",
        "candidates.json",
        "history.csv",
        "search.json",
        "winner.safetensors",
    ]
    assert not (data / "first.pt").exists()

    run_derive(data, "first")
    found, candidates = read_json(data / "first/search.json"), read_json(data / "first/candidates.json")
    assert (found["strategy"], found["candidates"], len(candidates)) == ("random", 3, 3)
    winner = candidates[found["best_step"] - 1]
    assert read_json(data / "derived/genotype.json") == winner["genotype"]
    assert winner["score"] == max(candidate["score"] for candidate in candidates) == found["best_scores"]["score"]


def test_the_random_strategy_gets_the_budget_of_the_differentiable_search(data):
    run_search(data, "darts", config=dataclasses.replace(RANDOM, strategy="darts"))
    run_search(data, "random", config=RANDOM)
    darts, sampled = read_json(data / "darts/search.json"), read_json(data / "random/search.json")
    assert sampled["budget_flops"] == darts["spent_flops"]
    assert 0.5 * darts["spent_flops"] < sampled["spent_flops"] <= darts["spent_flops"]


@pytest.mark.parametrize("candidate", [2, 3])
def test_a_random_search_that_was_killed_carries_on_to_the_same_bytes(data, candidate):
    run_search(data, "whole", config=RANDOM)
    with pytest.raises(Killed):
        run_search(data, "killed", log=killed_at(candidate), config=RANDOM)
    assert (data / "killed.pt").exists()
    assert not (data / "killed").exists()
    run_search(data, "killed", config=RANDOM)
    assert files(data / "killed") == files(data / "whole")


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_history_has_the_best_score_so_far_against_what_was_spent(data, strategy):
    run_search(data, "found", config=dataclasses.replace(SEARCH if strategy == "darts" else RANDOM, val_period=1))
    curves: dict[str, list[float]] = {}
    for row in read_csv(data / "found/history.csv"):
        curves.setdefault(row["metric"], []).append(float(row["value"]))
    assert len(curves["score"]) == (6 if strategy == "darts" else 3)
    assert curves["best_score"] == [max(curves["score"][:n]) for n in range(1, len(curves["score"]) + 1)]
    spent = curves["spent_flops"]
    assert spent[-1] == read_json(data / "found/search.json")["spent_flops"]
    if strategy == "darts":  # one pass at each of the two steps of the warm-up, then two
        assert [round(value / spent[0], 6) for value in spent] == [1, 2, 4, 6, 8, 10]


def test_a_supernet_that_does_not_share_its_cells_can_be_searched(data):
    run_search(data, "own", config=dataclasses.replace(SEARCH, share_cells=False))
    run_derive(data, "own")
    assert genotypes.load(data / "derived/genotype.json").layers == 2
    assert "cells.1.0.1.operations.0.0.1.weight" in read_tensors(data / "own/supernet.safetensors")


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_the_space_hinas_goes_the_whole_way(data, strategy):
    config = HINAS if strategy == "darts" else dataclasses.replace(HINAS, **CONTROL)
    run_search(data, "found", config=config, space="hinas")
    facts = read_json(data / "found/search.json")
    assert {key: facts[key] for key in ("space", "share_alpha", "beta_norm", "activation", "sigmoid")} == {
        "space": "hinas",
        "share_alpha": False,
        "beta_norm": "outgoing",
        "activation": "leaky_relu",
        "sigmoid": True,
    }
    run_derive(data, "found")
    genotype = genotypes.load(data / "derived/genotype.json")
    assert (genotype.space, len(genotype.cells), genotype.activation) == ("hinas", 2, "leaky_relu")
    run_retrain(data, "trained", config=dataclasses.replace(RETRAIN, steps=2))

    denoise = model.load(data / "trained/model")
    assert isinstance(denoise.network, hinas.Network)
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_a_space_refuses_what_it_cannot_have(data):
    with pytest.raises(ValueError, match=r"search.share_cells must be true with the space hinas"):
        run_search(data, "found", config=dataclasses.replace(HINAS, share_cells=False), space="hinas")
    assert not (data / "found").exists()


def test_news_of_a_stage_end_at_its_count(data):
    for config in (SEARCH, RANDOM):
        seen: list[int] = []
        run_search(data, config.strategy, log=lambda step, _, seen=seen: seen.append(step), config=config)
        assert seen[-1] == search.count(config)


@pytest.mark.parametrize("step", [3, 6])
def test_a_retraining_that_was_killed_carries_on_to_the_same_bytes(data, step):
    run_search(data, "found")
    run_derive(data, "found")
    run_retrain(data, "whole")
    with pytest.raises(Killed):
        run_retrain(data, "killed", log=killed_at(step))
    run_retrain(data, "killed")
    assert files(data / "killed") == files(data / "whole")


def test_a_checkpoint_of_another_configuration_is_refused_and_kept(data):
    with pytest.raises(Killed):
        run_search(data, "killed", log=killed_at(5))
    with pytest.raises(ValueError, match=r"search.batch: 2 -> 3\. Remove it to start afresh"):
        run_search(data, "killed", config=dataclasses.replace(SEARCH, batch=3))
    assert (data / "killed.pt").exists()


def test_another_seed_finds_something_else(data):
    run_search(data, "zero")
    run_search(data, "one", seed=1)
    assert files(data / "zero")["architecture.safetensors"] != files(data / "one")["architecture.safetensors"]


def test_only_scores_from_keep_from_on_are_kept(data):
    run_search(data, "late", config=dataclasses.replace(SEARCH, keep_from=6))
    assert read_json(data / "late/search.json")["best_step"] == 6


def test_a_loss_that_is_not_finite_names_the_step(data):
    with pytest.raises(FloatingPointError, match="at search step"):
        run_search(data, "wild", config=dataclasses.replace(SEARCH, lr_max=1e30, clip_norm=1e30))
    assert not (data / "wild").exists()


def test_the_first_order_update_moves_only_its_own_parameters(data, monkeypatch):
    # during the warm-up alpha and beta stay as drawn: the same values as the supernet's generator gives
    run_search(data, "warm", config=dataclasses.replace(SEARCH, warmup_steps=5, keep_from=5, val_period=5))
    if read_json(data / "warm/search.json")["best_step"] == 5:
        alpha = read_tensors(data / "warm/architecture.safetensors")["alpha"]
        expected = 1e-3 * torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
        assert torch.equal(alpha, expected)


@pytest.mark.parametrize("network", ["dncnn", "red30"])
def test_a_baseline_trains_on_the_same_engine_at_its_own_rate_and_is_read_back(data, network):
    short = dataclasses.replace(RETRAIN, steps=2, val_period=2)

    run_retrain(data, "out", config=short, network=network)

    rates = [float(row["value"]) for row in read_csv(data / "out/history.csv") if row["metric"] == "learning_rate"]
    assert rates[0] == catalogue.find(network).lr_max
    denoise = model.load(data / "out/model")
    assert (denoise.sigma, denoise.channels) == (50.0, 1)
    assert read_json(data / "out/model/model.json")["network"] == network
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_a_killed_training_of_a_baseline_is_not_carried_on_by_another(data):
    short = dataclasses.replace(RETRAIN, steps=4, checkpoint_period=1)
    with pytest.raises(Killed):
        run_retrain(data, "out", log=killed_at(2), config=short, network="dncnn")

    with pytest.raises(ValueError, match="network"):
        run_retrain(data, "out", config=short, network="red30")


def test_after_a_random_search_another_number_of_inputs_is_refused(data):
    run_search(data, "found", config=RANDOM)

    with pytest.raises(ValueError, match=r"derive.inputs must be 2 after a random search, .* got 1"):
        run_derive(data, "found", config=dataclasses.replace(DERIVE, inputs=1))
    assert not (data / "derived").exists()


@pytest.fixture
def without_conv(data) -> Path:
    """A search that found no `conv_3x3`: its column of alpha, the first, is lowest on every edge."""
    run_search(data, "found")
    tensors = read_tensors(data / "found/architecture.safetensors")
    tensors["alpha"][..., 0] = tensors["alpha"].min() - 1
    model.write_tensors(data / "found/architecture.safetensors", tensors)
    return data


def test_a_genotype_with_nothing_to_modify_is_an_error(without_conv):
    with pytest.raises(NothingToModifyError, match=r"needs a genotype with a conv_3x3, got one without"):
        run_derive(without_conv, "found", config=dataclasses.replace(DERIVE, modify="r1"))
    assert not (without_conv / "derived").exists()


def test_a_genotype_with_nothing_to_modify_may_be_a_reason_that_retrain_passes_on(without_conv):
    run_derive(without_conv, "found", config=dataclasses.replace(DERIVE, modify="r1"), or_reason=True)
    run_retrain(without_conv, "trained")

    derived, trained = files(without_conv / "derived"), files(without_conv / "trained")
    assert list(derived) == ["reason.json"] and trained == derived
    reason = read_json(without_conv / "derived/reason.json")["reason"]
    assert reason.startswith("the search found a network that this leaves as it is: modification r1 needs")


def test_a_genotype_that_can_be_modified_leaves_no_reason(data):
    run_search(data, "found")
    tensors = read_tensors(data / "found/architecture.safetensors")
    tensors["alpha"][..., 0] = tensors["alpha"].max() + 1  # conv_3x3 on every edge
    model.write_tensors(data / "found/architecture.safetensors", tensors)

    run_derive(data, "found", config=dataclasses.replace(DERIVE, modify="r1"), or_reason=True)

    assert not (data / "derived/reason.json").exists()
    [cell] = genotypes.load(data / "derived/genotype.json").cells
    assert {edge.operation for edges in cell for edge in edges} == {"def_3x3"}


def test_memory_is_measured_with_and_without_shared_cells(data):
    found = {}
    for share in (True, False):
        config = dataclasses.replace(SEARCH, share_cells=share)
        search.measure_memory(out=data / "memory.json", space="irnas", seed=0, config=config, channels=1)
        found[share] = read_json(data / "memory.json")

    assert [found[share]["share_cells"] for share in (True, False)] == [True, False]
    assert found[False]["parameters"] > found[True]["parameters"]
    assert all(one["peak_mib"] >= 0 for one in found.values())  # in a process that has had its peak, nothing is added
    assert found[True]["what"] == "supernet and one update of its weights on 2 patches of 12x12, cpu"


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_rain_in_colour_goes_the_whole_way(data, strategy):
    for i in range(5):
        clean = np.array(Image.open(data / f"images/train/{i}.png").convert("RGB"))
        save_png(data / f"images/train/{i}.png", clean)
        save_png(data / f"images/rainy/train/{i}.png", np.minimum(clean, 215) + np.uint8(40))
    list_pictures(data / "images", [f"train/{i}" for i in range(5)], degraded="rainy")
    config = dataclasses.replace(SEARCH, sigmas=(0.0,))
    if strategy == "random":
        config = dataclasses.replace(config, **CONTROL)

    run_search(data, "found", config=config, task="derain")
    run_derive(data, "found")
    run_retrain(data, "trained", config=dataclasses.replace(RETRAIN, val_crop=16), task="derain")

    description = read_json(data / "trained/model/model.json")
    assert (description["task"], description["sigma"], description["channels"]) == ("derain", 0.0, 3)
    restored = model.load(data / "trained/model")(torch.rand(1, 3, 20, 24), 0.0)
    assert restored.shape == (1, 3, 20, 24)
    with pytest.raises(ValueError, match="trained for sigma 0, got 50"):
        model.load(data / "trained/model")(torch.rand(1, 3, 20, 24), 50.0)
