"""A stage as several processes: it just runs, carries on what one process began, and ends whole when one is killed."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import little_run
import pytest
import yaml
from little_run import SIZES, Killed, ignore, killed_at

from nasir.config.reading import flat
from nasir.config.training import OFF
from nasir.files import read_csv, write_text
from nasir.inference.model import read_tensors
from nasir.settings import read
from nasir.spaces import irnas
from nasir.training import checkpoints
from stages import retrain
from stages.around import entries

ROOT = Path(__file__).parents[2]
LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
HIDDEN = ("mlflow", "dvc", "great_expectations", "pandas")  # as if not installed: they would cost seconds
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "space": "irnas"}
PARAMS |= {"seed": 0, "profile": "tiny"}
RETRAIN = dataclasses.replace(little_run.RETRAIN, batch=4)
EVALUATE = {"protocols": ["unread"], "batch": 4, "tv_factors": [1.0], "nlm_factors": [1.0], "device": "cpu"}
CELL = {"method": "dncnn", "draw": 0, "is_baseline": True, "protocols": ["whole"]}


@pytest.fixture
def place(tmp_path) -> Path:
    """Pictures, their split and settings; and a `sitecustomize` that hides the pipeline's packages."""
    little_run.write_pictures(tmp_path, tests=1)
    settings = {"params": PARAMS, "retrain": flat(RETRAIN), "network": flat(SIZES), "safety": flat(OFF)}
    settings["tone"] = flat(little_run.NO_TONE)
    write_text(tmp_path / "settings.yaml", yaml.safe_dump(settings))
    of_tables = settings | {"derive": {"modify": "none", "modify_seed": 0}, "evaluate": EVALUATE, "cell": CELL}
    write_text(tmp_path / "cell.yaml", yaml.safe_dump(of_tables))
    write_text(tmp_path / "hidden/sitecustomize.py", f"import sys\nsys.modules |= dict.fromkeys({HIDDEN})\n")
    return tmp_path


def start(place: Path, *changes: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    """`python -m stages retrain` of a baseline, with its folders in `place`."""
    words = ["--settings", str(place / "settings.yaml"), "--network", "dncnn"]
    return call(place, "retrain", *words, changes=changes, launcher=launcher)


def call(place: Path, stage: str, *words: str, changes: tuple[str, ...], launcher: tuple[str, ...] = ()):
    """A stage that trains; `changes` are of its retraining."""
    paths = {"pictures": "pictures", "split": "split", "checkpoint": "c.pt", "out": "out", "receipt": "receipt.json"}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(place / path))]
    options += [word for change in changes for word in ("--set", f"retrain.{change}")]
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    environment |= {"PYTHONPATH": str(place / "hidden"), "NASIR_TRACKING": str(place / "tracking")}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "stages", stage, *words, *options],
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


def run_here(place: Path, name: str, log=ignore) -> None:
    """The stage with one process, this one."""
    retrain.run(
        pictures=place / "pictures",
        split=place / "split",
        genotype=None,
        network="dncnn",
        checkpoint=place / "c.pt",
        out=place / name,
        task="denoise",
        sigma=50.0,
        space=irnas.SPACE,
        of_network=SIZES,
        seed=0,
        config=RETRAIN,
        tone=little_run.NO_TONE,
        safety=OFF,
        code=entries.digest("retrain", read(place / "settings.yaml"), "dncnn"),
        log=log,
    )


def test_a_run_that_one_process_began_is_ended_by_two(place):
    run_here(place, "whole")
    with pytest.raises(Killed):
        run_here(place, "out", log=killed_at(3))
    assert checkpoints.look(place / "c.pt").step == 2

    said = finish(start(place, "devices=2"))

    assert "carried on with retrain.devices: 1 -> 2" in said
    assert said.count("carried on") == 1  # by the first process alone
    assert not (place / "c.pt").exists()
    assert json.loads((place / "receipt.json").read_text())["is_resumed"]
    [journal] = (place / "tracking").glob("*.jsonl")  # one process has news
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "metrics"] == [3, 4, 5, 6, 0]  # 0: the cost
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
        run_here(place, "out", log=killed_at(3))
    process = start(place, "devices=2", "steps=7")
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert (
        "expected the present one; retrain.steps: 6 -> 7. Remove it" in errors
    )  # the processes are not among the reasons
    assert "Traceback" not in errors
    assert (place / "c.pt").exists()


@pytest.mark.slow
def test_a_run_of_the_tables_is_trained_by_two_and_scored_by_the_first(place):
    words = ["--settings", str(place / "cell.yaml"), "--source", str(place / "unread.json")]
    finish(call(place, "train", *words, changes=("devices=2",)))

    [journal] = (place / "tracking").glob("*.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "metrics"] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        0,
    ]  # a score, the cost
    assert [(row["protocol"], row["name"]) for row in read_csv(place / "out/scores.csv")] == [("whole", "test/0")]
