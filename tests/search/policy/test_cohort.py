"""Controllers side by side: what each alone gives, draws that follow the policy, a little space that is learnt."""

import math

import pytest
import torch

from nasir.search.policy.cohort import Cohort, search
from nasir.search.policy.controller import Controller, Decision, Draw
from nasir.search.policy.updating import Baseline, Rules, Teacher

DECIDED = [Decision("a", 2), Decision("b", 3), Decision("a", 2)]
PPO = Rules(slots=4, passes=2, mini_batch=4, is_scaled=True, entropy=0.1, norm=0.5)
REINFORCE = Rules(estimator="reinforce", entropy=0.1, norm=0.5)


def free(chosen):
    return [True] * DECIDED[len(chosen)].choices


def never_two_zeros(chosen):
    """The choice 0 of the second decision only behind a 1."""
    return [chosen[-1] == 1, True, True] if len(chosen) == 1 else free(chosen)


def masks_of(tokens):
    return [torch.tensor([list(never_two_zeros(one[:k])) for one in tokens]) for k in range(3)]


def controllers(count, **changes):
    torch.manual_seed(0)
    words = {"hidden": 4, "layers": 1, "silent": 0, "is_autoregressive": True, "scale": 1.0} | changes
    return [Controller(DECIDED, **words).double() for _ in range(count)]


def uniform(generator, count):
    return torch.rand(count, 3, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rules", [PPO, REINFORCE])
def test_each_learns_what_it_would_learn_alone(rules):
    alone, generator = controllers(3), torch.Generator().manual_seed(0)
    cohort = Cohort(alone, lr=0.05, decay=0.9, rules=rules)
    teachers = [
        Teacher(one, torch.optim.Adam(one.parameters(), lr=0.05), Baseline(0.9), rules, masks_of) for one in alone
    ]
    for _ in range(7):
        tokens, log_probs, masks = cohort.sample(never_two_zeros, uniform(generator, 3))
        rewards = torch.rand(3, generator=generator, dtype=torch.float64)
        cohort.update(tokens, masks, log_probs, rewards)
        for teacher, own, log_prob, reward in zip(teachers, tokens.tolist(), log_probs, rewards, strict=True):
            expected, _ = teacher.controller(torch.tensor([own]), masks_of([own]))
            assert log_prob.item() == pytest.approx(expected.item())
            teacher.update(Draw(tuple(own), log_prob.item()), reward.item(), teacher.orders(generator))
    for number, one in enumerate(alone):
        for name, value in one.state_dict().items():
            assert torch.allclose(cohort.weights[name][number], value), name


def test_draws_follow_the_policy_and_what_is_forbidden_is_never_drawn():
    [one] = controllers(1)
    cohort, generator = Cohort([one] * 3000, lr=0.1, decay=0.9, rules=REINFORCE), torch.Generator().manual_seed(0)
    tokens, _, _ = cohort.sample(never_two_zeros, uniform(generator, 3000))
    drawn = [tuple(own) for own in tokens.tolist()]
    assert not [own for own in drawn if own[:2] == (0, 0)]
    for own in set(drawn):
        share = one(torch.tensor([own]), masks_of([own]))[0].exp().item()
        assert abs(drawn.count(own) / 3000 - share) < 4 * math.sqrt(share / 3000)


@pytest.mark.parametrize("rules", [Rules(slots=8, mini_batch=8, is_scaled=True), Rules(estimator="reinforce")])
def test_what_is_rewarded_is_drawn_more_and_more_by_each(rules):
    cohort = Cohort([one.float() for one in controllers(2)], lr=0.02, decay=0.9, rules=rules)
    seen = []

    def reward(number, tokens):
        seen.append((number, tokens))
        return float(tokens[1] == number)  # each has its own best choice

    search(cohort, free, reward, [torch.Generator().manual_seed(seed) for seed in range(2)], 250)
    for number in range(2):
        last = [tokens for own, tokens in seen if own == number][-50:]
        assert sum(tokens[1] == number for tokens in last) > 40


def test_controllers_of_another_shape_and_rings_in_parts_are_refused():
    with pytest.raises(ValueError, match=r"must be autoregressive, of one layer and without silent steps"):
        Cohort(controllers(2, silent=1), lr=0.1, decay=0.9, rules=PPO)
    with pytest.raises(ValueError, match=r"mini_batch must hold all 100 slots, got 1"):
        Cohort(controllers(2), lr=0.1, decay=0.9, rules=Rules())
