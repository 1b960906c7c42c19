"""A person's folder of 50,000 pictures becomes a data set that is checked, split and listed, in memory that is bounded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from measuring import MEASURED, ROOT, STAGE, run

from nasir.config import reading
from nasir.data.pictures.images import save_png
from nasir.files import read_csv, read_json, write_csv, write_json
from nasir.settings import resolve

IMAGES = int(os.environ.get("NASIR_IMAGES", "50000"))

SIDE = 32
"""Of each picture, pixels."""

MOST_MIB = 1536
"""Of any process; torch and Great Expectations alone have some 400."""

LIST = (
    MEASURED
    + """
from pathlib import Path
from nasir import task
from nasir.data import split_lists
from nasir.data.pictures.collection import load_samples
from nasir.config.evaluate import EvaluateConfig
from stages import evaluate
from stages.around import checks

config = EvaluateConfig(protocols=("whole",), batch=8, tv_factors=(1.0,), nlm_factors=(1.0,), device="cpu")
names = split_lists.read(Path("split/split.json"), ["test"])["test"]
assert evaluate.count(Path("split"), "denoise", config) == 4 * len(names)
assert len(load_samples(Path("pictures"), names, task.find("denoise"))) == len(names)
checks.check_evaluate(Path("scores.csv"), Path("pictures"), Path("metrics.json"), Path("evaluate.json"))
"""
)
"""What evaluation does with its list: counts its scores, loads the test pictures, checks a table of scores of all of them."""


@pytest.mark.slow
def test_a_folder_of_many_pictures_becomes_a_data_set_in_bounded_memory(tmp_path):
    """NASIR_IMAGES pictures (50,000) of 32x32 pixels."""
    chance = np.random.default_rng(0)
    for number in range(IMAGES):
        save_png(
            tmp_path / "own" / f"{number % 100}" / f"{number}.png", chance.integers(0, 256, (SIDE, SIDE), np.uint8)
        )
    params = reading.read(ROOT / "params.yaml") | {"dataset": "folder", "folder": str(tmp_path / "own")}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(resolve(params, ROOT / "profiles")))
    known = ROOT / "nasir/data/datasets/known_elsewhere.csv"

    peaks = {
        "download": run(tmp_path, STAGE, "download", "--shipped", "none", out="images"),
        "pair": run(tmp_path, STAGE, "pair", "--source", "images", "--known", str(known), out="pictures"),
        "split": run(tmp_path, STAGE, "split", "--pictures", "pictures", out="split"),
    }
    pretend_scores(tmp_path)
    peaks["evaluate's list"] = run(tmp_path, LIST)

    print(json.dumps({"images": IMAGES, "peak_mib_and_seconds": peaks}))
    parts = read_json(tmp_path / "split" / "split.json")
    assert sum(len(parts[part]) for part in ("w", "a", "v", "test")) == IMAGES
    for step in ("download", "pair", "split"):
        assert read_json(tmp_path / f"{step}.json")["success"]
    assert read_json(tmp_path / "evaluate.json")["success"]
    assert {name: peak for name, (peak, _) in peaks.items() if peak > MOST_MIB} == {}


def pretend_scores(place: Path) -> None:
    """Scores of two methods for each test picture, and their means."""
    names = [row["name"] for row in read_csv(place / "pictures" / "pictures.csv") if row["split"] == "test"]
    values = {"psnr_db": 25.0, "ssim_zero_padded": 0.5, "ssim_valid": 0.5}
    rows = [
        {"method": method, "protocol": "whole", "name": name} | values
        for method in ("noisy", "nasir")
        for name in names
    ]
    write_csv(place / "scores.csv", rows, list(rows[0]))
    write_json(place / "metrics.json", {"methods": {method: {"whole": values} for method in ("noisy", "nasir")}})
