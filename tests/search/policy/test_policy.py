"""The controller and what teaches it: against counting, finite differences, and a bandit that is solved."""

import copy
import itertools
import math

import pytest
import torch

from nasir.search.policy.controller import Controller, Decision, Draw, decisions, masks_of
from nasir.search.policy.stopping import Stopping
from nasir.search.policy.updating import Baseline, Rules, Teacher
from nasir.spaces.contract import find
from tests.spaces.cells.small import SMALL
from tests.spaces.resolutions.little import LITTLE

DECIDED = [Decision("a", 2), Decision("b", 3), Decision("a", 2)]
ALL = list(itertools.product(range(2), range(3), range(2)))


def controller(is_autoregressive: bool = True, scale: float = 1.0, seed: int = 0) -> Controller:
    torch.manual_seed(seed)
    return Controller(DECIDED, hidden=4, layers=2, silent=1, is_autoregressive=is_autoregressive, scale=scale).double()


def free(chosen):
    return [True] * DECIDED[len(chosen)].choices


@pytest.mark.parametrize("is_autoregressive", [False, True])
def test_the_policy_is_a_distribution_and_its_entropy_that_of_the_decisions(is_autoregressive):
    ours = controller(is_autoregressive)
    log_probs, entropies = ours(torch.tensor(ALL))
    assert log_probs.exp().sum().item() == pytest.approx(1)
    assert len({round(value, 9) for value in log_probs.tolist()}) == len(ALL)
    # the mean over the policy of the decisions' entropies is the entropy of whole sequences
    expected = -(log_probs.exp() * log_probs).sum().item()
    assert (log_probs.exp() * entropies).sum().item() == pytest.approx(expected)


def test_only_an_autoregressive_controller_sees_its_choices():
    for is_autoregressive in (False, True):
        steps = controller(is_autoregressive).steps(torch.tensor([(0, 0, 0), (1, 2, 0)]))
        assert torch.equal(steps[0][0], steps[0][1])
        assert torch.equal(steps[2][0], steps[2][1]) is not is_autoregressive


def test_draws_follow_the_policy_and_tell_their_log_probability():
    ours, generator = controller(), torch.Generator().manual_seed(0)
    draws = [ours.sample(free, generator) for _ in range(3000)]
    log_probs, _ = ours(torch.tensor([draw.tokens for draw in draws]))
    assert torch.allclose(log_probs, torch.tensor([draw.log_prob for draw in draws], dtype=torch.float64))
    counts = [sum(draw.tokens == tokens for draw in draws) / len(draws) for tokens in ALL]
    expected = ours(torch.tensor(ALL))[0].exp().tolist()
    assert all(abs(count - share) < 4 * math.sqrt(share / 3000) for count, share in zip(counts, expected, strict=True))


def test_what_a_mask_forbids_is_never_drawn_and_costs_no_entropy():
    ours, generator = controller(), torch.Generator().manual_seed(0)

    def mask(chosen):
        return [True, False, False] if len(chosen) == 1 else free(chosen)

    draws = [ours.sample(mask, generator) for _ in range(200)]
    assert {draw.tokens[1] for draw in draws} == {0} and {draw.tokens[0] for draw in draws} == {0, 1}
    tokens = [tokens for tokens in ALL if tokens[1] == 0]
    masks = [torch.tensor([mask(one[:k]) for one in tokens]) for k in range(3)]
    log_probs, entropies = ours(torch.tensor(tokens), masks)
    assert log_probs.exp().sum().item() == pytest.approx(1)
    assert (log_probs.exp() * entropies).sum().item() == pytest.approx(-(log_probs.exp() * log_probs).sum().item())
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())
    (log_probs.sum() + entropies.sum()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["irnas", "hinas", "clearer"])
def test_every_space_s_tokens_become_decisions_and_draws_become_genotypes(name):
    space = find(name)
    if name == "clearer":
        section: object = LITTLE
    else:
        section = SMALL
    decided = decisions(space, section)
    assert [decision.choices for decision in decided] == [len(token.choices) for token in space.tokens(section)]
    heads = {}
    for decision, token in zip(decided, space.tokens(section), strict=True):
        assert heads.setdefault(token.choices, decision.head) == decision.head
    torch.manual_seed(0)
    ours, generator = Controller(decided, 5, 1, 0, True), torch.Generator().manual_seed(0)
    draws = [ours.sample(lambda chosen: space.mask(section, chosen), generator) for _ in range(8)]
    assert all(space.from_tokens(section, draw.tokens) is not None for draw in draws)
    log_probs, _ = ours(
        torch.tensor([draw.tokens for draw in draws]), masks_of(space, section, [d.tokens for d in draws])
    )
    assert torch.allclose(log_probs, torch.tensor([draw.log_prob for draw in draws]), atol=1e-5)


def reward(tokens: tuple[int, ...]) -> float:
    return math.sin(1 + 2 * tokens[0] + 3 * tokens[1] + 5 * tokens[2])


