"""The reward, the rule for ending poor candidates early, the baseline and the running means, each written out by hand."""

import dataclasses
import itertools
import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nasir.search import rl
from nasir.search.policy.stopping import Stopping
from nasir.search.sampling import alone
from nasir.training.averaging import Average
from tests.search.policy.test_assistance import candidate, ignore
from tests.search.policy.test_assistance import problem as assisted
from tests.search.test_rl import run


@pytest.mark.parametrize(
    ("psnr_db", "ssim", "price", "expected"),
    [
        (23.0, 0.48, 0.0, 0.6),  # three quarters of the way from 20 to 24: sqrt(0.75 * 0.48)
        (23.0, 0.48, 0.5, 0.5),  # less 0.5 * 20,000 / 100,000
        (30.0, 0.5, 0.0, 1.0),  # above 24 by more than the way there counts as twice it: sqrt(2 * 0.5)
        (19.0, 0.9, 0.25, -0.05),  # below 20 there is the price alone
        (23.0, -0.1, 0.0, 0.0),
        (None, None, 0.5, 0.0),  # a failure, whatever its size
    ],
)
def test_a_reward_is_the_root_of_place_and_ssim_less_the_price(psnr_db, ssim, price, expected):
    course: Any = SimpleNamespace(problem=SimpleNamespace(of_strategy=SimpleNamespace(price=price)))
    scores = {"failure": "not finite"} if psnr_db is None else {"psnr_db": psnr_db, "ssim": ssim}
    found = rl._Course.reward(course, scores | {"parameters": 20_000}, 20.0, 24.0)
    assert found == pytest.approx(expected, abs=1e-12)


FACTORS = {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.6}


@pytest.mark.parametrize(
    ("average", "shares", "expected"),
    [
        # m = 0.5 * 1 + 0.5 * 0.8 = 0.9, r = 0.8: on while 0.8 > 0.9 (1 - u), u > 1/9, of a u = share * 0.8
        (1.0, [0.13], [False]),
        (1.0, [0.15], [True]),
        (None, [0.0], [False]),  # the first score is its own average, which it is not above
        (None, [0.001], [True]),
    ],
)
def test_a_score_goes_on_above_the_average_less_a_drawn_share(average, shares, expected):
    rule = Stopping(decay=0.5, average=average, delta=0.8, milestones=(50, 60, 70, 80))
    assert [rule.goes_on(0.8, lambda most, share=share: share * most) for share in shares] == expected


@pytest.mark.parametrize("is_compat", [False, True])
@pytest.mark.parametrize("start", [0.3, None])
def test_each_score_of_a_sequence_is_decided_as_the_rule_says(is_compat, start):
    numbers = random.Random(0)
    milestones = (5, 12, 13, 40)
    rule = Stopping(decay=0.9, average=start, delta=0.9, milestones=milestones, is_compat=is_compat)
    average, delta, counter, used, seen = start, 0.9, 0, set(), []
    for _ in range(80):
        score, share = numbers.uniform(0.2, 1.0), numbers.random()
        asked: list[float] = []

        def draw(most: float, asked: list[float] = asked, share: float = share) -> float:
            asked.append(most)
            return most * share

        found = rule.goes_on(score, draw)

        for number, milestone in enumerate(milestones):
            is_there = counter == milestone if is_compat else counter >= milestone and number not in used
            if is_there:
                delta *= FACTORS[number]
                used.add(number)
        counter += 1
        average = score if average is None else 0.9 * average + 0.1 * score
        if score > average:
            expected = True
            counter += 1 if is_compat else 0
            assert asked == []
        else:
            expected = score > average * (1 - share * delta)
            assert asked == pytest.approx([delta])
        assert found is expected
        assert (rule.average, rule.delta, rule.counter) == pytest.approx((average, delta, counter))
        seen.append((expected, score > average))
    assert set(seen) == {(True, True), (True, False), (False, False)}
    assert (len(used) < 4) is is_compat  # the authors' counter jumps over some


