"""The study's jobs on the workers of a scheduler (`nasir.cluster`).

All that a job needs is sent along: to each worker once the plan and the pictures, with each job the results that it needs.
Workers need the project's code and neither the data set nor a folder in common; results come back and are written here. Every
job runs in a process of its own there, too, so that none has another's memory.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir import cluster
from nasir.files import read_json, write_bytes, write_json
from stages.around import orphans
from stages.searches.plan import Job, Plan

ROOT = Path(__file__).parents[2]

ERROR = "error.txt"

ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (ValueError, FloatingPointError, ConnectionError)
}
"""Of a job: those that say what to do."""


@dataclass(frozen=True)
class Bench:
    """In a worker: what its jobs have in common."""

    plan: Plan
    data: Path  # a folder that goes with it


class Far:
    """The workers of a scheduler.

    Args:
        workers: its.
        plan: of the study.
        results: folder to write into.
    """

    def __init__(self, workers: cluster.Far, plan: Plan, results: Path) -> None:
        self._workers, self._plan, self._results = workers, plan, results

    def slots(self) -> int:
        """Jobs at a time."""
        return self._workers.slots()

    def submit(self, job: Job) -> Future[Any]:
        """Send a job."""
        names = [other.name for other in self._plan.references()] if job.is_training else []
        if job.follows is not None:
            names.append(job.follows)
        paths = [self._results / f"{name}.json" for name in names]
        return self._workers.submit(work, (job, {path.stem: read_json(path) for path in paths if path.is_file()}))

    def finish(self, job: Job, future: Future[Any]) -> None:
        """Write a job's result, or raise its error."""
        write_json(self._results / f"{job.name}.json", cluster.wait_for(future))


@contextmanager
def far(plan: Plan, data: Path, results: Path) -> Iterator[Far]:
    """Join the workers, which are sent the plan and the data set."""
    plan.settings(None)  # resolved here, as all others of a plan that was read: a worker has no profiles
    paths = [path for part in ("pictures", "split") for path in sorted((data / part).rglob("*")) if path.is_file()]
    files = {str(path.relative_to(data)): path.read_bytes() for path in paths}
    with cluster.far(unpack, plan, files) as workers:
        yield Far(workers, plan, results)


def unpack(plan: Plan, files: dict[str, bytes]) -> Bench:
    """In a worker: the data set as a folder."""
    bench = Bench(plan, Path(tempfile.mkdtemp(prefix="nasir-")))
    weakref.finalize(bench, shutil.rmtree, bench.data, ignore_errors=True)
    for name, content in files.items():
        write_bytes(bench.data / name, content)
    return bench


def work(bench: Bench, given: tuple[Job, dict[str, Any]]) -> dict[str, Any]:
    """In a worker: do a job in a new process, which ends with the worker; gives what it wrote."""
    job, needed = given
    with tempfile.TemporaryDirectory(prefix="nasir-") as folder:
        results = Path(folder)
        for name, result in needed.items():
            write_json(results / f"{name}.json", result)
        given_on = pickle.dumps((bench.plan, job, bench.data, results, os.getpid()))
        environment = {name: value for name, value in os.environ.items() if name != cluster.SCHEDULER}
        ended = subprocess.run(
            [sys.executable, "-m", __name__], input=given_on, cwd=ROOT, env=environment | {"OMP_NUM_THREADS": "1"}
        )
        if (results / ERROR).is_file():
            kind, message = json.loads((results / ERROR).read_text())
            raise ERRORS.get(kind, RuntimeError)(message)
        if ended.returncode:
            raise ConnectionError(
                f"{job.name} must end by itself, got status {ended.returncode} of its process on {os.uname().nodename}; look at "
                "the log of the worker (too little memory?), then call again to carry on."
            )
        found: dict[str, Any] = read_json(results / f"{job.name}.json")
        return found


def main() -> None:
    """The process of a job, which is told on standard input what to do."""
    from stages.searches import jobs

    plan, job, data, results, owner = pickle.load(sys.stdin.buffer)
    orphans.watch(owner)
    try:
        jobs.work(plan, job, data, results)
    except Exception as error:
        (results / ERROR).write_text(json.dumps([type(error).__name__, str(error)]))
        raise


if __name__ == "__main__":
    main()
