"""Independent jobs: in this process, or on the workers of a dask scheduler that NASIR_SCHEDULER names, `local` one of its own.

A job is a function of this project, what all jobs of a pool work with (their bench), and a value of its own. It draws from seeds
that it is given alone, so that results do not depend on where and in which order jobs are done. A job whose worker is lost is
given to another one by the scheduler; one that raises an error ends the pool with that error. A request to end is met while jobs
are waited for: those that are done are kept, the others are cancelled.

The only import of distributed, which is only needed where a scheduler is named (docs/cluster.md).
"""

import hashlib
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nasir import stopping

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER = "NASIR_SCHEDULER"

LOCAL = re.compile(r"local(?::([1-9]\d{0,2}))?")
"""In place of an address: processes of this machine, as many as its cores hold with torch's threads, or the number given."""

ADDRESS = re.compile(r"(?:(?:tcp|tls|wss?)://)?([^/:\[\]\s]+|\[[0-9a-f:.]+\]):([1-9]\d{0,4})/?", re.IGNORECASE)
"""A scheduler's: its host, its port and, in front, how to talk to it."""

INSIDE = "inproc://"
"""Begins the address of a scheduler that runs in this very process."""

PATIENCE = 20
"""Seconds in which a scheduler has to answer."""

LOOK = 0.5
"""Seconds between two looks whether who waits for jobs was asked to end."""

PACKAGES = ("nasir", "stages")

Work = Callable[[Any, Any], Any]
"""Does a job: takes the bench and the job's own value."""


def address() -> str | None:
    """The scheduler's, such as tcp://10.0.0.1:8786, or one that `LOCAL` matches; None where none is named."""
    return os.environ.get(SCHEDULER) or None


class Pool:
    """Who does jobs: this process, one after the other.

    Args:
        bench: what all jobs work with.
    """

    def __init__(self, bench: Any) -> None:
        self._bench = bench

    def each(
        self, work: Work, jobs: Mapping[int, Any], done: dict[int, Any], keep: Callable[[], None]
    ) -> Iterator[tuple[int, Any]]:
        """A round of jobs: their results in the order of `jobs`, each as soon as all before it are there.

        Args:
            work: does a job.
            jobs: by number.
            done: results by number, also those of an earlier call, whose jobs are not done again; every result is put there.
            keep: called when there is a result before its turn, so that `done` can be kept against a kill.
        """
        arrivals = self._arrivals(work, {number: job for number, job in jobs.items() if number not in done})
        try:
            for number in jobs:
                while number not in done:
                    place, done[place] = next(arrivals)
                    if place != number:
                        keep()
                yield number, done[number]
        finally:
            arrivals.close()

    def _arrivals(self, work: Work, jobs: Mapping[int, Any]) -> Any:
        """Results as they come, with their numbers; a generator."""
        for number, job in jobs.items():
            yield number, work(self._bench, job)