def teacher(ours: Controller, lr: float = 0.02, **rules) -> Teacher:
    return Teacher(ours, torch.optim.Adam(ours.parameters(), lr=lr), Baseline(0.9), Rules(**rules))


@pytest.mark.parametrize(
    "rules",
    [
        {"estimator": "reinforce"},
        {"estimator": "ppo", "slots": 20, "passes": 2, "mini_batch": 8, "is_scaled": True},
        {"estimator": "ppo", "slots": 8, "mini_batch": 1},
    ],
    ids=["reinforce", "ppo", "ppo of single slots"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_bandit_with_a_known_best_arm_is_solved(rules, seed):
    torch.manual_seed(seed)
    ours = Controller([Decision("arm", 5)], hidden=8, layers=1, silent=0, is_autoregressive=False)
    learner, generator = teacher(ours, **rules), torch.Generator().manual_seed(seed)
    for _ in range(150):
        draw = ours.sample(lambda chosen: [True] * 5, generator)
        orders = (torch.randperm(len(learner.ring), generator=generator).tolist() for _ in range(9))
        learner.update(draw, [0.1, 0.5, 1.0, 0.4, 0.0][draw.tokens[0]], orders)
    assert ours(torch.tensor([[2]]))[0].exp().item() > 0.8


def test_the_entropy_s_weight_keeps_a_policy_wide():
    wide = []
    for entropy in (0.0, 1.0):
        ours = controller(scale=0.1)
        learner, generator = teacher(ours, estimator="reinforce", entropy=entropy), torch.Generator().manual_seed(0)
        for _ in range(60):
            draw = ours.sample(free, generator)
            told = learner.update(draw, float(draw.tokens[0]), iter([]))
        wide.append(told["entropy"])
    assert wide[0] < wide[1] - 0.3 and wide[1] == pytest.approx(math.log(12), abs=0.1)


def test_the_first_reward_is_the_baseline_and_teaches_nothing():
    ours = controller()
    before = copy.deepcopy(ours.state_dict())
    told = teacher(ours, estimator="reinforce").update(Draw((0, 1, 1), 0.0), 3.0, iter([]))
    assert told["baseline"] == 3 and told["loss"] == 0
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_the_ring_forgets_the_oldest_and_has_no_empty_slots():
    learner = teacher(controller(), slots=3)
    for number in range(5):
        learner.update(Draw((number % 2, 0, 0), 0.0), float(number), iter([list(range(min(number + 1, 3)))]))
    assert [slot[2] for slot in learner.ring] == [3.0, 4.0, 2.0]


def test_a_ratio_outside_of_the_clip_teaches_only_where_it_is_worse():
    ours = controller()
    log_prob = ours(torch.tensor([ALL[0]]))[0].item()
    # advantage 1 - 0.5; a ratio of e is clipped to 1.1, one of 1/e is not, since that is the smaller
    for old, expected in ((log_prob - 1, -1.1 * 0.5), (log_prob + 1, -math.exp(-1) * 0.5)):
        loss, _ = teacher(ours).surrogate([(ALL[0], old, 1.0)], baseline=0.5)
        assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("rules", [{"estimator": "reinforce"}, {"slots": 4, "mini_batch": 2}], ids=["reinforce", "ppo"])
def test_carried_on_it_learns_as_one_left_alone(rules):
    def teach(learner: Teacher, numbers: range) -> None:
        for number in numbers:
            orders = iter([list(range(min(number + 1, 4)))])
            learner.update(Draw(ALL[number], -2.0), reward(ALL[number]), orders)

    whole, first, second = (teacher(controller(), **rules) for _ in range(3))
    teach(whole, range(9))
    teach(first, range(5))
    second.restore(copy.deepcopy(first.state()))
    teach(second, range(5, 9))
    ends = [learner.controller.state_dict() for learner in (whole, second)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_score_below_the_average_is_stopped_as_often_as_the_rule_says():
    generator = torch.Generator().manual_seed(0)
    stopped = 0
    for _ in range(2000):
        rule = Stopping(decay=0.5, average=1.2, delta=0.8, milestones=())
        # average 0.5 * 1.2 + 0.5 * 0.8 = 1: the score is 0.2 below it, of at most 0.8
        stopped += not rule.goes_on(0.8, lambda most: most * float(torch.rand((), generator=generator)))
    assert stopped / 2000 == pytest.approx(0.2 / 0.8, abs=0.04)


def test_the_first_score_is_the_average_where_none_is_given_and_every_milestone_counts_once():
    rule = Stopping(decay=0.9, average=None, delta=1.0, milestones=(2, 4, 4, 9))
    shares = []
    for _ in range(11):
        rule.goes_on(1.0, lambda most: 0.0)
        shares.append(round(rule.delta, 6))
    assert rule.average == 1.0
    # at the third score, and two at the fifth, and at the tenth
    assert shares == [1, 1, 0.9, 0.9] + [0.504] * 5 + [round(0.504 * 0.6, 6)] * 2
