"""What helps short trainings, each by hand: auxiliary cells, stored patches and features, the teacher, and carrying on."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from nasir.data.noise import add_noise
from nasir.networks import catalogue
from nasir.search.contract import Problem
from nasir.search.policy.assistance import AGAIN, OF_CACHE, Assistance, AssistedDescent, Cache, WithCells
from nasir.search.sampling.alone import build, train
from nasir.spaces import contract
from nasir.spaces.contract import random_tokens
from nasir.training.losses import restoration_loss
from tests.search.test_darts import change
from tests.search.test_rl import RL
from tests.spaces.contextual.test_nekrasov import SECTION as CONTEXTUAL
from tests.spaces.resolutions.little import LITTLE

OFF = {"auxiliary": 0.0, "cache": 0, "stem_steps": 0, "teacher": "", "average": 0.0, "more_average": 0.0}
SPACES = ("irnas", "hinas", "clearer", "nekrasov")


def ignore(flops: float) -> None:
    """Take a training's operations and drop them."""


def problem(space: str = "irnas", **changes: Any) -> Problem:
    """Two patches of 12 pixels a step; nothing helps but what is changed."""
    of_strategy = dataclasses.replace(RL, **(OFF | changes))
    section = {"clearer": LITTLE, "nekrasov": CONTEXTUAL}.get(space)
    found = dataclasses.replace(change("irnas" if section else space), of_strategy=of_strategy)
    if section:
        found = dataclasses.replace(found, space=contract.find(space), of_space=section)
    return dataclasses.replace(found, of_space=dataclasses.replace(found.of_space, norm="none"))


def draw(given: Problem, seed: int = 0) -> Any:
    tokens = random_tokens(given.space, given.of_space, torch.Generator().manual_seed(seed))
    return given.space.from_tokens(given.of_space, tokens)


def candidate(given: Problem, known: Any = None) -> tuple[Assistance, WithCells]:
    assistance, genotype = Assistance(given, known), draw(given)
    return assistance, assistance.join(build(genotype, given), genotype)


def weights(network: nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())


@pytest.mark.parametrize(
    ("space", "downscale"), [*((space, downscale) for space in SPACES[:3] for downscale in (1, 2)), ("nekrasov", None)]
)
def test_auxiliary_cells_restore_images_and_leave_the_network_as_it_is(space, downscale):
    given = problem(space, auxiliary=0.5)
    if downscale is not None:
        given = dataclasses.replace(given, of_space=dataclasses.replace(given.of_space, downscale=downscale))
    _, joined = candidate(given)
    x = torch.rand(1, 1, 19, 22)
    with torch.no_grad():
        for cell in joined.auxiliary:
            for parameter in cell.parameters():
                parameter.normal_(std=0.1)
        alone, together = joined.network(x), joined(x)
    assert torch.equal(alone, together)
    cells = {"clearer": len(LITTLE.columns) - 1, "nekrasov": CONTEXTUAL.blocks}.get(space, 1)
    assert len(joined.outputs) == cells
    assert all(output.shape == x.shape and not torch.equal(output, together) for output in joined.outputs)
    assert not any(module._forward_hooks for module in joined.network.modules())
    assert len(list(joined.network.parameters())) == len(list(build(draw(given), given).parameters()))


@pytest.mark.parametrize("space", SPACES)
def test_every_weight_of_an_auxiliary_cell_learns_from_its_loss_alone(space):
    given = problem(space, auxiliary=0.5)
    _, joined = candidate(given)
    for parameter in joined.parameters():
        nn.init.uniform_(parameter, 0, 0.2)  # so that no activation is 0
    joined(torch.rand(2, 1, 16, 16))
    for number, cell in enumerate(joined.auxiliary):
        slopes = torch.autograd.grad(
            joined.outputs[number].square().sum(), list(cell.parameters()), allow_unused=True, retain_graph=True
        )
        used = [slope is not None and bool(slope.any()) for slope in slopes]
        assert used[-1] and sum(used) >= len(used) / 2  # a random cell need not read both inputs, nor every branch


