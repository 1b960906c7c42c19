"""One run of the paper's tables from genotype to cell: trained, scored, described; or why it could not be."""

import dataclasses
import hashlib
from pathlib import Path

import little_run
import pytest
import torch
from little_run import CELLS, CODE, RETRAIN, SIZES, Killed, files, killed_at

from nasir.config.derive import DeriveConfig
from nasir.config.evaluate import EvaluateConfig
from nasir.config.training import OFF
from nasir.data.pictures.collection import load_grey, to_clean
from nasir.evaluation import protocols
from nasir.files import read_csv, read_json, write_json
from nasir.inference import model
from nasir.spaces import clearer, irnas
from nasir.spaces.cells import searching
from nasir.spaces.resolutions.section import ColumnsSizes
from stages.tables import train

AS_FOUND = DeriveConfig(modify="none", modify_seed=0)
SCORED = EvaluateConfig(protocols=("unread",), batch=4, tv_factors=(1.0,), nlm_factors=(1.0,), device="cpu")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Five pictures for training and two for testing, their split, and the genotype of a search."""
    little_run.write_pictures(tmp_path, tests=2)
    found = searching.random_genotype("irnas", CELLS, torch.Generator().manual_seed(0))
    write_json(tmp_path / "genotype.json", irnas.SPACE.to_json(found))
    return tmp_path


def run(
    place: Path,
    out: str,
    log=little_run.ignore,
    deriving=AS_FOUND,
    steps=2,
    space=irnas.SPACE,
    of_network=SIZES,
    **cell: object,
) -> Path:
    train.run(
        pictures=place / "pictures",
        split=place / "split",
        source=place / "genotype.json",
        checkpoint=place / f"{out}.pt",
        out=place / out,
        cell={"method": "irnas", "draw": 0, "is_baseline": False, "protocols": ["whole", "clipped8:1"]} | cell,
        task="denoise",
        sigma=50.0,
        space=space,
        of_network=of_network,
        seed=0,
        deriving=deriving,
        retraining=dataclasses.replace(RETRAIN, steps=steps),
        tone=little_run.NO_TONE,
        config=SCORED,
        safety=OFF,
        code=CODE,
        log=log,
    )
    return place / out


def write_operations(place: Path, operation: str) -> None:
    """Put one operation on every edge of the genotype."""
    value = read_json(place / "genotype.json")
    for edge in (edge for cell in value["cells"] for node in cell for edge in node):
        edge["operation"] = operation
    write_json(place / "genotype.json", value)


def test_a_found_network_is_trained_and_scored_under_all_its_protocols(place):
    steps: list[int] = []
    out = run(place, "out", log=lambda step, news: steps.append(step))

    assert steps == [1, 2, 3, 4, 5]  # two of training, then three scores
    assert not (place / "out.pt").exists()
    cell, rows = read_json(out / "cell.json"), read_csv(out / "scores.csv")
    assert [(row["protocol"], row["name"]) for row in rows][:2] == [("whole", "test/0"), ("whole", "test/1")]
    assert [row["protocol"] for row in rows] == ["whole", "whole", "clipped8"]
    assert cell["genotype_sha256"] == hashlib.sha256((out / "genotype.json").read_bytes()).hexdigest()
    assert read_json(out / "genotype.json") == read_json(place / "genotype.json")
    assert (cell["method"], cell["sigma"], cell["seed"], cell["draw"]) == ("irnas", 50.0, 0, 0)
    assert (cell["images"], cell["reason"], cell["settings"]) == (2, None, {})

    denoise = model.load(out / "model")
    assert cell["parameters"] == sum(p.numel() for p in denoise.network.parameters())
    clean = {name: to_clean(image) for name, image in load_grey(place / "pictures", ["test/0", "test/1"]).items()}
    expected = protocols.score(denoise, clean, 50.0, "whole", 0)
    assert [float(row["psnr_db"]) for row in rows[:2]] == [one.psnr_db for one in expected]


def test_a_network_found_in_another_space_is_trained_and_scored_the_same_way(place):
    genotype = {"version": 1, "space": "clearer", "cells": ["PF"], "residual": False, "norm": "batch", "downscale": 1}
    genotype |= {"transition": "before"}
    write_json(place / "genotype.json", genotype)
    sizes = ColumnsSizes(widths=(2, 3), stem_blocks=1, initial_std=0.0)

    out = run(place, "out", space=clearer.SPACE, of_network=sizes, method="clearer", protocols=["whole"])

    cell = read_json(out / "cell.json")
    assert (cell["method"], cell["reason"], cell["images"]) == ("clearer", None, 2)
    assert read_json(out / "genotype.json") == genotype
    assert len(read_csv(out / "scores.csv")) == 2


def test_two_runs_differ_in_their_seconds_alone(place):
    first, second = files(run(place, "first")), files(run(place, "second"))

    assert [name for name in first if first[name] != second[name]] == ["cell.json"]
    cells = [read_json(place / out / "cell.json") for out in ("first", "second")]
    assert {key for key in cells[0] if cells[0][key] != cells[1][key]} <= {"seconds_per_image"}


def test_a_run_that_was_killed_while_it_trained_carries_on(place):
    with pytest.raises(Killed):
        run(place, "killed", log=killed_at(3), steps=4)
    assert (place / "killed.pt").exists()
    assert not (place / "killed/cell.json").exists()

    steps: list[int] = []
    carried_on = files(run(place, "killed", log=lambda step, news: steps.append(step), steps=4))

    assert steps[0] == 3  # behind the checkpoint of step 2
    whole = files(run(place, "whole", steps=4))
    assert {name for name in whole if whole[name] != carried_on[name]} == {"cell.json"}  # its seconds


def test_a_modified_network_is_what_its_settings_say(place):
    write_operations(place, "conv_3x3")

    out = run(place, "out", deriving=DeriveConfig(modify="r1", modify_seed=0), method="irnas-r1", draw=2)

    value = read_json(out / "genotype.json")
    assert {edge["operation"] for cell in value["cells"] for node in cell for edge in node} == {"def_3x3"}
    cell = read_json(out / "cell.json")
    assert (cell["method"], cell["draw"]) == ("irnas-r1", 2)
    assert cell["genotype_sha256"] == hashlib.sha256((out / "genotype.json").read_bytes()).hexdigest()


def test_a_genotype_with_nothing_to_modify_leaves_a_reason_and_trains_nothing(place):
    write_operations(place, "sep_3x3")

    out = run(place, "out", deriving=DeriveConfig(modify="r1", modify_seed=0), method="irnas-r1")

    assert sorted(files(out)) == ["cell.json", "reason.json"]
    cell = read_json(out / "cell.json")
    assert cell["reason"] == read_json(out / "reason.json")["reason"]
    assert cell["reason"].startswith("the search found a network that this leaves as it is: modification r1 needs")
    assert (cell["method"], cell["sigma"], cell["seed"], cell["images"]) == ("irnas-r1", 50.0, 0, 2)


def test_a_reason_goes_when_there_is_something_to_modify(place):
    deriving = DeriveConfig(modify="r1", modify_seed=0)
    write_operations(place, "sep_3x3")
    run(place, "out", deriving=deriving)
    write_operations(place, "conv_3x3")

    out = run(place, "out", deriving=deriving)

    assert not (out / "reason.json").exists()
    assert read_json(out / "cell.json")["reason"] is None


def test_a_baseline_needs_no_genotype(place):
    (place / "genotype.json").unlink()

    out = run(place, "out", method="dncnn", is_baseline=True, protocols=["whole"])

    cell = read_json(out / "cell.json")
    assert (cell["method"], cell["genotype_sha256"], cell["reason"]) == ("dncnn", None, None)
    assert cell["parameters"] == 555_137  # batch normalisation merged
    assert read_json(out / "model/model.json")["network"] == "dncnn"
    assert not (out / "genotype.json").exists()
    assert len(read_csv(out / "scores.csv")) == 2


def test_a_kill_while_scores_are_made_trains_nothing_again(place):
    whole = run(place, "whole")
    with pytest.raises(Killed):
        run(place, "out", log=killed_at(3))  # the first score, behind two steps
    steps: list[int] = []

    out = run(place, "out", log=lambda step, news: steps.append(step))

    assert steps == [3, 4, 5]
    assert (out / "model/best.safetensors").read_bytes() == (whole / "model/best.safetensors").read_bytes()


def test_a_finished_training_of_other_settings_is_not_taken(place):
    run(place, "out")
    steps: list[int] = []

    run(place, "out", log=lambda step, news: steps.append(step), steps=3)

    assert steps == [1, 2, 3, 4, 5, 6]
