"""Searches whose candidates a scheduler's workers train: the results of this process, also where a worker is killed."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
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
from tests.search import test_random, test_rl
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
    expected = test_random.run(by_level), test_rl.run(**ROUNDS)
    request.getfixturevalue("_threads")
    assert_same(test_random.run(by_level), expected[0])
    assert_same(test_rl.run(**ROUNDS), expected[1])


def test_processes_that_share_batches_are_refused_beside_workers(monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"search\.devices must be 1 with NASIR_SCHEDULER, .*, got 2; unset one"):
        test_random.run(team=Team(rank=0, size=2, device=torch.device("cpu")))


def slowly(genotype: Genotype) -> nn.Module:
    """`by_level`, a little later and on the record: a file for each time that a worker begins."""
    folder = os.environ["LITTLE_RECORD"]
    Path(folder, f"{os.getpid()}-{uuid4()}").touch()
    time.sleep(1.5)  # so that a worker is still at it when the news of another has come, on a busy machine, too
    return by_level(genotype)


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
    given = problem(slowly, of_strategy=replace(RANDOM, candidates=6))
    random_here, rl_here = random.search(given, 18.0 * STEP), test_rl.run(**test_rl.ROUNDS)
    record, killed = Path(os.environ["LITTLE_RECORD"]), list[int]()

    def kill(number: int, news: dict[str, float]) -> None:
        """With the first news, the worker that has begun last."""
        if not killed:
            last = max(record.iterdir(), key=lambda path: path.stat().st_mtime)
            killed.append(int(last.name.partition("-")[0]))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setenv(cluster.SCHEDULER, processes.scheduler_address)
    for count, log in ((1, given.log), (2, kill), (3, given.log)):
        processes.scale(count)
        processes.wait_for_workers(count)
        for path in record.iterdir():
            path.unlink()
        assert_same(random.search(replace(given, log=log), 18.0 * STEP), random_here)
        begun = [int(path.name.partition("-")[0]) for path in record.iterdir()]
        assert os.getpid() not in begun
        # what the killed one was at has been begun again
        assert len(begun) > 6 and killed[0] in begun if count == 2 else len(begun) == 6
    assert_same(test_rl.run(**test_rl.ROUNDS), rl_here)
