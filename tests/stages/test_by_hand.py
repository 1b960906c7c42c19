"""Stages as processes: every one by hand on a temporary folder without DVC, MLflow and Great Expectations; and SIGKILL."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from nasir.settings import merge
from stages.around import pausing

ROOT = Path(__file__).parents[2]
KNOWN = ROOT / "nasir/data/datasets/known_elsewhere.csv"
HIDDEN = ("mlflow", "dvc", "great_expectations", "psutil", "pandas", "vl_convert")
BLOCKED = f"import sys\nsys.modules |= dict.fromkeys({HIDDEN})\n"  # as if not installed
SMALLER = {
    "search": {"steps": 12, "warmup_steps": 3, "batch": 2, "patch": 16, "val_period": 6, "val_crop": 32}
    | {"log_period": 1, "checkpoint_period": 2, "device": "cpu"},
    "space": {"cells": {"nodes": 1, "width": 2, "stem_channels": 4}},
    "strategy": {
        "darts": {"keep_from": 6},
        "one_shot": {"candidates": 4, "population": 2, "tournament": 2, "window": [0, 1.0e9], "finalists": 2}
        | {"final_steps": 3},
    },
    "network": {"cells": {"width": 2, "stem_channels": 4, "aspp_channels": 2}},
    "retrain": {
        "steps": 12,
        "warmup_steps": 2,
        "batch": 2,
        "patch": 16,
        "val_period": 6,
        "log_period": 1,
        "checkpoint_period": 2,
    }
    | {"device": "cpu"},
    "evaluate": {"protocols": ["whole"], "tv_factors": [0.9], "nlm_factors": [0.7], "device": "cpu"},
}


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with the settings of a tiny demo, and a `sitecustomize` that hides the pipeline's packages."""
    if not (ROOT / "data").is_dir():
        pytest.skip("needs the shipped images in data/; `dvc pull data.dvc` brings them")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/sitecustomize.py").write_text(BLOCKED)
    resolve(tmp_path, {})
    return tmp_path


def resolve(place: Path, changes: dict) -> None:
    """Write the settings of the tiny demo with changes."""
    demo = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    (place / "profiles/demo.yaml").write_text(yaml.safe_dump(merge(merge(demo, SMALLER), changes)))
    out = place / "settings.yaml"
    finish(call(place, "settings", params=ROOT / "params.yaml", profiles=place / "profiles", out=out))