class Far(Pool):
    """Who does jobs: the workers of a scheduler.

    Args:
        client: joined to it.
        make: makes the bench out of `given`, once in each worker.
        given: is sent to the workers.
    """

    def __init__(self, client: "Client", make: Callable[..., Any], given: tuple[Any, ...]) -> None:
        import torch

        self._client, self._executor = client, client.get_executor(pure=False)
        # a task and not scattered data, so that the scheduler can give it again when all who have it are lost
        self._made_of = client.submit(Parts, make, given, pure=False)
        self._threads = torch.get_num_threads()

    def submit(self, work: Work, job: Any) -> Future[Any]:
        """Hand a job in; `wait_for` gives its result."""
        future: Future[Any] = self._executor.submit(
            _do, self._made_of, work, job, self._threads, _code(_packages(work))
        )
        return future

    def slots(self) -> int:
        """Jobs that the present workers do at a time; one at least."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return max(1, len(workers))

    def _arrivals(self, work: Work, jobs: Mapping[int, Any]) -> Any:
        waiting = {self.submit(work, job): number for number, job in jobs.items()}
        try:
            while waiting:
                arrived, _ = wait(waiting, timeout=LOOK, return_when=FIRST_COMPLETED)
                for future in arrived:
                    yield waiting.pop(future), wait_for(future)
                stopping.end_if_asked()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def pool(here: Any, make: Callable[..., Any], *given: Any) -> Iterator[Pool]:
    """Who does jobs, as the environment says.

    Args:
        here: the bench of jobs in this process.
        make: a function of this project that makes the same bench of `given` in another process.
        given: what can be pickled.

    Raises:
        ValueError: if a scheduler is named and distributed is not installed.
        ConnectionError: if the scheduler does not answer.
    """
    if address() is None:
        yield Pool(here)
        return
    with far(make, *given) as found:
        yield found


@contextmanager
def far(make: Callable[..., Any], *given: Any) -> Iterator[Far]:
    """The workers of the scheduler that is named; see `pool`."""
    named = address() or ""
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            f"{SCHEDULER} needs dask's distributed, got {error}; install it (pip install distributed), or unset "
            f"{SCHEDULER} to work in this process."
        ) from error
    logging.getLogger("distributed.client").setLevel(
        logging.CRITICAL
    )  # it would show a lost scheduler's traceback, too
    with (
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GB"}),  # pictures are sent on purpose
        _started(named) as found,
    ):
        try:
            _resolve(found)
            client = Client(found, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"{SCHEDULER} must be local, local:NUMBER of processes, or name a dask scheduler that answers within "
                f"{PATIENCE} s, got {named} ({error}); start one (dask scheduler), or unset {SCHEDULER} to work in this process."
            ) from error
        with client:
            if not client.scheduler_info()["workers"]:
                print(f"{named} has no workers yet; jobs wait for the first one.", file=sys.stderr, flush=True)
            yield Far(client, make, given)


@contextmanager
def _started(named: str) -> Iterator[str]:
    """The address of a scheduler that is named; one with workers of its own is started for as long as it is needed."""
    match = LOCAL.fullmatch(named)
    if match is None:
        yield named
        return
    import torch
    from distributed import LocalCluster

    count = int(match[1] or max(1, (os.cpu_count() or 1) // torch.get_num_threads()))
    with LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as local:
        yield local.scheduler_address


def _resolve(named: str) -> None:
    """Look a scheduler's host up, which distributed does where nothing ends it: a name that is unknown could hang a client.

    Raises:
        ValueError: if it is no address.
        OSError: if its host is unknown.
    """
    if named.startswith(INSIDE):
        return
    match = ADDRESS.fullmatch(named)
    if match is None:
        raise ValueError("no address such as tcp://10.0.0.1:8786")
    socket.getaddrinfo(match[1].strip("[]"), int(match[2]))


def wait_for(future: Future[Any]) -> Any:
    """The result of a job that was handed in, or its error.

    Raises:
        ConnectionError: if the scheduler is gone, or one worker after the other was lost at this job.
    """
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise ConnectionError(
            f"a job must end on one of its workers, got {error.allowed_failures + 1} of them lost, the last at "
            f"{error.last_worker.address}; look at their logs (too little memory?), then call again to carry on."
        ) from error
    except CancelledError as error:
        raise ConnectionError(
            f"the scheduler of {SCHEDULER} must stay until all jobs are done, got none at {address()} any more; start it, then "
            "call again to carry on."
        ) from error


class Parts(NamedTuple):
    """What a worker makes the bench of."""

    make: Callable[..., Any]
    given: tuple[Any, ...]


_one_at_a_time = threading.Lock()
_bench: list[tuple[Parts, Any]] = []  # of the jobs that this worker did last


def _do(parts: Parts, work: Work, job: Any, threads: int, code: str) -> Any:
    """Do a job in a worker: one at a time, as torch's seed and threads are the process's."""
    import torch

    if _code(_packages(work)) != code:
        raise ValueError(
            f"a worker must run the code of the process that sends it jobs, got other files in {Path(__file__).parent} on "
            f"{os.uname().nodename}; check out the same commit there and start the worker again."
        )
    with _one_at_a_time:
        torch.set_num_threads(threads)  # on a CPU bits depend on it
        if not _bench or _bench[0][0] is not parts:
            _bench.clear()
            _bench.append((parts, parts.make(*parts.given)))
        return work(_bench[0][1], job)


def _packages(work: Work) -> tuple[str, ...]:
    """The packages of this project that a job's code is of."""
    top = work.__module__.partition(".")[0]
    return tuple(name for name in PACKAGES if name in ("nasir", top))


@lru_cache
def _code(packages: tuple[str, ...]) -> str:
    """SHA-256 of packages' files."""
    total, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        total.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
