"""Training, one step and the loop around it: of a supernet's weights, of candidates, and of a network from scratch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasir import stopping
from nasir.config.training import REWOUND, Budget
from nasir.data.noise import add_noise, stored
from nasir.data.patches import PatchSampler
from nasir.files import Log
from nasir.training.gradients import finite, forward_in_parts, gradients
from nasir.training.losses import restoration_loss
from nasir.training.parallel import Team
from nasir.training.safety.guard import Guard, is_finite, require_finite
from nasir.training.schedule import anneal

Batch = tuple[Tensor, Tensor]
"""Noisy and clean patches, each of shape (batch, C, patch, patch)."""

History = list[tuple[int, str, float]]
"""Step, metric and value, in the order in which they came."""

USUAL = 100
"""Steps over which the usual norm of a gradient is a mean."""

STOPPED = "stopped_at"
"""The metric of a score that ends the training at its step."""


def draw_batch(
    patches: PatchSampler,
    sigmas: float | Sequence[float],
    size: int,
    generator: torch.Generator,
    team: Team,
    parts: int = 1,
    noise: str = "float",
) -> Batch:
    """This process's part of a fresh batch of `size` patches.

    Args:
        patches: where they come from.
        sigmas: the noise level of all, 8-bit grey levels; or levels of which each patch has one, all equally likely.
        size: patches of all processes together.
        generator: the only source of randomness.
        team: the processes.
        parts: that the batch will be worked off in.
        noise: of the noisy images, as `nasir.data.noise.stored` takes it.
    """
    clean, degraded = patches.draw_pairs(size, generator)
    sigma: Tensor | float
    if isinstance(sigmas, Sequence):
        levels = torch.tensor(sigmas)
        sigma = levels[torch.randint(len(levels), (size,), generator=generator)]
    else:
        sigma = sigmas
    noisy = stored(add_noise(degraded, sigma, generator), noise)
    return team.shard(noisy, parts), team.shard(clean, parts)


def batch_loss(network: nn.Module, batch: Batch, ssim_weight: float, team: Team, parts: int = 1) -> Tensor:
    """The loss on the batch of all processes, worked off in `parts` (`nasir.training.gradients.forward_in_parts`)."""
    noisy, clean = batch
    with team.autocast():
        restored = forward_in_parts(network, noisy, parts)
    return restoration_loss(restored.to(clean.dtype), clean, ssim_weight, team.mean)


def descend(
    optimiser: Optimizer,
    parameters: Sequence[nn.Parameter],
    slopes: Sequence[Tensor | None],
    clip_norm: float = math.inf,
    clip_usual: float = 0.0,
) -> None:
    """One step of an optimiser down the gradients `slopes`, their common norm clipped.

    Args:
        optimiser: its first group keeps the usual norm, with which a checkpoint has it.
        parameters, slopes: what is moved, and its gradients.
        clip_norm: the highest norm.
        clip_usual: the norm is clipped to so many times the usual one, too, the running mean of the clipped norms over about a
            hundred steps (in place of the percentile of AutoClip, Seetharaman et al., MLSP 2020): what is usual depends on
            noise, space and stage of the training. 0 = not.
    """
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = slope
    first = optimiser.param_groups[0]
    usual = first.get("usual_norm")
    limit = clip_norm if usual is None or clip_usual == 0 else min(clip_norm, clip_usual * usual)
    if math.isfinite(limit) or clip_usual > 0:
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        if clip_usual > 0:
            now = min(norm.item(), limit)
            first["usual_norm"] = now if usual is None else usual + (now - usual) / USUAL
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Steps of weights down the loss on fresh batches, under a cosine learning rate."""

    network: nn.Module
    weights: Sequence[nn.Parameter]
    optimiser: Optimizer
    patches: PatchSampler
    sigmas: float | Sequence[float]  # see `draw_batch`
    budget: Budget
    steps: int  # of the cosine
    parts: int  # see `batch_loss`
    generator: torch.Generator
    team: Team
    section: str  # of the profile, for messages
    of: str = ""  # what is trained, for messages, where several are
    warmup_steps: int = 0  # over which the learning rate rises
    lr_max: float | None = None  # in place of the budget's
    lr_min: float | None = None
    guard: Guard = field(default_factory=Guard)  # which slows down

    def anneal(self, step: int) -> float:
        """Set the learning rate of a step, counted from 1, and give it: that of the first step of its epoch."""
        lr_max = self.budget.lr_max if self.lr_max is None else self.lr_max
        lr_min = self.budget.lr_min if self.lr_min is None else self.lr_min
        first = (step - 1) // self.budget.epoch * self.budget.epoch
        factor = self.guard.factor
        return anneal(self.optimiser, first, self.steps, factor * lr_max, factor * lr_min, self.warmup_steps)

    def draw(self, patches: PatchSampler | None = None) -> Batch:
        """A fresh batch, of `patches` or of the weights' own."""
        source = self.patches if patches is None else patches
        return draw_batch(
            source, self.sigmas, self.budget.batch, self.generator, self.team, self.parts, self.budget.noise
        )

    def loss(self, batch: Batch) -> Tensor:
        """The loss on a batch."""
        return batch_loss(self.network, batch, self.budget.ssim_weight, self.team, self.parts)

    def where(self, step: int) -> str:
        """What a message calls a step."""
        return f"step {step} of {self.of}" if self.of else f"{self.section} step {step}"

    def descend(self, batch: Batch, step: int) -> float:
        """One step of the weights down the loss on a batch; gives the loss.

        Raises:
            FloatingPointError: if it is not finite; it names the step.
        """
        loss = self.loss(batch)
        value = finite(loss, self.where(step), self.section)
        self.follow(self.weights, gradients(loss, self.weights))
        return value

    def follow(self, weights: Sequence[nn.Parameter], slopes: Sequence[Tensor | None]) -> None:
        """One step of some of the weights down their gradients, clipped as the budget says."""
        descend(self.optimiser, weights, slopes, self.budget.clip_norm, self.budget.clip_usual)

    def advance(self, step: int) -> dict[str, float]:
        """One whole step on a fresh batch; gives `learning_rate` and `train_loss`."""
        return {"learning_rate": self.anneal(step), "train_loss": self.descend(self.draw(), step)}


