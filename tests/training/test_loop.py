"""The loop's calendar with made-up steps and scores, and one step of training by hand."""

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nasir.data.patches import PatchSampler
from nasir.training import loop
from nasir.training.loop import STOPPED, Descent, History, descend, draw_batch
from nasir.training.parallel import Team, alone

CPU = torch.device("cpu")
BUDGET = SimpleNamespace(
    val_period=4,
    log_period=3,
    checkpoint_period=5,
    batch=4,
    lr_max=0.5,
    lr_min=0.1,
    clip_norm=1e9,
    clip_usual=0.0,
    epoch=1,
    noise="float",
    ssim_weight=0.0,
)


@dataclasses.dataclass
class Course:
    """What a run did, in order."""

    advanced: list[int]
    scored: list[int]
    logged: dict[int, dict[str, float]]
    saved: list[int]
    history: History


def run(
    steps: int,
    start: int = 0,
    stop: int | None = None,
    team: Team | None = None,
    describe: Callable[[], dict[str, float]] = dict,
) -> Course:
    """A run whose step gives its number as loss, whose score is the same in tenths, and which may be stopped by a score."""
    course = Course(advanced=[], scored=[], logged={}, saved=[], history=[])

    def advance(step: int) -> dict[str, float]:
        course.advanced.append(step)
        return {"loss": float(step)}

    def score(step: int) -> dict[str, float]:
        course.scored.append(step)
        return {"score": step / 10} | ({STOPPED: float(step)} if step == stop else {})

    loop.run(
        start=start,
        steps=steps,
        budget=BUDGET,
        advance=advance,
        score=score,
        describe=describe,
        history=course.history,
        state=lambda step: {"step": step},
        save=lambda state: course.saved.append(state["step"]),
        log=lambda step, news: course.logged.update({step: news}),
        team=team or alone(CPU),
    )
    return course


def test_scores_news_and_checkpoints_come_at_their_periods_and_at_the_end():
    # scores every 4 steps, news every 3 and with each score, checkpoints every 5; all three after the last step
    course = run(11)
    assert course.advanced == [*range(1, 12)]
    assert course.scored == [4, 8, 11]
    assert list(course.logged) == [3, 4, 6, 8, 9, 11]
    assert course.saved == [5, 10, 11]


def test_a_step_at_which_all_fall_due_does_each_once():
    course = run(60)
    assert course.scored[-2:] == [56, 60]
    assert list(course.logged)[-2:] == [57, 60]
    assert course.saved == [*range(5, 61, 5)]


def test_news_hold_the_step_the_score_and_the_description_in_this_order():
    course = run(4, describe=lambda: {"entropy": 0.5})
    assert course.logged == {
        3: {"loss": 3.0, "entropy": 0.5},
        4: {"loss": 4.0, "score": 0.4, "entropy": 0.5},
    }
    assert course.history == [
        (3, "loss", 3.0), (3, "entropy", 0.5), (4, "loss", 4.0), (4, "score", 0.4), (4, "entropy", 0.5),
    ]  # fmt: skip


def test_a_run_goes_on_behind_the_steps_that_are_done():
    whole, rest = run(11), run(11, start=5)
    assert rest.advanced == [6, 7, 8, 9, 10, 11]
    assert rest.saved == [10, 11]
    assert rest.history == [row for row in whole.history if row[0] > 5]
    assert run(11, start=11) == Course(advanced=[], scored=[], logged={}, saved=[], history=[])


def test_a_score_that_says_so_ends_the_run_with_a_checkpoint():
    course = run(11, stop=8)
    assert course.advanced == [*range(1, 9)]
    assert course.scored == [4, 8]
    assert course.logged[8] == {"loss": 8.0, "score": 0.8, "stopped_at": 8.0}
    assert course.saved == [5, 8]


def test_a_request_to_end_brings_a_checkpoint_behind_the_step_that_was_under_way(monkeypatch):
    saved = []
    monkeypatch.setattr(loop.stopping, "is_asked", lambda: len(saved) == 1)
    saved += run(5).saved  # at 5, as always
    assert run(7).saved == [1, 2, 3, 4, 5, 6, 7]  # a saver that does not end the process is asked again


def test_another_process_than_the_first_keeps_the_history_and_tells_nothing():
    course, first = run(11, team=Team(rank=1, size=2, device=CPU)), run(11)
    assert (course.logged, course.saved) == ({}, [])
    assert (course.advanced, course.scored, course.history) == (first.advanced, first.scored, first.history)


def test_a_step_down_two_gradients_is_clipped_by_their_common_norm():
    # slopes 3 and 4 have the norm 5, clipped to 1: 0.6 and 0.8; at the rate 0.5 from 1 each: 0.7 and 0.6
    weights = [nn.Parameter(torch.tensor([1.0])) for _ in range(3)]
    slopes = [torch.tensor([3.0]), torch.tensor([4.0]), None]
    descend(torch.optim.SGD(weights, lr=0.5), weights, slopes, clip_norm=1.0)
    assert [weight.item() for weight in weights] == pytest.approx([0.7, 0.6, 1.0], rel=1e-5)
    assert all(weight.grad is None for weight in weights)


