"""Jobs in this process and on a scheduler's workers: the order, what is kept, what is refused."""

import operator
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from nasir import cluster, stopping


def double(bench: int, job: int) -> int:
    return bench + 2 * job


def where(bench: Any, job: int) -> tuple[int, int]:
    """Which bench a job has, and how many threads."""
    return id(bench), torch.get_num_threads()


def fail(bench: Any, job: int) -> None:
    raise FloatingPointError(f"the loss must be finite, got nan in {job}")


class Backwards(cluster.Pool):
    """All jobs at a time, the last one done first."""

    def _arrivals(self, work: cluster.Work, jobs: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
        for number in reversed(jobs):
            yield number, work(self._bench, jobs[number])


@pytest.fixture(scope="module")
def threads() -> Iterator[str]:
    """The address of a scheduler with two workers, which are threads of this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def _named(threads, monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, threads)


def test_without_a_scheduler_jobs_are_done_here_one_after_the_other_when_they_are_asked_for(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "")
    seen = []
    with cluster.pool(10, int) as pool:
        found = pool.each(lambda bench, job: seen.append(job) or bench + job, {1: 1, 2: 2}, {}, lambda: 1 / 0)
        assert next(found) == (1, 11) and seen == [1]
        assert list(found) == [(2, 12)] and seen == [1, 2]


def test_results_come_in_the_order_of_the_jobs_and_one_before_its_turn_is_kept():
    done, kept = dict[int, int](), []
    found = Backwards(0).each(double, {1: 1, 2: 2, 3: 3}, done, lambda: kept.append(sorted(done)))
    assert list(found) == [(1, 2), (2, 4), (3, 6)]
    assert kept == [[3], [2, 3]]  # the first one comes last, at its turn


def test_what_is_done_is_not_done_again():
    done = {1: 50, 3: 70}
    assert list(cluster.Pool(0).each(double, {1: 1, 2: 2, 3: 3}, done, lambda: None)) == [(1, 50), (2, 4), (3, 70)]


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    with (
        pytest.raises(
            ConnectionError, match=r"or name a dask scheduler that answers within 0\.2 s, got tcp://127\.0\.0\.1:9 \("
        ),
        cluster.pool(0, int),
    ):
        pass


def test_what_is_no_address_is_refused(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "carrier-pigeon://loft")
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    with pytest.raises(ConnectionError, match="got carrier-pigeon://loft"), cluster.pool(0, int):
        pass


def test_without_distributed_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ValueError, match=r"needs dask's distributed, got .*pip install distributed"),
        cluster.pool(0, int),
    ):
        pass


def test_workers_make_the_bench_once_and_have_the_threads_of_who_sends_the_jobs(_named):
    with cluster.pool(None, list, (1, 2)) as pool:
        found = dict(pool.each(where, dict.fromkeys(range(6)), {}, lambda: None))
        assert pool.slots() == 2
    assert list(found) == list(range(6))
    # both workers are this process, whose jobs are done one at a time
    assert len({bench for bench, _ in found.values()}) <= 2
    assert {count for _, count in found.values()} == {torch.get_num_threads()}


def test_workers_give_what_this_process_would(_named, capsys):
    with cluster.pool(None, int, "7") as pool:
        assert list(pool.each(double, {5: 1, 2: 2}, {}, lambda: None)) == [(5, 9), (2, 11)]
    assert capsys.readouterr().err == ""


def test_the_error_of_a_job_is_that_of_the_round(_named):
    with (
        pytest.raises(FloatingPointError, match="the loss must be finite, got nan in 3"),
        cluster.pool(None, int) as pool,
    ):
        list(pool.each(fail, {1: 3}, {}, lambda: None))


def test_a_request_to_end_is_met_while_jobs_are_done_elsewhere_and_keeps_those_that_are(monkeypatch):
    asked = threading.Event()
    monkeypatch.setattr(stopping, "_asked", asked)
    monkeypatch.setenv(cluster.SCHEDULER, "local:2")
    done, kept = dict[int, bool](), []
    waits = {1: 600, 2: 0}  # seconds that each job takes
    with pytest.raises(stopping.Stopped), cluster.pool(None, threading.Event) as pool:
        for number, _ in pool.each(threading.Event.wait, waits, done, lambda: (kept.append(sorted(done)), asked.set())):
            raise AssertionError(f"{number} cannot be there before the first")
    assert (done, kept) == ({2: False}, [[2]])


def test_a_worker_of_other_code_refuses():
    with pytest.raises(ValueError, match="a worker must run the code of the process that sends it jobs, got other"):
        cluster._do(cluster.Parts(int, ()), double, 1, 1, "another")


def test_jobs_of_the_stages_depend_on_their_code_too():
    assert cluster._packages(double) == ("nasir",)
    assert cluster._packages(cluster.Parts) == ("nasir",)  # type: ignore[arg-type]
    from stages.searches import sending

    assert cluster._packages(sending.work) == ("nasir", "stages")
    assert cluster._code(("nasir",)) != cluster._code(("nasir", "stages"))


def test_a_scheduler_that_goes_away_ends_the_round_with_one_error(monkeypatch):
    from distributed import LocalCluster

    local = LocalCluster(n_workers=0, processes=False, dashboard_address=":0")
    monkeypatch.setenv(cluster.SCHEDULER, local.scheduler_address)
    with (
        pytest.raises(ConnectionError, match="must stay until all jobs are done, got none at"),
        cluster.pool(None, int) as pool,
    ):
        threading.Timer(0.5, local.close).start()
        list(pool.each(double, {1: 1}, {}, lambda: None))


def test_local_starts_workers_of_its_own_and_one_that_is_killed_is_replaced(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "local:2")
    with cluster.pool(None, int, "7") as pool:
        assert pool.slots() == 2
        workers = pool._client.scheduler_info()["workers"]
        processes = {pool._client.submit(os.getpid, workers=[one], pure=False).result() for one in workers}
        assert len(processes) == 2 and os.getpid() not in processes
        os.kill(min(processes), signal.SIGKILL)
        assert list(pool.each(operator.add, dict.fromkeys(range(6), 1), {}, lambda: None)) == [(n, 8) for n in range(6)]


@pytest.mark.parametrize("named", ["local:0", "local:x", "local:", "10.0.0.1", "tcp://:8786", "http://10.0.0.1:8786"])
def test_what_is_neither_local_nor_an_address_is_refused_at_once(monkeypatch, named):
    monkeypatch.setenv(cluster.SCHEDULER, named)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    refusal = rf"must be local, local:NUMBER of processes, or .*, got {named} \(no address such as tcp://"
    with pytest.raises(ConnectionError, match=refusal), cluster.pool(0, int):
        pass


@pytest.mark.parametrize("named", ["tcp://loft.invalid:8786", "loft.invalid:8786"])
def test_a_host_that_nobody_knows_is_named(monkeypatch, named):
    def unknown(host: str, port: int) -> None:
        assert (host, port) == ("loft.invalid", 8786)
        raise socket.gaierror("Name or service not known")

    monkeypatch.setenv(cluster.SCHEDULER, named)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConnectionError, match=rf"got {named} \(Name or service not known\)"), cluster.pool(0, int):
        pass


@pytest.mark.parametrize("named", ["127.0.0.1:8786", "tcp://[::1]:8786", "TLS://127.0.0.1:8786/"])
def test_an_address_passes(named):
    cluster._resolve(named)
