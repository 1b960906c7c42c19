"""What an update really follows is the slope of the expected reward: exact over all sequences, by finite differences.

The step is read off the parameters: plain SGD of rate 1 with a norm that clips nothing moves them by minus what is followed.
"""

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nasir.search.policy.controller import Controller, Decision, Draw
from nasir.search.policy.updating import Baseline, Rules, Teacher

DECIDED = [Decision("a", 2), Decision("b", 3), Decision("a", 2)]
ALL = list(itertools.product(range(2), range(3), range(2)))
DECAY, BASELINE = 0.75, 0.3
STEP = 1e-5


def controller(is_autoregressive: bool, seed: int = 0) -> Controller:
    torch.manual_seed(seed)
    return Controller(DECIDED, hidden=3, layers=1, silent=1, is_autoregressive=is_autoregressive, scale=1.0).double()


def free(sequences):
    return [torch.ones(len(sequences), decision.choices, dtype=torch.bool) for decision in DECIDED]


def never_the_same(sequences):
    """The second decision is none of what the first was, and the last is 1 behind a 2."""
    rows = [[[True, True], [k != a for k in range(3)], [b != 2, True]] for a, b, _ in sequences]
    return [torch.tensor([row[k] for row in rows]) for k in range(3)]


def reward(tokens: tuple[int, ...]) -> float:
    return math.sin(1 + 2 * tokens[0] + 3 * tokens[1] + 5 * tokens[2])


def possible(masks):
    return [one for one in ALL if all(mask[0, token] for mask, token in zip(masks([one]), one, strict=True))]


def log_probs(policy: Controller, masks) -> Tensor:
    """Of all possible sequences."""
    sequences = possible(masks)
    found: Tensor = policy(torch.tensor(sequences), masks(sequences))[0]
    return found


def slope_of(value: Callable[[], Tensor], policy: Controller) -> Tensor:
    """By central differences, parameter by parameter."""
    found = []
    with torch.no_grad():
        for parameter in policy.parameters():
            for place in parameter.view(-1).split(1):
                place += STEP
                up = value()
                place -= 2 * STEP
                found.append((up - value()) / (2 * STEP))
                place += STEP
    return torch.stack(found)


def flat(policy: Controller) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def followed(policy: Controller, masks, tokens, old: float, **rules) -> Tensor:
    """How far an update with the reward of a sequence moves the parameters."""
    ours = copy.deepcopy(policy)
    of = Rules(norm=math.inf, slots=1, **rules)
    teacher = Teacher(ours, torch.optim.SGD(ours.parameters(), lr=1.0), Baseline(DECAY, BASELINE), of, masks)
    teacher.update(Draw(tokens, old), reward(tokens), iter([[0]]))
    return flat(ours) - flat(policy)


def expected_step(policy: Controller, drawn_by: Controller, masks, **rules) -> Tensor:
    """The mean of the update's steps over what a policy draws."""
    with torch.no_grad():
        old = log_probs(drawn_by, masks).tolist()
    return sum(
        math.exp(known) * followed(policy, masks, tokens, known, **rules)
        for tokens, known in zip(possible(masks), old, strict=True)
    )


def expected_reward(policy: Controller, masks) -> Tensor:
    rewards = torch.tensor([reward(tokens) for tokens in possible(masks)], dtype=torch.float64)
    return (log_probs(policy, masks).exp() * rewards).sum()


@pytest.mark.parametrize("estimator", ["reinforce", "ppo"])
@pytest.mark.parametrize("is_autoregressive", [True, False])
@pytest.mark.parametrize("masks", [free, never_the_same])
def test_the_mean_step_is_the_slope_of_the_expected_reward(estimator, is_autoregressive, masks):
    policy = controller(is_autoregressive)
    found = expected_step(policy, policy, masks, estimator=estimator)
    slope = slope_of(lambda: expected_reward(policy, masks), policy)
    # a reward is part of its own baseline: r - (d b + (1 - d) r) = d (r - b), and b is the same for all
    torch.testing.assert_close(found, DECAY * slope, rtol=1e-6, atol=1e-9)
    assert slope.norm() > 0.1


def test_with_an_older_policy_s_draws_it_is_the_slope_at_the_present_policy_where_no_ratio_is_clipped():
    policy, older = controller(True), controller(True, seed=1)
    found = expected_step(policy, older, free, clip=1e9)
    slope = slope_of(lambda: expected_reward(policy, free), policy)
    torch.testing.assert_close(found, DECAY * slope, rtol=1e-6, atol=1e-9)
    on_policy = expected_step(older, older, free, clip=1e9)
    assert not torch.allclose(found, on_policy, rtol=0.1)


def test_with_clipped_ratios_it_is_the_slope_of_the_clipped_objective():
    # Schulman et al., 2017, equation 7, over all sequences: E_old[min(rho A, clip(rho, 0.8, 1.2) A)]
    policy, older = controller(True), controller(True, seed=1)
    with torch.no_grad():
        old = log_probs(older, free)
    advantages = [DECAY * (reward(tokens) - BASELINE) for tokens in ALL]

    def objective() -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for known, now, advantage in zip(old, log_probs(policy, free), advantages, strict=True):
            ratio = (now - known).exp().item()
            total += known.exp() * min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
        return total

    found = expected_step(policy, older, free, clip=0.2)
    torch.testing.assert_close(found, slope_of(objective, policy), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(found, expected_step(policy, older, free, clip=1e9), rtol=0.1)


@pytest.mark.parametrize("estimator", ["reinforce", "ppo"])
def test_the_entropy_s_weight_adds_its_slope_where_the_policy_does_not_see_its_choices(estimator):
    policy = controller(False)

    def value() -> Tensor:
        known = log_probs(policy, free)
        return DECAY * expected_reward(policy, free) - 0.4 * (known.exp() * known).sum()

    found = expected_step(policy, policy, free, estimator=estimator, entropy=0.4)
    torch.testing.assert_close(found, slope_of(value, policy), rtol=1e-6, atol=1e-9)
