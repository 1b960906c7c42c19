"""Stages as processes: every one by hand on a temporary folder without DVC, MLflow and Great Expectations; and SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HIDDEN = ("mlflow", "dvc", "great_expectations", "psutil", "pandas")
BLOCKED = f"import sys\nsys.modules |= dict.fromkeys({HIDDEN})\n"  # as if not installed
SMALLER = {
    "search": {"nodes": 1, "width": 2, "stem_channels": 4, "steps": 12, "warmup_steps": 3, "batch": 2, "patch": 16}
    | {"val_period": 6, "val_crop": 32, "keep_from": 6, "log_period": 1, "checkpoint_period": 2, "device": "cpu"},
    "retrain": {"width": 2, "stem_channels": 4, "aspp_channels": 2, "steps": 12, "batch": 2, "patch": 16}
    | {"val_period": 6, "log_period": 1, "checkpoint_period": 2, "device": "cpu"},
    "evaluate": {"protocols": ["whole"], "tv_factors": [0.9], "nlm_factors": [0.7], "device": "cpu"},
}


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with params, a tiny profile, and a `sitecustomize` that hides the pipeline's packages."""
    if not (ROOT / "data").is_dir():
        pytest.skip("needs the shipped images in data/; `dvc pull data.dvc` brings them")
    profile = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    for section, changes in SMALLER.items():
        profile[section] |= changes
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(profile))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/sitecustomize.py").write_text(BLOCKED)
    return tmp_path


def start(place: Path, stage: str, **paths: Path | str) -> subprocess.Popen:
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    if stage != "report":
        options += ["--profile", str(place / "tiny.yaml")]
    options += ["--params", str(place / "params.yaml"), "--receipt", str(place / f"receipts/{stage}.json")]
    environment = os.environ | {"PYTHONPATH": str(place / "blocked"), "NASIR_TRACKING": str(place / "tracking")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages", stage, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def prepare(place: Path) -> dict[str, Path]:
    images = place / "images"
    finish(start(place, "download", shipped=ROOT / "data", out=place / "download"))
    finish(start(place, "pair", source=place / "download", out=images))
    finish(start(place, "split", images=images, out=place / "split"))
    return {"images": images, "split": place / "split"}


@pytest.mark.slow
def test_the_whole_chain_runs_by_hand(place):
    common = prepare(place)
    images, _split = common.values()
    finish(start(place, "synthesize", images=images, out=place / "synthesize"))
    finish(start(place, "audit", **common, out=place / "audit"))
    finish(start(place, "search", **common, checkpoint=place / "search.pt", out=place / "search"))
    finish(start(place, "derive", search=place / "search", out=place / "derive"))
    genotype = place / "derive/genotype.json"
    finish(start(place, "retrain", **common, genotype=genotype, checkpoint=place / "retrain.pt", out=place / "retrain"))
    finish(
        start(
            place,
            "evaluate",
            **common,
            synthesize=place / "synthesize",
            model=place / "retrain/model",
            out=place / "evaluate",
        )
    )
    model = place / "retrain/model"
    finish(start(place, "score", **common, method="irnas", model=model, protocols="half,whole:2", out=place / "cell"))
    assert len((place / "cell/scores.csv").read_text().splitlines()) == 1 + 4 + 2  # all four test images, two drawn
    finish(
        start(
            place,
            "report",
            download=place / "download",
            images=images,
            runs=place,
            published=ROOT / "tables/published.csv",
            out=place / "reports",
        )
    )
    page = (place / "reports/report.md").read_text()
    assert page.splitlines()[0] == "# `demo` run: denoise, data set `sample`, sigma 50"
    assert page.count("| not run |") == 6  # the checks, without Great Expectations


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["search", "retrain"])
def test_a_stage_that_was_killed_ends_with_the_same_bytes(place, stage):
    common = prepare(place)
    if stage == "retrain":
        finish(start(place, "search", **common, checkpoint=place / "search.pt", out=place / "search"))
        finish(start(place, "derive", search=place / "search", out=place / "derive"))
        common["genotype"] = place / "derive/genotype.json"
    checkpoint = place / "killed.pt"
    finish(start(place, stage, **common, checkpoint=place / "whole.pt", out=place / "whole"))
    process = start(place, stage, **common, checkpoint=checkpoint, out=place / "killed")
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert checkpoint.exists(), "the stage ended before its first checkpoint was seen"
    assert not (place / "killed").exists()
    finish(start(place, stage, **common, checkpoint=checkpoint, out=place / "killed"))
    assert files(place / "killed") == files(place / "whole")
    assert '"is_resumed": true' in (place / f"receipts/{stage}.json").read_text()
