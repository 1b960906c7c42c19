"""The two long stages on little pictures: same seed same bytes, killed and carried on same bytes."""

import dataclasses
import shutil

import little_run
import numpy as np
import pytest
import torch
from little_run import CELLS, CODE, DARTS, NO_TONE, RANDOM, RETRAIN, SEARCH, SIZES, Killed, files, ignore, killed_at
from picture_folder import list_pictures
from PIL import Image

from nasir.config.derive import DeriveConfig
from nasir.config.training import OFF
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json, sha256_file, write_json
from nasir.inference import model
from nasir.inference.model import read_tensors
from nasir.networks import catalogue
from nasir.search import contract as strategies
from nasir.spaces import contract as spaces
from nasir.spaces import hinas
from nasir.spaces.cells import genotype as genotypes
from nasir.spaces.contract import NothingToModifyError
from stages import derive, retrain, search

DERIVE = DeriveConfig(modify="none", modify_seed=0)
HINAS = dataclasses.replace(
    CELLS,
    width_factors=(1.0, 1.5, 2.0),
    share_alpha=False,
    beta_norm="outgoing",
    activation="leaky_relu",
    sigmoid=True,
)
CONTROL = dataclasses.replace(SEARCH, strategy="random", steps=2, warmup_steps=1)  # a budget of 3 passes
SECTIONS = {"darts": DARTS, "random": RANDOM}
CONFIGS = {"darts": SEARCH, "random": CONTROL}


def run_search(
    data, out, log=ignore, config=SEARCH, seed=0, space="irnas", of_space=CELLS, section=None, task="denoise", code=CODE,
    safety=OFF,
):  # fmt: skip
    search.run(
        pictures=data / "pictures",
        split=data / "split",
        checkpoint=data / f"{out}.pt",
        out=data / out,
        task=task,
        space=spaces.find(space),
        of_space=of_space,
        strategy=strategies.find(config.strategy),
        of_strategy=section or SECTIONS[config.strategy],
        seed=seed,
        config=config,
        safety=safety,
        code=code,
        log=log,
    )


def run_derive(data, found, config=DERIVE, space="irnas"):
    derive.run(search=data / found, out=data / "derived", space=spaces.find(space), config=config, log=ignore)


