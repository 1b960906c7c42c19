"""A pipeline that is killed again and again, at random moments and at those of its writing, until it is done.

`dvc repro` runs in a process group of its own, which SIGKILL ends as a whole: DVC, the stage and what it started. Half of the
kills come after a random time, half at a fault point: right before, between or behind the calls that make a file whole, counted
from a random number on, in whichever stage gets there. Nothing is cleaned up between two calls but what `make` does for DVC:
dvc.lock and its table of locks, which it writes in place, are removed where a kill left half of them (stages/aside/mend.py).
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stages.aside import mend

POINTS = ("fsync", "replace", "replaced")
"""Of a file's writing: its bytes are there but not on disk; it is on disk beside the old one; it has replaced that."""

FAULTS = '''"""Kills the process group at a fault point of a stage, POINT:NUMBER of NASIR_FAULT."""
import os, signal, sys
point, _, number = os.environ.get("NASIR_FAULT", "").partition(":")
if point and "stages" in " ".join(sys.orig_argv[:4]):
    left = [int(number)]
    def counted(call, is_after):
        def wrapped(*given, **named):
            left[0] -= 1
            if left[0] == 0 and not is_after:
                os.killpg(0, signal.SIGKILL)
            result = call(*given, **named)
            if left[0] == 0:
                os.killpg(0, signal.SIGKILL)
            return result
        return wrapped
    name = "fsync" if point == "fsync" else "replace"
    setattr(os, name, counted(getattr(os, name), point == "replaced"))
'''

KEPT = ("pair", "split", "synthesize", "audit", "search", "derive", "retrain", "evaluate", "checks")
"""Folders of `runs` whose files must be the same; receipts and timing.json hold seconds."""

SECONDS = ("timing.json",)


@dataclass
class Report:
    """What a run of kills came to."""

    kills: int = 0
    rounds: int = 0  # pipelines that ended
    stages: Counter[str] = field(default_factory=Counter)  # what was running when it was killed
    kinds: Counter[str] = field(default_factory=Counter)  # time, or the fault point
    torn: Counter[str] = field(default_factory=Counter)  # files of DVC's that a kill left half written
    different: list[str] = field(default_factory=list)  # files that were not those of the run left alone


def digests(place: Path) -> dict[str, str]:
    """SHA-256 of every result of a run."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in KEPT
        for path in sorted((place / "runs" / folder).rglob("*"))
        if path.is_file() and path.name not in SECONDS
    }


def torture(
    place: Path, environment: Mapping[str, str], expected: Mapping[str, str], kills: int, seconds: float, seed: int
) -> Report:
    """Kill the pipeline of a checkout until it was killed so often, and let it end; every time it ends, compare and begin anew.

    Args:
        place: the checkout, with nothing run.
        environment: of its commands.
        expected: `digests` of a run that was left alone.
        kills: how many.
        seconds: that such a run takes; a kill by time comes within a third of it.
        seed: of the moments.

    Raises:
        AssertionError: if a call ends by itself with an error; it is shown.
    """
    chance, report = random.Random(seed), Report()
    faults = place.parent / "faults"
    faults.mkdir()
    (faults / "sitecustomize.py").write_text(FAULTS)
    fresh = (place / "dvc.lock").read_bytes() if (place / "dvc.lock").is_file() else None
    is_done = False
    while report.kills < kills or not is_done:
        if is_done:
            _begin_anew(place, fresh)
        is_last = report.kills >= kills
        by_time = chance.random() < 0.5
        kind = "time" if by_time else chance.choice(POINTS)
        after = chance.uniform(0.5, seconds / 3)
        given = dict(environment) | {"PYTHONPATH": str(faults)}
        if not by_time and not is_last:
            given["NASIR_FAULT"] = f"{kind}:{chance.randint(1, 12)}"
        is_done = _call(place, given, after if by_time and not is_last else None, kind, report)
        if is_done:
            report.rounds += 1
            found = digests(place)
            report.different += [name for name in {*expected, *found} if expected.get(name) != found.get(name)]
    return report


def _call(place: Path, environment: Mapping[str, str], after: float | None, kind: str, report: Report) -> bool:
    """Call `dvc repro` and kill it after some seconds; whether it ended first, or was not to be killed."""
    said = place.parent / "said"
    report.torn.update(line.split(":")[0].rpartition("/")[2] for line in mend.remove(place))
    with said.open("wb") as file:
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=place, env=environment, stdout=file, stderr=file, start_new_session=True
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = said.read_text(errors="replace")
    if process.returncode == 0:
        return True
    assert process.returncode == -signal.SIGKILL, f"after {report.kills} kills: {text}"
    running = [line.split("'")[1] for line in text.splitlines() if line.startswith("Running stage '")]
    report.kills += 1
    report.kinds[kind] += 1
    report.stages[running[-1] if running else "start"] += 1
    return False


def _begin_anew(place: Path, lock: bytes | None) -> None:
    for folder in ("runs", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(place / folder, ignore_errors=True)
    (place / "dvc.lock").unlink(missing_ok=True)
    if lock is not None:
        (place / "dvc.lock").write_bytes(lock)


def run_alone(place: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], float]:
    """A run that is left alone: its digests and its seconds."""
    start = time.monotonic()
    done = subprocess.run(["dvc", "repro"], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return digests(place), time.monotonic() - start
