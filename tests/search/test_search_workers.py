"""Searches whose candidates a scheduler's workers train: the results of this process, also where a worker is killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import torch
from torch import nn

from nasir import cluster
from nasir.search import random
from nasir.search.contract import Found
from nasir.spaces.cells.genotype import Genotype
from nasir.training.parallel import Team
from tests.search import test_one_shot, test_random, test_rl
from tests.search.test_random import RANDOM, STEP, by_level, problem

ROUNDS = test_rl.ROUNDS | {"cache": 4, "teacher": "dncnn", "teacher_steps": 1, "candidates": 7, "stop": "below_average"}


def assert_same(found: Found, expected: Found) -> None:
    assert found.candidates == expected.candidates and found.history == expected.history
    assert (found.genotype, found.runner_up, found.step) == (expected.genotype, expected.runner_up, expected.step)
    for name, tensors in expected.tensors.items():
        assert all(torch.equal(found.tensors[name][key], tensor) for key, tensor in tensors.items())


@pytest.fixture
def _threads(monkeypatch):
    """A scheduler with two workers, which are threads of this process, is named."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0
    ) as local:
        monkeypatch.setenv(cluster.SCHEDULER, local.scheduler_address)
        yield


def test_workers_find_what_this_process_finds(monkeypatch, request):
    finals = test_one_shot.change(finalists=5, final_rounds=2)
    expected = test_random.run(by_level), test_rl.run(**ROUNDS), test_one_shot.run(finals)
    request.getfixturevalue("_threads")
    assert_same(test_random.run(by_level), expected[0])
    assert_same(test_rl.run(**ROUNDS), expected[1])
    assert_same(test_one_shot.run(finals), expected[2])


def test_processes_that_share_batches_are_refused_beside_workers(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"search\.devices must be 1 with NASIR_SCHEDULER, .*, got 2; unset one"):
        test_random.run(team=Team(rank=0, size=2, device=torch.device("cpu")))


def on_record(genotype: Genotype) -> nn.Module:
    """`by_level`, on the record: a file for each time that a worker begins, which then waits until the file `go` is there."""
    folder = Path(os.environ["LITTLE_RECORD"])
    (folder / f"{os.getpid()}-{uuid4()}").touch()
    wait_for(lambda: (folder / "go").exists())
    return by_level(genotype)


def wait_for(is_so: Callable[[], bool]) -> None:
    """Until it is so, a minute at most."""
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.05)
    raise TimeoutError


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> Iterator[Any]:
    """Workers that are processes, none yet."""
    from distributed import LocalCluster

    os.environ["LITTLE_RECORD"] = str(tmp_path_factory.mktemp("record"))
    with LocalCluster(
        n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0", memory_limit=0
    ) as local:
        yield local
    del os.environ["LITTLE_RECORD"]


@pytest.mark.slow
def test_one_two_of_which_one_is_killed_and_three_workers_find_the_same(processes, monkeypatch):
    given = problem(on_record, of_strategy=replace(RANDOM, candidates=6))
    record, killed = Path(os.environ["LITTLE_RECORD"]), list[int]()
    (record / "go").touch()
    random_here, rl_here = random.search(given, 18.0 * STEP), test_rl.run(**test_rl.ROUNDS)

    def begun() -> list[int]:
        return [int(path.name.partition("-")[0]) for path in record.glob("*-*")]

    def kill() -> None:
        """One of two, while both wait for `go`; then `go` comes."""
        wait_for(lambda: len(begun()) == 2)
        killed.append(begun()[0])
        os.kill(killed[0], signal.SIGKILL)
        (record / "go").touch()

    monkeypatch.setenv(cluster.SCHEDULER, processes.scheduler_address)
    for count in (1, 2, 3):
        processes.scale(count)
        processes.wait_for_workers(count)
        for path in record.glob("*" if count == 2 else "*-*"):
            path.unlink()
        killer = Thread(target=kill)
        if count == 2:
            killer.start()
        assert_same(random.search(given, 18.0 * STEP), random_here)
        assert os.getpid() not in begun()
        if count == 2:
            killer.join()
            assert len(begun()) > 6 and begun().count(killed[0]) == 1  # what the killed one was at has been begun again
        else:
            assert len(begun()) == 6
    assert_same(test_rl.run(**test_rl.ROUNDS), rl_here)
