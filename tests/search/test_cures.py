"""The cures for collapse in the search's loop: their weights at each step, and what is refused."""

import copy
import dataclasses

import pytest
import torch

from nasir.search import darts
from tests.search.test_darts import (
    DARTS,
    PROBLEM,
    Killed,
    change,
    curve,
    relax,
    run,
    weights_of,
)

SHORT = {"steps": 3, "keep_from": 3, "val_period": 3}
ALL = {"beta_decay": 1.0, "none": "left_out", "share_alpha": False}


def assert_same(found, whole) -> None:
    assert (found.history, found.step, found.scores) == (whole.history, whole.step, whole.scores)
    assert (found.genotype, found.runner_up, found.facts) == (whole.genotype, whole.runner_up, whole.facts)
    assert found.spent_flops == whole.spent_flops
    assert all(torch.equal(weights_of(found)[name], value) for name, value in weights_of(whole).items())


def test_the_weight_of_beta_decay_rises_from_the_end_of_the_warm_up_to_the_last_step():
    # a smoothness of 1 without a gradient changes no search, and stands in the architecture's loss with its weight alone:
    # four updates after a warm-up of two of the six steps
    changes = {"warmup_steps": 2, "val_period": 6, "keep_from": 6}
    plain, problem = run(change(**changes)), change(beta_decay=0.8, **changes)
    relaxed = relax(problem)
    relaxed.smoothness = lambda: torch.ones((), requires_grad=True)
    found = run(problem, relaxed)
    losses, expected = curve(found, "val_loss"), curve(plain, "val_loss")
    assert list(losses) == [3, 4, 5, 6]
    for step, weight in [(3, 0.2), (4, 0.4), (5, 0.6), (6, 0.8)]:
        assert losses[step] - expected[step] == pytest.approx(weight, abs=1e-5)
    assert curve(found, "train_loss") == curve(plain, "train_loss")


@pytest.mark.parametrize("order", [1, 2])
def test_beta_decay_adds_the_mean_logsumexp_to_the_architectures_loss(order):
    # at the first update of alpha both searches have the same supernet; the first of two updates has half the weight
    plain, found = run(change(order=order, **SHORT)), run(change(order=order, beta_decay=3.0, **SHORT))
    smoothness = relax(PROBLEM).alpha.logsumexp(dim=-1).mean().item()
    difference = curve(found, "val_loss")[2] - curve(plain, "val_loss")[2]
    assert difference == pytest.approx(3.0 * 1 / 2 * smoothness, rel=1e-4)
    assert curve(found, "train_loss")[1] == curve(plain, "train_loss")[1]
    assert not torch.equal(weights_of(found)["alpha"], weights_of(plain)["alpha"])


@pytest.fixture(scope="module")
def whole():
    """What the search with every cure finds, and its problem."""
    problem = change(steps=4, checkpoint_period=2, val_period=2, keep_from=2, **ALL)
    return problem, run(problem)


def test_with_every_cure_a_stopped_search_carried_on_ends_as_one_left_alone(whole):
    problem, found = whole
    saved: list[dict] = []

    def log(step, news):
        if step == 3:
            raise Killed("at step 3")

    with pytest.raises(Killed, match="at step 3"):
        run(problem, save=lambda state: saved.append(copy.deepcopy(state)), log=log)
    assert saved[-1]["step"] == 2
    assert_same(run(problem, state=saved[-1]), found)


def test_an_option_that_the_supernet_has_no_method_for_is_refused():
    class Bare:
        def __init__(self, relaxed):
            self.relaxed = relaxed

        def __getattr__(self, name):
            if name == "smoothness":
                raise AttributeError(name)
            return getattr(self.relaxed, name)

    message = r"strategy\.beta_decay must be 0 with a supernet that has no method smoothness \(Bare\), got 0\.5"
    with pytest.raises(ValueError, match=message):
        run(change(beta_decay=0.5), Bare(relax(PROBLEM)))
    problem = change(steps=2, val_period=2)
    assert run(problem, Bare(relax(problem))).history == run(problem).history


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("beta_decay", -0.1, r"strategy\.beta_decay must be 0 or more, got -0\.1"),
    ],
)
def test_what_an_option_cannot_be_is_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DARTS, **{option: value})


def test_by_default_there_is_none_of_it():
    assert [getattr(DARTS, name) for name in darts.CURES] == [off for off, _ in darts.CURES.values()]