def call(place: Path, command: str, **options: Path | str) -> subprocess.Popen:
    """`python -m stages`, as if the pipeline's packages were not installed."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = os.environ | {"PYTHONPATH": str(place / "blocked"), "NASIR_TRACKING": str(place / "tracking")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages", command, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(place: Path, stage: str, settings: str = "settings.yaml", **paths: Path | str) -> subprocess.Popen:
    """A stage, without its check, which needs Great Expectations."""
    return call(place, stage, settings=place / settings, receipt=place / f"receipts/{stage}.json", **paths)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def prepare(place: Path) -> dict[str, Path]:
    pictures = place / "pictures"
    finish(start(place, "download", shipped=ROOT / "data", out=place / "download"))
    finish(start(place, "pair", source=place / "download", known=KNOWN, out=pictures))
    finish(start(place, "split", pictures=pictures, out=place / "split"))
    return {"pictures": pictures, "split": place / "split"}


@pytest.mark.slow
def test_the_whole_chain_runs_by_hand(place):
    common = prepare(place)
    pictures = common["pictures"]
    finish(start(place, "synthesize", pictures=pictures, out=place / "synthesize"))
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
    cell = {"method": "irnas", "draw": 0, "is_baseline": False, "protocols": ["half", "whole:2"]}
    settings = yaml.safe_load((place / "settings.yaml").read_text()) | {"cell": cell}
    (place / "cell.yaml").write_text(yaml.safe_dump(settings))
    found = {"source": genotype, "checkpoint": place / "train.pt", "out": place / "cell"}
    finish(start(place, "train", settings="cell.yaml", **common, **found))
    assert len((place / "cell/scores.csv").read_text().splitlines()) == 1 + 4 + 2  # all four test images, two drawn
    finish(
        start(
            place,
            "report",
            download=place / "download",
            pictures=pictures,
            runs=place,
            published=ROOT / "tables/published.csv",
            out=place / "reports",
        )
    )
    page = (place / "reports/report.md").read_text()
    assert page.splitlines()[0] == "# `demo` run: denoise, data set `sample`, sigma 50"
    assert page.count("| not run |") == 6  # the checks, without Great Expectations
    assert "Charts are pictures here: vl-convert-python is not installed" in (place / "reports/index.html").read_text()


@pytest.mark.slow
def test_a_search_that_was_killed_ends_with_the_same_bytes(place):
    """By DARTS; the pipelines of tests/test_crashes.py, killed at more moments, search in one shot and train."""
    resolve(place, {"search": {"strategy": "darts"}})
    common = prepare(place)
    checkpoint = place / "killed.pt"
    finish(start(place, "search", **common, checkpoint=place / "whole.pt", out=place / "whole"))
    process = start(place, "search", **common, checkpoint=checkpoint, out=place / "killed")
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert checkpoint.exists(), "the stage ended before its first checkpoint was seen"
    assert not (place / "killed").exists()
    finish(start(place, "search", **common, checkpoint=checkpoint, out=place / "killed"))
    assert files(place / "killed") == files(place / "whole")
    assert '"is_resumed": true' in (place / "receipts/search.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["search", "retrain"])
def test_a_stage_that_is_asked_to_end_leaves_a_checkpoint_of_its_step_and_ends_with_the_same_bytes(place, stage):
    rare = {"steps": 400, "val_period": 400, "log_period": 1, "checkpoint_period": 400}
    resolve(place, {"search": {"strategy": "one_shot"} | rare, "retrain": rare})
    common = prepare(place)
    if stage == "retrain":
        finish(start(place, "search", **common, checkpoint=place / "search.pt", out=place / "search"))
        finish(start(place, "derive", search=place / "search", out=place / "derive"))
        common["genotype"] = place / "derive/genotype.json"
    finish(start(place, stage, **common, checkpoint=place / "whole.pt", out=place / "whole"))
    process = start(place, stage, **common, checkpoint=place / "asked.pt", out=place / "asked")
    for line in process.stderr:
        if line.startswith(f"{stage}: "):
            break
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=60)
    seconds = time.monotonic() - asked
    print(f"{stage}: {seconds:.2f} s from SIGTERM to exit")
    assert process.returncode == pausing.PAUSED, errors
    assert seconds < 10
    [words] = [line for line in errors.splitlines() if line.startswith("stopped: asked at step ")]
    assert words.endswith("Run the same command again to carry on.")
    assert (place / "asked.pt").exists() and not (place / "asked").exists()
    finish(start(place, stage, **common, checkpoint=place / "asked.pt", out=place / "asked"))
    assert files(place / "asked") == files(place / "whole")
    assert '"is_resumed": true' in (place / f"receipts/{stage}.json").read_text()


def spawned(process: subprocess.Popen) -> list[int]:
    """The processes that one of Python's has started for work of its own, and theirs."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found += [child.pid] * any("spawn_main" in word for word in child.cmdline())
    return found


@pytest.mark.slow
def test_a_search_whose_candidates_train_in_other_processes_is_asked_to_end_and_ends(place, monkeypatch):
    pytest.importorskip("distributed")
    (place / "blocked/sitecustomize.py").unlink()  # distributed needs psutil
    monkeypatch.setenv("NASIR_SCHEDULER", "local:2")
    monkeypatch.setenv("NASIR_SEND", "later")
    long = {"candidates": 4, "first": 2, "steps": 100_000, "more_steps": 0, "stem_steps": 2, "teacher": "", "cache": 4}
    resolve(place, {"search": {"strategy": "rl"}, "strategy": {"rl": long | {"window": [0, 1.0e9]}}})
    common = prepare(place)
    process = start(place, "search", **common, checkpoint=place / "asked.pt", out=place / "asked")
    deadline = time.monotonic() + 120
    while len(spawned(process)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(3)  # they are at work
    workers = spawned(process)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=60)
    print(f"search with two workers: {time.monotonic() - asked:.2f} s from SIGTERM to exit")
    assert process.returncode == pausing.PAUSED, errors
    assert time.monotonic() - asked < 10
    assert (place / "asked.pt").exists() and not (place / "asked").exists()
    assert len(workers) >= 2 and not [pid for pid in workers if psutil.pid_exists(pid)]
