"""A stage as several processes: it just runs, carries on what one process began, and ends whole when one is killed."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from picture_folder import list_pictures

from nasir import config
from nasir.data.images import save_png
from nasir.files import read_csv, write_text
from nasir.task import TASKS
from nasir.training.model import read_tensors
from stages import retrain, split

ROOT = Path(__file__).parents[2]
LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
HIDDEN = ("mlflow", "dvc", "great_expectations", "pandas")  # as if not installed: they would cost seconds
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "space": "irnas"}
PARAMS |= {"seed": 0, "profile": "tiny"}
RETRAIN = config.RetrainConfig(
    width=2,
    stem_channels=3,
    aspp_channels=2,
    aspp_rates=(2,),
    steps=6,
    batch=4,
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


def killed_at_3(step, news):
    if step == 3:
        raise Killed


@pytest.fixture
def place(tmp_path) -> Path:
    """Images, a split, params and a profile; and a `sitecustomize` that hides the pipeline's packages."""
    rng = np.random.default_rng(0)
    for i in range(5):
        save_png(tmp_path / f"images/train/{i}.png", rng.integers(0, 256, (20, 24), dtype=np.uint8))
    list_pictures(tmp_path / "images", [f"train/{i}" for i in range(5)])
    sizes = config.SplitConfig(w=0.49, a=0.49, v=0.02, exclude_leaks=True)
    split.run(images=tmp_path / "images", out=tmp_path / "split", seed=0, config=sizes, log=ignore)
    write_text(tmp_path / "params.yaml", yaml.safe_dump(PARAMS))
    sections = {"retrain": json.loads(json.dumps(dataclasses.asdict(RETRAIN)))}
    sections["tasks"] = {task: {} for task in TASKS}
    write_text(tmp_path / "tiny.yaml", yaml.safe_dump(sections))
    write_text(tmp_path / "hidden/sitecustomize.py", f"import sys\nsys.modules |= dict.fromkeys({HIDDEN})\n")
    return tmp_path


def start(place: Path, *changes: str, launcher: tuple[str, ...] = (), network: str = "dncnn") -> subprocess.Popen:
    """`python -m stages retrain`, with its folders in `place`."""
    options = {"images": "images", "split": "split", "checkpoint": "c.pt", "out": "out", "profile": "tiny.yaml"}
    options |= {"params": "params.yaml", "receipt": "receipt.json"}
    words = [word for name, path in options.items() for word in (f"--{name}", str(place / path))]
    words += [word for change in changes for word in ("--set", f"retrain.{change}")]
    words += ["--network", network]
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    environment |= {"PYTHONPATH": str(place / "hidden"), "NASIR_TRACKING": str(place / "tracking")}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "stages", "retrain", *words],
        cwd=ROOT,
        env=environment | {"GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return errors


def run_here(place: Path, name: str, log=ignore, network: str = "dncnn") -> None:
    """The stage with one process, this one."""
    retrain.run(
        images=place / "images",
        split=place / "split",
        genotype=None,
        network=network,
        checkpoint=place / "c.pt",
        out=place / name,
        task="denoise",
        sigma=50.0,
        seed=0,
        config=RETRAIN,
        log=log,
    )


def test_a_run_that_one_process_began_is_ended_by_two(place):
    run_here(place, "whole")
    with pytest.raises(Killed):
        run_here(place, "out", log=killed_at_3)
    assert torch.load(place / "c.pt")["state"]["step"] == 2

    said = finish(start(place, "devices=2"))

    assert "carried on with retrain.devices: 1 -> 2" in said
    assert said.count("carried on") == 1  # by the first process alone
    assert not (place / "c.pt").exists()
    assert json.loads((place / "receipt.json").read_text())["is_resumed"]
    [journal] = (place / "tracking").glob("*.jsonl")  # one process has news
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "metrics"] == [3, 4, 5, 6]
    assert events[-1]["status"] == "FINISHED"

    one, two = (read_csv(place / f"{name}/history.csv") for name in ("whole", "out"))
    assert [(row["step"], row["metric"]) for row in one] == [(row["step"], row["metric"]) for row in two]
    assert one[:2] == two[:2]  # what the first process did
    [last] = {row["value"] for row in two if (row["step"], row["metric"]) == ("3", "train_loss")}
    [expected] = {row["value"] for row in one if (row["step"], row["metric"]) == ("3", "train_loss")}
    assert last != expected
    assert float(last) == pytest.approx(float(expected), rel=1e-4)  # float32 and 17 layers after one step
    assert set(read_tensors(place / "out/model/last.safetensors")) == set(
        read_tensors(place / "whole/model/last.safetensors")
    )


@pytest.mark.slow
def test_torchrun_starts_the_processes(place):
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node", "2")
    said = finish(start(place, "devices=2", launcher=torchrun))
    assert len(list((place / "tracking").glob("*.jsonl"))) == 1
    assert said.count("retrain: 1/6") == 1
    finish(start(place, "devices=2"))  # by Fabric: the same bits
    again = read_csv(place / "out/history.csv")
    finish(start(place, "devices=2", launcher=torchrun))
    assert read_csv(place / "out/history.csv") == again


def await_second(place: Path, process: subprocess.Popen) -> int:
    """The process id of the second process, once both train."""
    deadline = time.monotonic() + 120
    while not (place / "c.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    [second] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(second)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["first", "second"])
def test_when_one_process_is_killed_the_other_ends_and_the_checkpoint_stays(place, killed):
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        pytest.skip("needs Linux, to find a process's children")
    process = start(place, "devices=2", "steps=100000", "val_period=100000")
    second = await_second(place, process)

    os.kill(process.pid if killed == "first" else second, signal.SIGKILL)

    _, errors = process.communicate(timeout=30)  # returns when both have let go of the pipe, so when both have ended
    assert process.returncode != 0
    if killed == "second":
        assert "error: another process of this run has ended" in errors
        assert "Traceback" not in errors
        [journal] = (place / "tracking").glob("*.jsonl")
        assert '"status": "FAILED"' in journal.read_text()
    assert not (place / "out").exists()
    assert (place / "c.pt").exists()


@pytest.mark.slow
def test_what_all_processes_refuse_is_told_without_traceback(place):
    with pytest.raises(Killed):
        run_here(place, "out", log=killed_at_3)
    process = start(place, "devices=2", "steps=7")
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert (
        "expected the present one; retrain.steps: 6 -> 7. Remove it" in errors
    )  # the processes are not among the reasons
    assert "Traceback" not in errors
    assert (place / "c.pt").exists()