def run_retrain(
    data, out, log=ignore, config=RETRAIN, network=None, start=None, task="denoise", space="irnas", safety=OFF,
    tone=NO_TONE,
):  # fmt: skip
    retrain.run(
        pictures=data / "pictures",
        split=data / "split",
        genotype=None if network or start else data / "derived/genotype.json",
        network=network,
        start=start,
        checkpoint=data / f"{out}.pt",
        out=data / out,
        task=task,
        sigma=50.0 if task == "denoise" else 0.0,
        space=spaces.find(space),
        of_network=SIZES,
        seed=0,
        config=config,
        tone=tone,
        safety=safety,
        code=CODE,
        log=log,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """What the little search leaves on little pictures."""
    folder = tmp_path_factory.mktemp("searched")
    little_run.write_pictures(folder)
    run_search(folder, "found")
    return folder / "found"


@pytest.fixture
def found(little, searched):
    """Little pictures, and in `found` what a search of theirs has left."""
    shutil.copytree(searched, little / "found")
    return little


def test_the_chain_from_search_to_retrain_is_repeatable_to_the_byte(found):
    run_search(found, "again")
    assert files(found / "again") == files(found / "found")
    assert sorted(files(found / "found")) == [
        "architecture.safetensors",
        "genotype.json",
        "history.csv",
        "runner_up.json",
        "search.json",
        "supernet.safetensors",
    ]
    assert not (found / "again.pt").exists()

    run_derive(found, "found")
    genotype = genotypes.load(found / "derived/genotype.json")
    assert (genotype.nodes, genotype.layers, genotype.residual) == (1, 2, True)
    for out in ("once", "twice"):
        run_retrain(found, out)
    assert files(found / "once") == files(found / "twice")

    metrics = {row["metric"] for row in read_csv(found / "found/history.csv")}
    assert {"train_loss", "val_loss", "psnr_db", "ssim", "alpha_entropy", "skip_share"} <= metrics
    # A is untouched during the warm-up
    assert min(int(r["step"]) for r in read_csv(found / "found/history.csv") if r["metric"] == "val_loss") == 3


@pytest.mark.parametrize("step", [3, 4, 5, 6])
def test_a_search_that_was_killed_carries_on_to_the_same_bytes(little, searched, step):
    with pytest.raises(Killed):
        run_search(little, "killed", log=killed_at(step))
    assert (little / "killed.pt").exists()
    assert not (little / "killed").exists()
    run_search(little, "killed")
    assert files(little / "killed") == files(searched)


def test_the_random_strategy_leaves_what_derive_reads_and_derive_gives_the_winner_back(little):
    for out in ("first", "second"):
        run_search(little, out, config=CONTROL)
    assert files(little / "first") == files(little / "second")
    assert sorted(files(little / "first")) == [
        "candidates.json",
        "genotype.json",
        "history.csv",
        "runner_up.json",
        "search.json",
        "winner.safetensors",
    ]
    assert not (little / "first.pt").exists()

    run_derive(little, "first")
    found, candidates = read_json(little / "first/search.json"), read_json(little / "first/candidates.json")
    assert (found["strategy"], found["candidates"], len(candidates)) == ("random", 3, 3)
    winner = candidates[found["best_step"] - 1]
    assert read_json(little / "derived/genotype.json") == winner["genotype"]
    assert winner["score"] == max(candidate["score"] for candidate in candidates) == found["best_scores"]["score"]


def test_the_random_strategy_gets_the_budget_of_the_differentiable_search(little):
    section = dataclasses.replace(DARTS, keep_from=2)
    run_search(little, "darts", config=dataclasses.replace(CONTROL, strategy="darts"), section=section)
    run_search(little, "random", config=CONTROL)
    darts, sampled = read_json(little / "darts/search.json"), read_json(little / "random/search.json")
    assert sampled["budget_flops"] == darts["spent_flops"]
    assert 0.5 * darts["spent_flops"] < sampled["spent_flops"] <= darts["spent_flops"]


def test_a_random_search_that_was_killed_carries_on_to_the_same_bytes(little):
    run_search(little, "whole", config=CONTROL)
    for candidate in (2, 3):
        out = f"killed-{candidate}"
        with pytest.raises(Killed):
            run_search(little, out, log=killed_at(candidate), config=CONTROL)
        assert (little / f"{out}.pt").exists()
        assert not (little / out).exists()
        run_search(little, out, config=CONTROL)
        assert files(little / out) == files(little / "whole")


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_history_has_the_best_score_so_far_against_what_was_spent(little, strategy):
    run_search(little, "found", config=dataclasses.replace(CONFIGS[strategy], val_period=1))
    curves: dict[str, list[float]] = {}
    for row in read_csv(little / "found/history.csv"):
        curves.setdefault(row["metric"], []).append(float(row["value"]))
    assert len(curves["score"]) == (6 if strategy == "darts" else 3)
    assert curves["best_score"] == [max(curves["score"][:n]) for n in range(1, len(curves["score"]) + 1)]
    spent = curves["spent_flops"]
    assert spent[-1] == read_json(little / "found/search.json")["spent_flops"]
    if strategy == "darts":  # one pass at each of the two steps of the warm-up, then two
        assert [round(value / spent[0], 6) for value in spent] == [1, 2, 4, 6, 8, 10]


def test_a_supernet_that_does_not_share_its_cells_can_be_searched(little):
    run_search(little, "own", of_space=dataclasses.replace(CELLS, share_cells=False))
    run_derive(little, "own")
    assert genotypes.load(little / "derived/genotype.json").layers == 2
    assert "cells.1.0.1.operations.0.0.1.weight" in read_tensors(little / "own/supernet.safetensors")


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_the_space_hinas_goes_the_whole_way(little, strategy):
    run_search(little, "found", config=CONFIGS[strategy], space="hinas", of_space=HINAS)
    facts = read_json(little / "found/search.json")
    assert {key: facts[key] for key in ("space", "share_alpha", "beta_norm", "activation", "sigmoid")} == {
        "space": "hinas",
        "share_alpha": False,
        "beta_norm": "outgoing",
        "activation": "leaky_relu",
        "sigmoid": True,
    }
    run_derive(little, "found", space="hinas")
    genotype = genotypes.load(little / "derived/genotype.json")
    assert (genotype.space, len(genotype.cells), genotype.activation) == ("hinas", 2, "leaky_relu")
    run_retrain(little, "trained", config=dataclasses.replace(RETRAIN, steps=2), space="hinas")

    denoise = model.load(little / "trained/model")
    assert isinstance(denoise.network, hinas.Network)
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_a_space_refuses_what_it_cannot_have(little):
    with pytest.raises(ValueError, match=r"space.share_cells must be true with the space hinas"):
        run_search(little, "found", space="hinas", of_space=dataclasses.replace(HINAS, share_cells=False))
    assert not (little / "found").exists()


def test_news_of_a_stage_end_at_its_count(little):
    for name, config in CONFIGS.items():
        seen: list[int] = []
        run_search(little, name, log=lambda step, _, seen=seen: seen.append(step), config=config)
        assert seen[-1] == search.count(strategies.find(name), SECTIONS[name], config)


def test_a_retraining_that_was_killed_carries_on_to_the_same_bytes(found):
    run_derive(found, "found")
    run_retrain(found, "whole")
    for step in (3, 6):
        out = f"killed-{step}"
        with pytest.raises(Killed):
            run_retrain(found, out, log=killed_at(step))
        run_retrain(found, out)
        assert files(found / out) == files(found / "whole")


def test_a_checkpoint_of_another_configuration_is_refused_and_kept(little):
    with pytest.raises(Killed):
        run_search(little, "killed", log=killed_at(5))
    with pytest.raises(ValueError, match=r"search.batch: 2 -> 3\. Remove it to start afresh"):
        run_search(little, "killed", config=dataclasses.replace(SEARCH, batch=3))
    assert (little / "killed.pt").exists()


def test_a_checkpoint_of_other_code_is_refused_and_kept(little):
    with pytest.raises(Killed):
        run_search(little, "killed", log=killed_at(5))
    with pytest.raises(ValueError, match=r"code: 000000000000\.\.\. -> 111111111111\.\.\.\. Remove it to start afresh"):
        run_search(little, "killed", code="1" * 64)
    assert (little / "killed.pt").exists()


def test_a_checkpoint_of_computations_in_another_order_is_refused_and_what_a_nan_does_may_change(little):
    with pytest.raises(Killed):
        run_search(little, "killed", log=killed_at(5))
    with pytest.raises(ValueError, match=r"deterministic: True -> False\. Remove it to start afresh"):
        run_search(little, "killed", safety=dataclasses.replace(OFF, deterministic=False))
    run_search(little, "killed", safety=dataclasses.replace(OFF, on_nan="rewind", checkpoint_seconds=1.0))
    run_search(little, "whole")
    assert files(little / "killed") == files(little / "whole")


def test_another_seed_finds_something_else(little, searched):
    run_search(little, "one", seed=1)
    assert files(searched)["architecture.safetensors"] != files(little / "one")["architecture.safetensors"]


def test_only_scores_from_keep_from_on_are_kept(little):
    run_search(little, "late", section=dataclasses.replace(DARTS, keep_from=6))
    assert read_json(little / "late/search.json")["best_step"] == 6


def test_a_loss_that_is_not_finite_names_the_step(little, monkeypatch):
    monkeypatch.setattr("nasir.config.training.HIGHEST_RATE", 1e30)
    with pytest.raises(FloatingPointError, match="at search step"):
        run_search(little, "wild", config=dataclasses.replace(SEARCH, lr_max=1e30, clip_norm=1e9))
    assert not (little / "wild").exists()


def test_the_first_order_update_moves_only_its_own_parameters(little, monkeypatch):
    # during the warm-up alpha and beta stay as drawn: the same values as the supernet's generator gives
    config, section = dataclasses.replace(SEARCH, warmup_steps=5, val_period=5), dataclasses.replace(DARTS, keep_from=5)
    run_search(little, "warm", config=config, section=section)
    if read_json(little / "warm/search.json")["best_step"] == 5:
        alpha = read_tensors(little / "warm/architecture.safetensors")["alpha"]
        expected = 1e-3 * torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
        assert torch.equal(alpha, expected)


@pytest.mark.parametrize("network", ["dncnn", "red30"])
def test_a_baseline_trains_on_the_same_engine_at_its_own_rate_and_is_read_back(little, network):
    short = dataclasses.replace(RETRAIN, steps=2, val_period=2)

    run_retrain(little, "out", config=short, network=network)

    rates = [float(row["value"]) for row in read_csv(little / "out/history.csv") if row["metric"] == "learning_rate"]
    assert rates[0] == catalogue.find(network).lr_max
    denoise = model.load(little / "out/model")
    assert (denoise.sigma, denoise.channels) == (50.0, 1)
    assert read_json(little / "out/model/model.json")["network"] == network
    assert denoise(torch.rand(1, 1, 9, 7), 50).shape == (1, 1, 9, 7)


def test_a_killed_training_of_a_baseline_is_not_carried_on_by_another(little):
    short = dataclasses.replace(RETRAIN, steps=4, checkpoint_period=1)
    with pytest.raises(Killed):
        run_retrain(little, "out", log=killed_at(2), config=short, network="dncnn")

    with pytest.raises(ValueError, match="network"):
        run_retrain(little, "out", config=short, network="red30")


@pytest.mark.parametrize("network", ["dncnn", None])
def test_a_trained_network_is_trained_further_from_its_weights(found, network):
    if network is None:
        run_derive(found, "found")
    run_retrain(found, "first", network=network)
    start = found / "first/model"
    still = dataclasses.replace(RETRAIN, lr_max=1e-12, lr_min=0.0, average=0.0)

    run_retrain(found, "further", start=str(start), config=still)

    before, after = (model.read_tensors(found / f"{run}/model/best.safetensors") for run in ("first", "further"))
    counted = ("running", "tracked")  # by batch normalisation, at any rate of learning
    learnt = [name for name in before if not any(word in name for word in counted)]
    assert set(before) == set(after) and learnt
    assert all(torch.allclose(after[name], before[name], atol=1e-7) for name in learnt)
    assert read_json(found / "further/model/model.json") == read_json(start / "model.json")
    assert read_json(found / "further/start.json") == {
        "name": "model",
        "weights_sha256": sha256_file(start / "best.safetensors"),
    }
    run_retrain(found, "further", network="dncnn")  # into the same folder, from nothing
    assert not (found / "further/start.json").exists()


def test_a_killed_training_of_a_trained_network_carries_on_to_the_same_bytes_and_from_no_other_weights(little):
    for batch in (2, 3):
        run_retrain(little, f"first-{batch}", network="dncnn", config=dataclasses.replace(RETRAIN, batch=batch))
    run_retrain(little, "whole", start=str(little / "first-2/model"))
    with pytest.raises(Killed):
        run_retrain(little, "killed", start=str(little / "first-2/model"), log=killed_at(6))
    with pytest.raises(ValueError, match=r"start\.weights"):
        run_retrain(little, "killed", start=str(little / "first-3/model"))
    run_retrain(little, "killed", start=str(little / "first-2/model"))
    assert files(little / "killed") == files(little / "whole")


def test_what_cannot_be_trained_further_is_refused(little):
    with pytest.raises(ValueError, match=r"one of --genotype, --network, --start, got --network and --start; give one"):
        run_retrain(little, "out", network="dncnn", start="irnas-bsd500-50")
    with pytest.raises(ValueError, match=r"expected a trained network in nowhere, got no model\.json there"):
        run_retrain(little, "out", start="nowhere")
    with pytest.raises(ValueError, match=r"--start must be a network for 1 channels.*got .*irnas-rain800 for 3"):
        run_retrain(little, "out", start="irnas-rain800")
    assert not (little / "out").exists()


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_a_node_keeps_as_many_inputs_as_the_space_says(little, strategy):
    run_search(little, "found", config=CONFIGS[strategy], of_space=dataclasses.replace(CELLS, inputs=1))
    run_derive(little, "found")

    [cell] = genotypes.load(little / "derived/genotype.json").cells
    assert [len(edges) for edges in cell] == [1]


def write_operations(folder, operation):
    """Put one operation on every edge of what a search found."""
    value = read_json(folder / "genotype.json")
    for edge in (edge for cell in value["cells"] for node in cell for edge in node):
        edge["operation"] = operation
    write_json(folder / "genotype.json", value)


def test_a_genotype_with_nothing_to_modify_is_an_error(found):
    write_operations(found / "found", "sep_3x3")

    with pytest.raises(NothingToModifyError, match=r"needs a genotype with a conv_3x3, got one without"):
        run_derive(found, "found", config=dataclasses.replace(DERIVE, modify="r1"))
    assert not (found / "derived").exists()


def test_a_genotype_is_modified_where_the_section_says_so(found):
    write_operations(found / "found", "conv_3x3")

    run_derive(found, "found", config=dataclasses.replace(DERIVE, modify="r1"))

    [cell] = genotypes.load(found / "derived/genotype.json").cells
    assert {edge.operation for edges in cell for edge in edges} == {"def_3x3"}


@pytest.mark.parametrize("strategy", ["darts", "random"])
def test_rain_in_colour_goes_the_whole_way(little, strategy):
    for i in range(5):
        clean = np.array(Image.open(little / f"pictures/train/{i}.png").convert("RGB"))
        save_png(little / f"pictures/train/{i}.png", clean)
        save_png(little / f"pictures/rainy/train/{i}.png", np.minimum(clean, 215) + np.uint8(40))
    list_pictures(little / "pictures", [f"train/{i}" for i in range(5)], degraded="rainy")

    run_search(little, "found", config=dataclasses.replace(CONFIGS[strategy], sigmas=(0.0,)), task="derain")
    run_derive(little, "found")
    run_retrain(little, "trained", config=dataclasses.replace(RETRAIN, val_crop=16), task="derain")

    description = read_json(little / "trained/model/model.json")
    assert (description["task"], description["sigma"], description["channels"]) == ("derain", 0.0, 3)
    restored = model.load(little / "trained/model")(torch.rand(1, 3, 20, 24), 0.0)
    assert restored.shape == (1, 3, 20, 24)
    with pytest.raises(ValueError, match="trained for sigma 0, got 50"):
        model.load(little / "trained/model")(torch.rand(1, 3, 20, 24), 50.0)