def run(
    *,
    start: int,
    steps: int,
    budget: Budget,
    advance: Callable[[int], dict[str, float]],
    score: Callable[[int], dict[str, float]],
    describe: Callable[[], dict[str, float]] = dict,
    history: History,
    state: Callable[[int], dict[str, Any]],
    save: Callable[[dict[str, Any]], None],
    log: Log,
    team: Team,
    guard: Guard | None = None,
    restore: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Train from behind step `start` to `steps`, or to a score that says `stopped_at`.

    A step whose loss is not finite, or behind which weights are to be kept that are not, ends the training, or takes it back
    (`guard`).

    Args:
        start: steps that are done.
        steps: the last one.
        budget: its periods: a score every `val_period` steps and at the end, news every `log_period` and with each score,
            a checkpoint every `checkpoint_period`, at the end, when `guard` says so, and behind a step in which the end was
            requested (`nasir.stopping`).
        advance: does a step and gives its news.
        score: scores after a step, and gives more news.
        describe: what else is told with the news.
        history: gets the news.
        state: what a checkpoint behind a step holds.
        save: takes it.
        log: called with step and news, by the first process.
        team: the processes; the first one logs and saves. All of them have the same loss, so all go back together.
        guard: of this training; None: one that never goes back.
        restore: goes back to what `state` gave, all but the generator of batches; needed where `guard` goes back.

    Raises:
        FloatingPointError: if a loss is not finite, or weights are not; it names the step.
    """
    guard, step = guard or Guard(), start
    for good, name, failed in guard.rows():  # once more, as news of this process
        if team.is_first:
            log(good, {name: failed})
    guard.begin(partial(state, start))
    while step < steps:
        step += 1
        is_period = step % budget.checkpoint_period == 0
        try:
            news = advance(step)
            if is_period or step == steps:
                require_finite(state(step), step)
        except FloatingPointError as error:
            good_state = guard.back(error, step)
            assert restore is not None  # of whoever gave a guard that goes back
            restore(good_state)
            failed, step = guard.rewound[-1]
            history += [row for row in guard.rows() if row not in history]
            if team.is_first:
                team.say(
                    f"{str(error).partition(';')[0]}; back to step {step}, learning rates are {guard.factor:g} times theirs"
                )
                log(step, {REWOUND: float(failed)})
                _save(step, state, save, guard)
            continue
        is_scored = step % budget.val_period == 0 or step == steps
        if is_scored:
            news |= score(step)
        is_last = step == steps or STOPPED in news
        if step % budget.log_period == 0 or is_scored:
            news |= describe()
            history += [(step, name, value) for name, value in news.items()]
            if team.is_first:
                log(step, news)
        if is_period:
            guard.keep(partial(state, step))
        if team.is_first and (is_period or is_last or stopping.is_asked() or guard.is_due()):
            _save(step, state, save, guard)
        if is_last:
            break
    guard.end()


def _save(
    step: int, state: Callable[[int], dict[str, Any]], save: Callable[[dict[str, Any]], None], guard: Guard
) -> None:
    """Write a checkpoint; of weights that are not finite none, the next loss will tell."""
    content = state(step)
    if is_finite(content):
        save(content | guard.state(step))
        guard.saved()
