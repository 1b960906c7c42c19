"""A reward moves the controller's parameters as PPO and REINFORCE written out by hand do."""

import itertools
import random

import pytest
import torch

from nasir.search import rl
from nasir.search.policy.controller import Controller, Decision, Draw, masks_of
from nasir.search.policy.updating import Baseline, Rules, Teacher
from tests.search.policy import by_hand
from tests.search.test_rl import near, problem

DECIDED = [Decision("a", 2), Decision("b", 3), Decision("a", 2)]
ALL = list(itertools.product(range(2), range(3), range(2)))


def both(lr, decay, is_autoregressive=True, masks=None, **rules):
    """The same controller with what teaches it, ours and by hand."""
    torch.manual_seed(0)
    ours = Controller(DECIDED, hidden=2, layers=2, silent=1, is_autoregressive=is_autoregressive, scale=1.0).double()
    names = {"clip": 0.1, "slots": 100, "mini_batch": 1, "entropy": 0.0, "is_scaled": False}
    given = {name: rules.get(name, value) for name, value in names.items()}
    slow = by_hand.Learner(ours, by_hand.Adam(lr, rules.get("norm", 2.0)), decay, **given)
    teacher = Teacher(ours, torch.optim.Adam(ours.parameters(), lr=lr), Baseline(decay), Rules(**rules), masks)
    return teacher, slow


def require_same_weights(teacher, slow):
    for name, value in teacher.controller.named_parameters():
        torch.testing.assert_close(value.detach(), slow.weights[name].detach(), rtol=1e-9, atol=1e-11, msg=name)


def rewards(count):
    numbers = random.Random(4)
    return [(numbers.choice(ALL), numbers.random()) for _ in range(count)]


PPO = {
    "single slots in one pass": {"slots": 3, "norm": 0.05, "lr": 0.05},
    "parts of the ring, several passes": {
        "slots": 5, "passes": 3, "mini_batch": 2, "entropy": 0.1, "is_scaled": True, "norm": 0.4, "lr": 0.05,
    },
    "the whole ring at once": {"slots": 4, "passes": 2, "mini_batch": 4, "clip": 0.2, "is_scaled": True, "norm": 0.2, "lr": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("rules", PPO.values(), ids=PPO)
@pytest.mark.parametrize("is_autoregressive", [True, False])
def test_ppo_moves_every_parameter_as_by_hand(rules, is_autoregressive):
    teacher, slow = both(decay=0.8, is_autoregressive=is_autoregressive, **rules)
    numbers = random.Random(4)
    for number, (tokens, reward) in enumerate(rewards(7)):
        with torch.no_grad():
            old = by_hand.evaluate(slow.weights, slow.shape, tokens)[0].item() + numbers.uniform(-0.4, 0.4)
        slots = range(min(number + 1, rules["slots"]))
        orders = [numbers.sample(slots, len(slots)) for _ in range(rules.get("passes", 1))]
        told = teacher.update(Draw(tokens, old), reward, iter(orders))
        loss, entropy = slow.ppo(tokens, old, reward, orders)
        assert told["baseline"] == pytest.approx(slow.baseline, rel=1e-12)
        assert told["loss"] == pytest.approx(loss, rel=1e-9, abs=1e-12)
        assert told["entropy"] == pytest.approx(entropy, rel=1e-9)
        require_same_weights(teacher, slow)
    # what these rules are about has happened: ratios beyond the clip on both sides, for better and for worse
    high, low = 1 + slow.clip, 1 - slow.clip
    sides = {(ratio > high, advantage > 0) for ratio, advantage in slow.ratios if not low <= ratio <= high}
    assert len(sides) == 4
    assert max(slow.adam.norms) > rules["norm"]


@pytest.mark.parametrize("entropy", [0.0, 0.3])
@pytest.mark.parametrize("is_autoregressive", [True, False])
def test_reinforce_moves_every_parameter_as_by_hand(entropy, is_autoregressive):
    teacher, slow = both(0.05, 0.9, is_autoregressive, estimator="reinforce", entropy=entropy, norm=0.3)
    for tokens, reward in rewards(6):
        told = teacher.update(Draw(tokens, 0.0), reward, iter([]))
        loss, found = slow.reinforce(tokens, reward)
        assert told["baseline"] == pytest.approx(slow.baseline, rel=1e-12)
        assert (told["loss"], told["entropy"]) == pytest.approx((loss, found), rel=1e-9, abs=1e-12)
        require_same_weights(teacher, slow)
    assert min(slow.adam.norms[1:]) < 0.3 < max(slow.adam.norms)


@pytest.mark.parametrize("estimator", ["ppo", "reinforce"])
def test_what_was_forbidden_when_it_was_drawn_is_forbidden_when_it_teaches(estimator):
    def mask(tokens):
        return [[True, True], [k != tokens[0] for k in range(3)], [tokens[1] > 0, True]]

    def masks(sequences):
        return [torch.tensor([mask(tokens)[k] for tokens in sequences]) for k in range(3)]

    teacher, slow = both(0.05, 0.8, masks=masks, estimator=estimator, slots=4, mini_batch=4, entropy=0.2)
    possible = [one for one in ALL if all(row[token] for row, token in zip(mask(one), one, strict=True))]
    slow.masks = {tokens: mask(tokens) for tokens in possible}
    for number, (tokens, reward) in enumerate([(possible[0], 0.2), (possible[5], 0.9), (possible[3], 0.4)]):
        order = list(range(number + 1))
        teacher.update(Draw(tokens, -1.5), reward, iter([order]))
        if estimator == "ppo":
            slow.ppo(tokens, -1.5, reward, [order])
        else:
            slow.reinforce(tokens, reward)
        require_same_weights(teacher, slow)


def test_slots_that_were_never_filled_teach_nothing_but_move_the_weights_on_where_they_are_kept():
    teacher, slow = both(0.05, 0.8, slots=4, skips_empty=False)
    slow.ring = {slot: ((0, 0, 0), 0.0, 0.0) for slot in range(4)}
    for number, (tokens, reward) in enumerate([((1, 2, 0), 0.5), ((0, 1, 1), 0.9)]):
        order = [3, 1, 0, 2]
        told = teacher.update(Draw(tokens, -2.0), reward, iter([order]))
        loss, _ = slow.ppo(tokens, -2.0, reward, [order])
        assert told["loss"] == pytest.approx(loss, rel=1e-9)
        require_same_weights(teacher, slow)
        assert slow.adam.steps == 4 * (number + 1)
    assert min(slow.adam.norms) == 0


def test_a_search_leaves_the_controller_where_its_rewards_move_it_by_hand():
    given = problem(near, candidates=5, stop="never", estimator="reinforce", lr=0.01, norm=0.02, entropy=0.01)
    section = given.of_strategy
    slow = both(section.lr, section.baseline_decay, norm=section.norm, entropy=section.entropy)[1]
    slow.shape = rl._Course(given).teacher.controller.double()
    slow.weights = by_hand.weights_of(slow.shape)
    found = rl.STRATEGY.search(given)
    for one in found.candidates:
        tokens = tuple(one["tokens"])
        slow.masks = {tokens: [row[0].tolist() for row in masks_of(given.space, given.of_space, [tokens])]}
        slow.reinforce(tokens, one["reward"])
    start = rl._Course(given).teacher.controller.state_dict()
    for name, value in found.tensors["controller"].items():
        torch.testing.assert_close(value.double(), slow.weights[name].detach(), rtol=1e-3, atol=2e-5, msg=name)
    assert max((value - start[name]).abs().max() for name, value in found.tensors["controller"].items()) > 0.02
