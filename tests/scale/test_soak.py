"""The pipeline many times in a row, in one process and under DVC: nothing grows, nothing is left, no database stays locked."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import checkout
import pytest
from checkout import TINY

from nasir.files import read_json

ROUNDS = int(os.environ.get("NASIR_ROUNDS", "20"))

WARM = 7
"""Rounds after which a process has all that it loads and keeps."""

MOST_MIB = 16
"""That later rounds may add in all."""

MOST_WARMING_MIB = 48
"""That the last of fewer rounds may add: of three, which had 890, 988 and 1,013 MiB, the last added 25. Less than 24 MiB
leaked in each round are not seen before there are more rounds than WARM."""

MOST_SHARE = 1.2
"""Of the first round's peak memory, which no later one's may pass: what a fresh process needs does not depend on the rounds."""


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """A checkout with a small profile at `tmp_path / "place"`, with a folder for temporary files of its own."""
    found = checkout.make(tmp_path / "place", TINY)
    (tmp_path / "temporary").mkdir()
    return found | {"TMPDIR": str(tmp_path / "temporary"), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says what a process has")
def test_all_stages_again_and_again_in_one_process_take_no_more_memory_and_open_no_more_files(tmp_path, environment):
    """NASIR_ROUNDS rounds (20)."""
    script = Path(__file__).with_name("soaking.py")
    done = subprocess.run(
        [sys.executable, script, str(ROUNDS)], cwd=tmp_path / "place", capture_output=True, text=True, check=False,
        env=environment | {"PYTHONPATH": str(tmp_path / "place")},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"memory_mib"')]
    print(json.dumps(rounds))
    assert len(rounds) == ROUNDS
    assert grown(rounds) == []


def grown(rounds: list[dict[str, int]]) -> list[str]:
    """What later rounds in one process have more of than they may: files and threads as of the first warm round, or the first."""
    assert len(rounds) >= 2, "growth needs two rounds or more (NASIR_ROUNDS)"
    is_warm = len(rounds) > WARM
    before, most = (rounds[WARM - 1], MOST_MIB) if is_warm else (rounds[-2], MOST_WARMING_MIB)
    first, last = rounds[WARM - 1 if is_warm else 0], rounds[-1]
    found = ["memory_mib"] if last["memory_mib"] - before["memory_mib"] > most else []
    return found + [what for what in ("open_files", "threads", "temporary_files") if last[what] > first[what]]


def test_growth_is_seen_in_three_rounds_and_in_twenty():
    met = {"open_files": 18, "threads": 2, "temporary_files": 0}
    quick = [met | {"memory_mib": memory} for memory in (890, 988, 1013)]  # as they were met
    long = [*quick, *[met | {"memory_mib": 1020}] * 17]

    assert grown(quick) == grown(long) == []
    for rounds, leak in ((quick, 25), (long, 2)):  # 25 + 25 > 48; of 20 rounds the last 13: 13 * 2 > 16
        for what, much in (("memory_mib", leak), ("open_files", 1), ("threads", 1), ("temporary_files", 1)):
            leaking = [one | {what: one[what] + much * number} for number, one in enumerate(rounds)]
            assert grown(leaking) == [what]
    with pytest.raises(AssertionError, match="growth needs two rounds or more"):
        grown(quick[:1])


@pytest.mark.slow
def test_the_pipeline_again_and_again_leaves_no_process_no_file_and_no_lock(tmp_path, environment):
    """NASIR_ROUNDS rounds (20) of `dvc repro --force`, each sent to MLflow."""
    place, database = tmp_path / "place", tmp_path / "mlflow.db"
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    rounds = []
    for _ in range(ROUNDS):
        start = time.monotonic()
        checkout.call(place, environment, "dvc", "repro", "--force")
        checkout.call(place, environment, sys.executable, "-m", "stages", "sync")
        rounds.append(
            {
                "seconds": round(time.monotonic() - start, 1),
                "peak_mib": max(peak(path) for path in (place / "runs" / "receipts").glob("*.json")),
                "files": count(place / "runs"),
                "temporary_files": count(tmp_path / "temporary"),
                "processes": len(alive(place)),
                "runs_in_database": runs_of(database),
            }
        )
    print(json.dumps(rounds))

    assert ROUNDS >= 2, "growth needs two rounds or more (NASIR_ROUNDS)"
    first, last = rounds[0], rounds[-1]
    assert all(one["peak_mib"] <= MOST_SHARE * first["peak_mib"] for one in rounds)
    assert (last["files"], last["temporary_files"]) == (first["files"], first["temporary_files"])
    assert [one["processes"] for one in rounds] == [0] * ROUNDS
    assert [one["runs_in_database"] for one in rounds] == [first["runs_in_database"] * (n + 1) for n in range(ROUNDS)]


def peak(receipt: Path) -> float:
    """The most memory that a stage has had, MiB."""
    return float(read_json(receipt)["peak_memory_mib"])


def count(folder: Path) -> int:
    """Files below a folder."""
    return sum(len(names) for _, _, names in os.walk(folder))


def alive(place: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(entry / "cwd")) == place:
                found.append(entry.name)
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return found


def runs_of(database: Path) -> int:
    """Runs in MLflow's database, which is asked to be ours alone: at once, so that any lock on it is an error."""
    with sqlite3.connect(database, timeout=0) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        [[number]] = connection.execute("SELECT count(*) FROM runs")
    connection.close()
    return int(number)