def test_the_loss_is_that_of_all_outputs_and_of_the_distance_to_the_teacher():
    given = problem(auxiliary=0.5)
    _, joined = candidate(given)
    for parameter in joined.parameters():
        nn.init.normal_(parameter, std=0.1)
    noisy, clean, taught = (torch.rand(2, 1, 12, 12) for _ in range(3))
    cache = Cache(noisy, clean, None, taught)
    descent: Any = object.__new__(AssistedDescent)
    for name, value in {
        "network": joined, "team": given.team, "budget": given.config, "cache": cache, "auxiliary": 0.5, "distillation": 0.3,
    }.items():  # fmt: skip
        object.__setattr__(descent, name, value)
    found = descent.loss(cache.look(torch.tensor([1, 0])))
    restored, weight = joined.network(noisy.flip(0)), given.config.ssim_weight
    expected = restoration_loss(restored, clean.flip(0), weight) + 0.3 * (restored - taught.flip(0)).square().mean()
    for output in joined.outputs:
        expected = expected + 0.5 * restoration_loss(output, clean.flip(0), weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_with_nothing_that_helps_a_training_is_the_plain_one():
    given = problem()
    assistance, joined = candidate(given)
    loss = assistance.train(joined, 3, "one", 0.003, 0, ignore)
    plain = build(draw(given), given)
    assert train(plain, given, 3, "one", 0.003) == loss
    assert all(torch.equal(*both) for both in zip(weights(joined.network), weights(plain), strict=True))


def test_first_trainings_are_on_patches_that_were_drawn_once(monkeypatch):
    given = problem(cache=5)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(Cache, "look", lambda self, rows: seen.append(rows) or (self.noisy[rows], self.clean[rows]))
    assistance, joined = candidate(given)
    generator = torch.Generator().manual_seed(given.seed + AGAIN * OF_CACHE)
    clean = given.patches_w.draw(5, generator)
    sigmas = torch.tensor(given.config.sigmas)[torch.randint(2, (5,), generator=generator)]
    assert torch.equal(assistance.cache.clean, clean)
    assert torch.equal(assistance.cache.noisy, add_noise(clean, sigmas, generator))
    assistance.train(joined, 4, "one", 0.003, 0, ignore)
    assert len(seen) == 1 + 4 and all(rows.max() < 5 for rows in seen)  # the first is looked at to be counted
    assistance.train(joined, 4, "one", 0.003, 1, ignore)
    assert len(seen) == 5  # fresh ones


@pytest.mark.parametrize("space", SPACES)
def test_a_stem_that_stands_still_is_read_from_the_store(space):
    given = problem(space, cache=6, stem_steps=3)
    assistance, joined = candidate(given)
    stem = getattr(joined.network, given.space.stem)
    before = [value.clone() for value in weights(stem)]
    fresh = weights(getattr(build(draw(given), given), given.space.stem))
    assert any(not torch.equal(*both) for both in zip(before, fresh, strict=True))  # it has been trained

    noisy, _ = assistance.cache.look(torch.tensor([4, 1]))
    expected = joined.network(noisy)
    with assistance._standing_still(joined.network, assistance.cache):
        assert torch.allclose(joined.network(noisy), expected, atol=1e-5)
        assert not list(getattr(joined.network, given.space.stem).parameters())
    assistance.train(joined, 2, "one", 0.003, 0, ignore)
    assert all(
        torch.equal(*both) for both in zip(weights(getattr(joined.network, given.space.stem)), before, strict=True)
    )
    assistance.train(joined, 2, "one", 0.003, 1, ignore)
    assert any(
        not torch.equal(*both) for both in zip(weights(getattr(joined.network, given.space.stem)), before, strict=True)
    )


def test_what_is_stored_under_autocast_is_read_without_it_too():
    team = dataclasses.replace(problem().team, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    given = dataclasses.replace(
        problem(auxiliary=0.2, cache=4, stem_steps=2, teacher="dncnn", teacher_steps=1), team=team
    )
    assistance, joined = candidate(given)
    assistance.cache.look(torch.arange(4))
    assert {features.dtype for features in [*assistance.cache.features, assistance.cache.taught]} == {torch.float32}
    assert assistance.train(joined, 2, "one", 0.003, 0, ignore) > 0


def test_the_teacher_is_trained_first_and_shows_what_it_makes_of_every_patch():
    given = problem(cache=4, teacher="dncnn", teacher_steps=2, distillation=0.3)
    assistance = Assistance(given, None)
    torch.manual_seed(given.seed)
    plain = catalogue.find("dncnn").build(1)
    teacher = catalogue.find("dncnn").build(1)
    teacher.load_state_dict(assistance.known["teacher"])
    assert any(not torch.equal(*both) for both in zip(weights(teacher), weights(plain), strict=True))
    with torch.no_grad():
        expected = teacher.eval()(assistance.cache.noisy)
    assistance.cache.look(torch.arange(4))
    assert torch.allclose(assistance.cache.taught, expected, atol=1e-5)
    assert assistance.flops == pytest.approx(2 * 2 * 144 * 2 * 554_432, rel=0.01)  # the weights of its convolutions
    assert Assistance(problem(cache=4, teacher="dncnn", teacher_steps=2, distillation=0.0), None).known == {}


def test_what_is_carried_on_is_not_trained_again(monkeypatch):
    given = problem(auxiliary=0.2, cache=4, stem_steps=2, teacher="dncnn", teacher_steps=1)
    whole, joined = candidate(given)
    known = whole.state()
    loss = whole.train(joined, 2, "one", 0.003, 0, ignore)
    monkeypatch.setattr("nasir.search.policy.assistance.train", lambda *given: pytest.fail("it was trained"))
    again, other = candidate(given, known)
    assert again.flops == known["flops"] > 0
    monkeypatch.undo()
    assert again.train(other, 2, "one", 0.003, 0, ignore) == loss
    assert all(torch.equal(*both) for both in zip(weights(joined), weights(other), strict=True))


def test_a_search_killed_between_the_stem_and_the_teacher_trains_the_teacher_alone(monkeypatch):
    given = problem(auxiliary=0.2, cache=4, stem_steps=2, teacher="dncnn", teacher_steps=1)
    kept: list[dict[str, Any]] = []
    whole = Assistance(given, None, lambda state: kept.append(copy.deepcopy(state)))
    assert [set(state["weights"]) for state in kept] == [{"stem"}, {"stem", "teacher"}]
    trained: list[str] = []

    def spy(network: nn.Module, of: Problem, steps: int, name: str, *others: Any) -> float:
        trained.append(name)
        return train(network, of, steps, name, *others)

    monkeypatch.setattr("nasir.search.policy.assistance.train", spy)
    again = Assistance(given, kept[0])
    assert trained == ["the teacher"]
    assert again.flops == whole.flops > kept[0]["flops"] > 0
    both = (whole.state()["weights"], again.state()["weights"])
    for name in ("stem", "teacher"):
        assert all(torch.equal(value, both[1][name][key]) for key, value in both[0][name].items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auxiliary": -0.1}, r"strategy\.auxiliary must be 0 or more, got -0\.1"),
        ({"average": 1.0}, r"strategy\.average must be 0 or more and below 1, got 1\.0"),
        ({"cache": 0, "stem_steps": 5}, r"strategy\.cache must be 1 or more with a strategy\.stem_steps"),
        ({"cache": 0, "teacher": "dncnn"}, r"strategy\.cache must be 1 or more with a strategy\.teacher"),
        ({"cache": 1, "teacher": "dcnn"}, r"a baseline network must be one of .*dncnn.*; got 'dcnn'"),
        (
            {"cache": 1, "teacher": "dncnn", "teacher_steps": 0},
            r"strategy\.teacher_steps must be 1 or more with a teacher",
        ),
    ],
)
def test_help_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        problem(**changes)
