"""One very large picture among small ones in a person's folder, from download to its score: the memory of each stage."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from measuring import ROOT, STAGE, call, run
from PIL import Image

from nasir.config import reading
from nasir.data.pictures.images import save_png
from nasir.files import read_json
from nasir.inference import model
from nasir.settings import merge, resolve
from nasir.spaces import contract
from nasir.spaces.cells.section import CellsSizes

TOO_LARGE = (16_512, 16_512)
"""Width and height of 273 megapixels, more than `MOST_PIXELS`."""

MEGAPIXELS = int(os.environ.get("NASIR_MEGAPIXELS", "200"))

LARGEST = (16_384, 16 * round(62_500 * MEGAPIXELS / 16_384))
"""Width and height of so many."""

REFUSED_MIB = 640
"""That a process may need to refuse a picture, most of them torch's and Great Expectations'."""

MOST_MIB = 4096
"""Of a process that reads a picture of 200 megapixels in colours: some 16 bytes a pixel, and what it needs itself."""

MOST_SCORED_MIB = 12_288
"""Of those that draw its noise, restore and score it, grey: some 40 bytes a pixel, and what they need themselves."""

SCORES = STAGE.replace(
    "main()",
    "from nasir.evaluation import classical\n"
    "classical.TV_ITERATIONS, classical.NLM_DISTANCE, classical.LARGE = 4, 1, 2**20\n"
    "main()",
)
"""Total variation in 4 steps in place of 100 and non-local means within 1 pixel in place of 6, which take an hour and a quarter
of one and no more memory; in tiles from a megapixel on."""

GENOTYPE = {
    "version": 3, "space": "irnas", "cells": [[[{"input": 0, "operation": "conv_3x3"}]]], "path": [0], "width_factors": [1.0],
    "residual": True, "activation": "relu", "downscale": 1, "norm": "batch", "reads_stem": False,
}  # fmt: skip


def scene(chance: np.random.Generator, side: int) -> np.ndarray:
    """Grey levels with structure of every size, as of a photograph, so that the audit finds its planted copies."""
    sizes = [4 * 2**power for power in range(5)]
    drawn = [Image.fromarray(chance.integers(0, 256, (size, size), np.uint8)) for size in sizes]
    parts = [np.asarray(one.resize((side, side), Image.Resampling.BICUBIC), float) for one in drawn]
    return np.mean(parts, axis=0).astype(np.uint8)


def prepare(place: Path, width: int, height: int, mode: str) -> None:
    """A folder of four small training pictures and a large one for test, a JPEG, and its settings."""
    chance = np.random.default_rng(0)
    for number in range(4):
        save_png(place / "own" / "train" / f"{number}.png", scene(chance, 256))
    tile = Image.fromarray(scene(chance, 1024)).convert(mode)
    large = Image.new(mode, (width, height))
    for top in range(0, height, 1024):
        for left in range(0, width, 1024):
            large.paste(tile, (left, top))
    (place / "own" / "test").mkdir()
    large.save(place / "own" / "test" / "large.jpg")
    params = reading.read(ROOT / "params.yaml") | {"dataset": "folder", "folder": str(place / "own")}
    little = {"evaluate": {"protocols": ["whole"], "tv_factors": [0.9], "nlm_factors": [0.7], "device": "cpu"}}
    (place / "settings.yaml").write_text(yaml.safe_dump(merge(resolve(params, ROOT / "profiles"), little)))


def stages(place: Path) -> dict[str, tuple[int, float]]:
    """Peak memory in MiB and seconds of all stages that prepare pictures, each with its check."""
    known = str(ROOT / "nasir/data/datasets/known_elsewhere.csv")
    return {
        "download": run(place, STAGE, "download", "--shipped", "none", out="images"),
        "pair": run(place, STAGE, "pair", "--source", "images", "--known", known, out="pictures"),
        "split": run(place, STAGE, "split", "--pictures", "pictures", out="split"),
        "audit": run(place, STAGE, "audit", "--pictures", "pictures", "--split", "split", out="audit"),
    }


@pytest.mark.slow
def test_a_picture_of_273_megapixels_is_refused_by_its_name_in_little_memory(tmp_path):
    prepare(tmp_path, *TOO_LARGE, mode="L")

    done, peak, seconds = call(tmp_path, STAGE, "download", "--shipped", "none", out="images")

    print(json.dumps({"megapixels": 273, "peak_mib": peak, "seconds": seconds}))
    assert done.returncode == 1
    assert "own/test/large.jpg must be of a usual size, got: Image size (272646144 pixels)" in done.stderr
    assert "cut it into parts" in done.stderr and "Warning" not in done.stderr
    assert not (tmp_path / "images").exists() or [*(tmp_path / "images").rglob("*.*")] == []
    assert peak <= REFUSED_MIB


@pytest.mark.slow
def test_a_large_picture_goes_from_download_to_its_score_in_bounded_memory(tmp_path):
    """NASIR_MEGAPIXELS (200), a network of two channels: the classical denoisers are those that take time and memory."""
    prepare(tmp_path, *LARGEST, mode="RGB")
    sizes = CellsSizes(width=2, stem_channels=2, aspp_channels=0, aspp_rates=())
    space = contract.find("irnas")
    torch.manual_seed(0)
    weights = space.build(space.from_json(GENOTYPE), sizes, 1).state_dict()
    model.save(tmp_path / "model", GENOTYPE, sizes, 1, "denoise", 50.0, {"best": weights, "last": weights})

    peaks = stages(tmp_path)
    assert read_json(tmp_path / "split" / "split.json")["test"] == ["test/large"]
    paths = ("--pictures", "pictures", "--split", "split", "--synthesize", "synthesize", "--model", "model")
    scored = {
        "synthesize": run(tmp_path, STAGE, "synthesize", "--pictures", "pictures", out="synthesize"),
        "evaluate": run(tmp_path, SCORES, "evaluate", *paths, out="evaluate"),
    }

    print(json.dumps({"megapixels": MEGAPIXELS, "peak_mib_and_seconds": peaks | scored}))
    assert all(read_json(tmp_path / f"{step}.json")["success"] for step in [*peaks, *scored])
    assert {name: peak for name, (peak, _) in peaks.items() if peak > MOST_MIB} == {}
    assert {name: peak for name, (peak, _) in scored.items() if peak > MOST_SCORED_MIB} == {}
