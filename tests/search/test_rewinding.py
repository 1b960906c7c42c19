"""Searches whose loss is not finite go back, with every learning rate halved, the same way whether they were stopped or not."""

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch

from nasir.config.training import OFF, REWOUND
from nasir.search.contract import Found, Problem
from nasir.training import loop
from tests.search import test_darts, test_one_shot

REWIND = dataclasses.replace(OFF, on_nan="rewind", rewinds=8)
PROBLEMS = {"darts": (test_darts, 0.515), "one_shot": (test_one_shot, 0.5)}
"""The little problem of each, and the mean of a batch from which on its loss is made NaN: that of a few batches."""


@pytest.fixture(params=list(PROBLEMS))
def problem(request, monkeypatch) -> Problem:
    module, bad = PROBLEMS[request.param]
    loss_of = loop.batch_loss

    def batch_loss(network: Any, batch: loop.Batch, *others: Any) -> torch.Tensor:
        return loss_of(network, batch, *others) * (math.nan if batch[0].mean() > bad else 1.0)

    monkeypatch.setattr(loop, "batch_loss", batch_loss)
    return dataclasses.replace(module.PROBLEM, safety=REWIND)


def strategy(problem: Problem) -> Any:
    return {"darts": test_darts.darts, "one_shot": test_one_shot.one_shot}[problem.config.strategy].STRATEGY


def search(problem: Problem, **others: Any) -> tuple[Found, list[dict[str, Any]]]:
    saved: list[dict[str, Any]] = []
    whole = dataclasses.replace(problem, save=lambda state: saved.append(copy.deepcopy(state)), **others)
    return strategy(problem).search(whole), saved


def test_a_search_goes_back_and_ends_the_same_wherever_it_was_stopped(problem, monkeypatch):
    found, _ = search(problem)
    back = [(step, value) for step, metric, value in found.history if metric == REWOUND]
    assert back and all(step % 2 == 0 and step < value for step, value in back)
    assert all(bool(value.isfinite().all()) for value in found.tensors["supernet"].values())
    with monkeypatch.context() as patch:
        patch.setattr(loop.stopping, "is_asked", lambda: True)  # a checkpoint behind every step
        often, saved = search(problem)
    assert len(saved) >= problem.config.steps + len(back)
    for again in (often, *(search(problem, state=state)[0] for state in saved[: problem.config.steps + len(back) : 3])):
        assert again.history == found.history and again.genotype == found.genotype
        for name, value in found.tensors["supernet"].items():
            assert torch.equal(again.tensors["supernet"][name], value)


def test_without_a_way_back_the_step_is_named(problem):
    with pytest.raises(FloatingPointError, match=r"got nan at search step 2; .*, or set safety\.on_nan to rewind"):
        search(dataclasses.replace(problem, safety=OFF))


def test_the_rate_of_the_architecture_is_halved_too(problem):
    if problem.config.strategy == "darts":
        found, saved = search(problem)
        count = sum(metric == REWOUND for _, metric, _ in found.history)
        rate = saved[-1]["architecture_optimiser"]["param_groups"][0]["lr"]
        assert rate == pytest.approx(problem.of_strategy.architecture_lr / 2**count)