def test_the_rate_stays_the_same_through_an_epoch():
    weight = nn.Parameter(torch.zeros(1))
    told = []
    for epoch in (1, 3):
        budget = SimpleNamespace(**vars(BUDGET) | {"epoch": epoch})
        descent = Descent(
            network=nn.Identity(), weights=[weight], optimiser=torch.optim.SGD([weight], lr=1.0), patches=sampler(), sigmas=0.0,
            budget=budget, steps=6, parts=1, generator=torch.Generator(), team=alone(CPU), section="search",
        )  # fmt: skip
        told.append([descent.anneal(step) for step in range(1, 7)])
    assert told[1] == [told[0][0]] * 3 + [told[0][3]] * 3


def test_a_gradient_is_clipped_to_some_times_the_usual_norm_which_the_optimiser_keeps():
    weight = nn.Parameter(torch.tensor([0.0]))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    for slope in (4.0, 2.0, 100.0):
        descend(optimiser, [weight], [torch.tensor([slope])], clip_usual=2.0)
    usual = 4.0 + (2.0 - 4.0) / 100
    assert weight.item() == pytest.approx(-(4.0 + 2.0 + 2 * usual), rel=1e-5)  # the third is clipped

    again = torch.optim.SGD([weight], lr=1.0)
    again.load_state_dict(optimiser.state_dict())
    descend(again, [weight], [torch.tensor([1000.0])], clip_norm=3.0, clip_usual=2.0)
    assert weight.item() == pytest.approx(-(4.0 + 2.0 + 2 * usual + 3.0), rel=1e-5)  # the lower of the two limits
    assert again.param_groups[0]["usual_norm"] > usual


def sampler(side: int = 8, patch: int = 4) -> PatchSampler:
    picture = np.full((side, side), 51, dtype=np.uint8)  # 51/255 = 0.2
    return PatchSampler({"grey": picture}, patch, CPU)


def test_noise_may_be_clipped_and_cut_to_whole_levels():
    def noisy(noise: str) -> torch.Tensor:
        return draw_batch(sampler(), 50.0, 8, torch.Generator().manual_seed(3), alone(CPU), noise=noise)[0]

    # of the same draws: what lies below the next whole level becomes the level below
    torch.testing.assert_close(noisy("truncated8") * 255, (noisy("float").clamp(0, 1) * 255).floor(), atol=1e-3, rtol=0)
    assert noisy("float").min() < 0 or noisy("float").max() > 1


def test_one_level_is_the_noise_of_all_patches_and_of_several_each_patch_draws_one():
    # 200 patches of 144 pixels of noise 51/255 = 0.2: their deviations lie within 5 * 0.2 / sqrt(2 * 144) of it
    patches, generator = sampler(12, 12), torch.Generator().manual_seed(0)

    def deviations(sigmas: float | tuple[float, ...]) -> torch.Tensor:
        noisy, clean = draw_batch(patches, sigmas, 200, generator, alone(CPU))
        assert torch.equal(clean, torch.full((200, 1, 12, 12), 0.2))
        return (noisy - clean).flatten(1).std(dim=1)

    assert ((deviations(51.0) - 0.2).abs() < 5 * 0.2 / math.sqrt(288)).all()
    several = deviations((0.0, 51.0))
    assert ((several == 0) | ((several - 0.2).abs() < 5 * 0.2 / math.sqrt(288))).all()
    assert abs((several == 0).sum().item() - 100) < 5 * math.sqrt(200 / 4)  # a coin for each


def test_two_processes_batches_together_are_that_of_one():
    def draw(rank: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        return draw_batch(sampler(), (30.0, 70.0), 8, generator, Team(rank=rank, size=size, device=CPU), parts=2)

    for whole, first, second in zip(draw(0, 1), draw(0, 2), draw(1, 2), strict=True):
        # two parts of four patches, each cut in two
        assert torch.equal(torch.cat([first[:2], second[:2], first[2:], second[2:]]), whole)


class Scale(nn.Module):
    """x -> w x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x


def make_descent(network: nn.Module, of: str = "") -> Descent:
    weights = list(network.parameters())
    return Descent(
        network=network,
        weights=weights,
        optimiser=torch.optim.SGD(weights, lr=9.0),
        patches=sampler(),
        sigmas=0.0,
        budget=BUDGET,
        steps=2,
        parts=1,
        generator=torch.Generator().manual_seed(0),
        team=alone(CPU),
        section="retrain",
        of=of,
    )


def test_a_step_of_training_by_hand():
    # without noise and SSIM the loss is (w - 1)^2 0.04; its slope is 0.08 (w - 1). The rate falls from 0.5 over the middle,
    # 0.3, so w - 1 goes 1 -> 1 - 0.5 * 0.08 = 0.96 -> 0.96 (1 - 0.3 * 0.08)
    network = Scale()
    descent = make_descent(network)
    first, second = (descent.advance(step) for step in (1, 2))
    assert first == {"learning_rate": pytest.approx(0.5), "train_loss": pytest.approx(0.04)}
    assert second == {"learning_rate": pytest.approx(0.3), "train_loss": pytest.approx(0.04 * 0.96**2)}
    assert network.weight.item() == pytest.approx(1 + 0.96 * 0.976)


@pytest.mark.parametrize(("of", "place"), [("", "retrain step 2"), ("candidate 7", "step 2 of candidate 7")])
def test_a_loss_that_is_not_finite_names_the_step_of_what_is_trained(of, place):
    network = Scale()
    network.weight.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=rf"got nan at {place}; lower retrain\.lr_max"):
        make_descent(network, of).advance(2)
    assert network.weight.grad is None