def test_a_search_stops_rewards_and_learns_candidate_by_candidate_as_by_hand(monkeypatch):
    numbers, shares = random.Random(5), []

    class Heard(Stopping):
        def goes_on(self, score, draw):
            shares.append(None)  # of a candidate above the average no share is drawn

            def heard(most):
                shares[-1] = draw(most)
                return shares[-1]

            return super().goes_on(score, heard)

    monkeypatch.setattr(rl, "Stopping", Heard)
    monkeypatch.setattr(
        alone, "validate",
        lambda *given, **named: {"psnr_db": numbers.uniform(20, 24), "ssim": numbers.uniform(0.4, 0.9), "score": 0.0},
    )  # fmt: skip
    found = run(candidates=16, first=4, stop="below_average", stop_decay=0.8, price=0.5, baseline_decay=0.7)

    firsts = [one["first_psnr_db"] for one in found.candidates[:4]]
    low, high = min(firsts), max(firsts)
    average = sum((one - low) / (high - low) for one in firsts) / 4
    delta, passed, seen = 0.9, 0, set()
    for number, one in enumerate(found.candidates[4:], start=5):
        while passed < 4 and number - 1 >= int(16 / 4 * (passed + 1)):
            delta *= FACTORS[passed]
            passed += 1
        place = min(2.0, max(0.0, (one["first_psnr_db"] - low) / (high - low)))
        average = 0.8 * average + 0.2 * place
        share = shares[number - 5]
        assert (share is None) is (place > average) and (share or 0.0) <= delta
        assert one["is_stopped"] is not (place > average or place > average * (1 - share))
        assert (one["psnr_db"] == one["first_psnr_db"]) is one["is_stopped"]
        seen.add((place > average, one["is_stopped"]))
    assert seen == {(True, False), (False, False), (False, True)}
    assert not any(one["is_stopped"] for one in found.candidates[:4])

    lasts = [one["psnr_db"] for one in found.candidates[:4]]
    low, high = min(lasts), max(lasts)
    rewards, baseline, baselines = [], None, []
    for one in found.candidates:
        place = min(2.0, max(0.0, (one["psnr_db"] - low) / (high - low)))
        rewards.append((place * one["ssim"]) ** 0.5 - 0.5 * one["parameters"] / 100_000)
        baseline = rewards[0] if baseline is None else 0.7 * baseline + 0.3 * rewards[-1]
        baselines.append(baseline)
    assert [one["reward"] for one in found.candidates] == pytest.approx(rewards)
    told = [value for _, name, value in found.history if name == "baseline"]
    assert told == pytest.approx(baselines[3:])  # the first ones are learnt from together


def numbers_of(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("decay", [0.9, 0.99])
@pytest.mark.parametrize("is_compat", [False, True])
def test_a_running_mean_is_its_recursion_by_hand(decay, is_compat):
    network = torch.nn.Linear(1, 3, bias=False).double()
    start, *walk = numbers_of(101)
    network.weight.data[:, 0] = start
    mean = Average(network, decay, is_compat=is_compat)
    expected = start.tolist() if is_compat else [0.0] * 3  # the authors' begins with the first weights
    for done, weights in enumerate(walk):
        network.weight.data[:, 0] = weights
        mean.follow()
        kept = decay if is_compat else 0.0 if done == 0 else min(decay, (1 + done) / (10 + done))
        expected = [kept * old + (1 - kept) * new for old, new in zip(expected, weights.tolist(), strict=True)]
        assert mean.network.weight[:, 0].tolist() == pytest.approx(expected)
    assert (1 + done) / (10 + done) > 0.9  # so that a decay of 0.9 holds in the end


def test_a_candidate_ends_a_training_as_the_running_mean_of_its_steps(monkeypatch):
    given = assisted(average=0.15, more_average=0.5, auxiliary=0.3)
    of_space = dataclasses.replace(given.of_space, norm="batch")  # running statistics are averaged, too
    given = dataclasses.replace(given, of_space=of_space)
    assistance, joined = candidate(given)
    states, follow = [], Average.follow

    def record(self: Average) -> None:
        states.append({name: value.clone() for name, value in self._network.state_dict().items()})
        follow(self)

    monkeypatch.setattr(Average, "follow", record)
    for stage, decay in enumerate((0.15, 0.5)):
        states.clear()
        assistance.train(joined, 5, "one", 0.003, stage, ignore)
        expected = dict(states[0])
        for done, state in enumerate(itertools.islice(states, 1, None), start=1):
            kept = min(decay, (1 + done) / (10 + done))
            for name, value in state.items():
                is_number = value.is_floating_point()
                expected[name] = kept * expected[name] + (1 - kept) * value if is_number else value
        assert len(states) == 5
        for name, value in joined.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6, msg=name)
        assert any(name.endswith("running_var") for name in expected)
        assert any(not torch.allclose(value, states[-1][name]) for name, value in joined.named_parameters())
