"""The study of search strategies: what is missing is run, then the page is written from what is there.

Every job's result is a small file, which may be committed: the study goes on where it was, after a kill or on another machine. A
search that was killed goes on from its checkpoint.
A result that was made with another plan is made again.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nasir import cluster
from nasir.reporting.searches import page as pages
from stages.around import orphans
from stages.searches import plan as plans
from stages.searches import sending
from stages.searches.plan import Job, Plan

NICE = 19
"""Of the jobs, which leave the machine to whatever else it does."""

LOOK = 30
"""Seconds after which it is looked whether there are more workers."""


def run(
    plan: Path,
    profiles: Path,
    shipped: Path,
    known: Path,
    work: Path,
    results: Path,
    page: Path,
    workers: int,
    hours: float,
) -> None:
    """Run the study.

    Args:
        plan: a file of `study/`.
        profiles: folder of base.yaml and of the profiles.
        shipped, known: as the step `data` of the tables takes them.
        work: folder for the data set.
        results: folder of the results.
        page: Markdown file to write.
        workers: jobs at a time, each in one thread; a scheduler's workers (`nasir.cluster`) do one job each.
        hours: no job is begun after that; 0 = no limit.
    """
    chosen = plans.read(plan, profiles)
    results.mkdir(parents=True, exist_ok=True)
    data = work / chosen.values["dataset"]
    jobs = list(chosen.jobs())
    missing = [job for job in jobs if plans.result(results, chosen, job) is None]
    if missing:
        _bring(chosen, shipped, known, work, data)
        _work_off(chosen, missing, data, results, workers, hours)
    found = plans.results_of(results, chosen)
    pages.write(page, chosen.values | {"name": plan.stem}, [asdict(job) for job in jobs], found)
    print(f"{len(found)} of {len(jobs)} jobs of the study are done; the page: {page}")


def _bring(chosen: Plan, shipped: Path, known: Path, work: Path, data: Path) -> None:
    """Make the pictures and the split, unless they are there."""
    images = work / f"{chosen.values['dataset']}-images"
    stage = import_module("stages.tables.data")
    stage.bring(settings=chosen.settings(None), shipped=shipped, known=known, images=images, out=data)


def _work_off(chosen: Plan, missing: Sequence[Job], data: Path, results: Path, workers: int, hours: float) -> None:
    """Run jobs, each in a fresh process, so that none has another's memory."""
    start, waiting = time.monotonic(), list(missing)
    running: dict[Future[Any], Job] = {}
    doors: AbstractContextManager[_Near | sending.Far]
    doors = sending.far(chosen, data, results) if cluster.address() else _near(chosen, data, results, workers)
    with doors as door:
        while waiting or running:
            is_late = hours > 0 and time.monotonic() - start > hours * 3600
            slots = door.slots()
            while waiting and len(running) < slots and not is_late:
                job = next((job for job in waiting if _is_ready(job, waiting, running.values())), None)
                if job is None:
                    break
                waiting.remove(job)
                running[door.submit(job)] = job
            if not running:
                return
            done, _ = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                door.finish(job, future)
                print(f"{job.name}: done, {len(waiting) + len(running)} to go", file=sys.stderr, flush=True)


class _Near:
    """Processes of this machine, which write results themselves."""

    def __init__(self, pool: ProcessPoolExecutor, chosen: Plan, data: Path, results: Path, workers: int) -> None:
        self._pool, self._chosen, self._data, self._results, self._workers = pool, chosen, data, results, workers

    def slots(self) -> int:
        """Jobs at a time."""
        return self._workers

    def submit(self, job: Job) -> Future[None]:
        """Begin a job."""
        checkpoint = self._data.parent / "checkpoints" / f"{self._results.name}-{job.name}.pt"
        return self._pool.submit(_work, self._chosen, job, self._data, self._results, checkpoint)

    def finish(self, job: Job, future: Future[None]) -> None:
        """Raise a job's error where it has one."""
        try:
            future.result()
        except BrokenProcessPool as error:
            raise ConnectionError(
                f"{job.name} must end by itself, got a process of the study that was ended from outside (too little memory for "
                f"--workers {self._workers}?); call again to carry on, with fewer workers if so."
            ) from error


@contextmanager
def _near(chosen: Plan, data: Path, results: Path, workers: int) -> Iterator[_Near]:
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),), max_tasks_per_child=1
    ) as pool:
        yield _Near(pool, chosen, data, results, workers)


def _begin(owner: int) -> None:
    """A worker works beside others, and no longer than the process that started it."""
    os.nice(NICE)
    orphans.watch(owner)


def _is_ready(job: Job, waiting: Sequence[Job], running: Any) -> bool:
    """Whether the search that a training needs is done."""
    return job.follows is None or all(job.follows != other.name for other in (*waiting, *running))


def _work(chosen: Plan, job: Job, data: Path, results: Path, checkpoint: Path) -> None:
    import_module("stages.searches.jobs").work(chosen, job, data, results, checkpoint)
