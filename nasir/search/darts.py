"""Differentiable search (DARTS, Liu et al., ICLR 2019) of a supernet.

IR-NAS, sections 3.3 and 4.1: the weights follow the loss on W by SGD; after a warm-up, alpha and beta follow the loss on A
by Adam, one update of each kind in turn; the supernet is scored on V at a set period and the best is kept. What may be
added to that: the architecture's gradient through one step of the weights (`unrolled`), a penalty on the expected size
(`complexity`), an early end (`stopping`). What is watched at each score: `monitor`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasir.config import SearchConfig
from nasir.data.collection import Sample, channels_of
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import flops_per_pixel
from nasir.files import Log
from nasir.genotype import OPERATIONS
from nasir.search.complexity import SEPARABLE, operation_costs, relative_cost
from nasir.search.gradients import finite, forward_in_parts, gradients
from nasir.search.monitor import architecture_facts
from nasir.search.record import Record, judge
from nasir.search.unrolled import unrolled_gradients
from nasir.spaces.operations import Style
from nasir.training.losses import restoration_loss
from nasir.training.parallel import Team, alone
from nasir.training.schedule import anneal


class Relaxed(Protocol):
    """What the search asks of a supernet besides being a module."""

    alpha: nn.Parameter
    beta: nn.Parameter

    def weights(self) -> list[nn.Parameter]: ...
    def architecture(self) -> list[nn.Parameter]: ...


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search ends with: the best network by its score on V."""

    step: int  # of the history, at which it was scored
    alpha: Tensor
    beta: Tensor
    weights: dict[str, Tensor]  # of the supernet, alpha and beta among them
    scores: dict[str, float]
    spent_flops: float  # of the whole search, see `spent_flops`
    history: list[tuple[int, str, float]]
    stopped_at: int | None = None  # the step at which `config.early_stop` ended the search; None: it went to its end


def search(
    supernet: Any,
    *,
    space: str,
    patches_w: PatchSampler,
    patches_a: PatchSampler,
    images_v: Mapping[str, Sample],
    config: SearchConfig,
    seed: int,
    state: dict[str, Any] | None,
    save: Callable[[dict[str, Any]], None],
    log: Log,
    team: Team | None = None,
) -> Found:
    """Search.

    Args:
        supernet: an `nn.Module` that is also `Relaxed`; changed in place.
        space: its name, to find `skip` and `none` among alpha's columns.
        patches_w, patches_a: where the batches of W and of A come from.
        images_v: V, name -> clean image, shape (C, H, W), or pair of them.
        config: lengths, rates and weights.
        seed: of the patches and of V's keyed noise.
        state: what an earlier call gave to `save`, to carry on from there; None to start.
        save: called with a checkpoint's content every `config.checkpoint_period` steps.
        log: called every `config.log_period` steps.
        team: the processes that share each batch of `config.batch`; None for this one alone. The first one saves and logs.

    Returns:
        The best supernet among the scores from step `config.keep_from` on; the last one if the search ended before. With
        every score on V the history has `spent_flops`, `best_score`, the best of all scores so far, those before
        `keep_from` included, and what `nasir.search.monitor.watch` gives; at an early end also `stopped_at`.

    Raises:
        FloatingPointError: if a loss is not finite; it names the step.
    """
    team = team or alone(supernet.alpha.device)
    on_weights, on_architecture = optimisers(supernet, config)
    generator = torch.Generator().manual_seed(seed)
    cost = flops_per_pixel(supernet, channels_of(images_v), config.patch)
    channels = [int(config.width * factor) for factor in config.width_factors]
    style = Style(activation=config.activation, separable=SEPARABLE[space])
    costs = operation_costs(OPERATIONS[space], channels, style, config.complexity_of)
    record, start = Record(history=[], best=None, ranked=None), 0
    if state is not None:
        record, start = restore(state, supernet, on_weights, on_architecture, generator), state["step"]
    team.align(supernet, start)

    supernet.train()
    for step in range(start + 1, (record.stopped_at or config.steps) + 1):
        news = {"learning_rate": anneal(on_weights, step - 1, config.steps, config.lr_max, config.lr_min)}
        where = f"search step {step}"

        batch_a = draw_batch(patches_a, config, generator, team) if step > config.warmup_steps else None
        batch_w = draw_batch(patches_w, config, generator, team)
        if batch_a is not None:
            val_loss, slopes = architecture_gradients(supernet, batch_a, batch_w, config, costs, on_weights, team)
            news["val_loss"] = finite(val_loss, where)
            descend(on_architecture, supernet.architecture(), slopes)
        train_loss = batch_loss(supernet, batch_w, config, team)
        news["train_loss"] = update(train_loss, on_weights, supernet.weights(), where, config.clip_norm)

        is_scored = step % config.val_period == 0 or step == config.steps
        if is_scored:
            news |= judge(supernet, record, step, images_v, config, space, seed, team)
            news["spent_flops"] = spent_flops(step, config, cost)
        is_last = step == config.steps or "stopped_at" in news
        if step % config.log_period == 0 or is_scored:
            news |= architecture_facts(supernet.alpha, supernet.beta, space, config.beta_norm)
            news["relative_cost"] = relative_cost(supernet.alpha.detach(), supernet.beta.detach(), costs).item()
            record.history += [(step, name, value) for name, value in news.items()]
            if team.is_first:
                log(step, news)
        if team.is_first and (step % config.checkpoint_period == 0 or is_last):
            save(checkpoint(step, supernet, on_weights, on_architecture, generator, record))
        if is_last:
            break
    assert record.best is not None  # the last step is always scored, and keep_from <= steps
    return Found(
        step=record.best["step"],
        alpha=record.best["supernet"]["alpha"],
        beta=record.best["supernet"]["beta"],
        weights=record.best["supernet"],
        scores=record.best["scores"],
        spent_flops=record.values("spent_flops")[-1],
        history=record.history,
        stopped_at=record.stopped_at,
    )


def optimisers(supernet: Relaxed, config: SearchConfig) -> tuple[Optimizer, Optimizer]:
    """SGD for the weights, Adam for alpha and beta."""
    return (
        torch.optim.SGD(
            supernet.weights(), lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay
        ),
        torch.optim.Adam(
            supernet.architecture(), lr=config.architecture_lr, weight_decay=config.architecture_weight_decay
        ),
    )


def checkpoint(
    step: int,
    supernet: nn.Module,
    on_weights: Optimizer,
    on_architecture: Optimizer,
    generator: torch.Generator,
    record: Record,
) -> dict[str, Any]:
    """All that the search needs to carry on behind `step`."""
    return {
        "step": step,
        "supernet": supernet.state_dict(),
        "weight_optimiser": on_weights.state_dict(),
        "architecture_optimiser": on_architecture.state_dict(),
        "generator": generator.get_state(),
        "history": record.history,
        "best": record.best,
        "ranked": record.ranked,
    }


def restore(
    state: dict[str, Any],
    supernet: nn.Module,
    on_weights: Optimizer,
    on_architecture: Optimizer,
    generator: torch.Generator,
) -> Record:
    """The inverse of `checkpoint`: fills what it is given and returns the record."""
    supernet.load_state_dict(state["supernet"])
    on_weights.load_state_dict(state["weight_optimiser"])
    on_architecture.load_state_dict(state["architecture_optimiser"])
    generator.set_state(state["generator"])
    history = [tuple(row) for row in state["history"]]
    return Record(history=history, best=state["best"], ranked=state["ranked"])


def spent_flops(step: int, config: SearchConfig, cost: float) -> float:
    """Floating-point operations of training up to `step`: passes * batch * patch^2 * cost.

    Counted are the forward passes of the supernet: one for each update of the weights, and for each of the architecture
    one, or four at `config.order` 2. Backward passes, with what they compute again, and scoring on V are not counted.

    Args:
        step: updates of the weights so far.
        config: its `warmup_steps` have no update of the architecture.
        cost: of the supernet, operations per pixel (`nasir.evaluation.cost.flops_per_pixel`).
    """
    passes = step + (1 if config.order == 1 else 4) * max(0, step - config.warmup_steps)
    return passes * config.batch * config.patch**2 * cost


Batch = tuple[Tensor, Tensor]
"""Noisy and clean patches, each of shape (batch, C, patch, patch)."""


def draw_batch(patches: PatchSampler, config: SearchConfig, generator: torch.Generator, team: Team) -> Batch:
    """This process's part of a fresh batch; each patch has one of `config.sigmas`, all equally likely."""
    clean, degraded = patches.draw_pairs(config.batch, generator)
    sigmas = torch.tensor(config.sigmas)
    drawn = sigmas[torch.randint(len(sigmas), (config.batch,), generator=generator)]
    noisy = add_noise(degraded, drawn, generator)
    return team.shard(noisy, config.accumulate), team.shard(clean, config.accumulate)


def batch_loss(network: nn.Module, batch: Batch, config: SearchConfig, team: Team) -> Tensor:
    """The loss on the batch of all processes, worked off in `config.accumulate` parts (`forward_in_parts`)."""
    noisy, clean = batch
    with team.autocast():
        restored = forward_in_parts(network, noisy, config.accumulate)
    return restoration_loss(restored.to(clean.dtype), clean, config.ssim_weight, team.mean)


def draw_loss(
    network: nn.Module, patches: PatchSampler, config: SearchConfig, generator: torch.Generator, team: Team
) -> Tensor:
    """`batch_loss` on a fresh batch."""
    return batch_loss(network, draw_batch(patches, config, generator, team), config, team)


def architecture_gradients(
    supernet: Any,
    batch_a: Batch,
    batch_w: Batch,
    config: SearchConfig,
    costs: Tensor,
    on_weights: Optimizer,
    team: Team,
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """The architecture's loss on `batch_a`, and its gradient for alpha and beta.

    The loss is that of the weights plus `config.complexity` times `relative_cost`. At order 2 it is the loss at the
    weights one step ahead on `batch_w`, the batch that the weights follow next; running statistics are put back. At
    order 1 they move, as with every pass in training mode.
    """

    def val_loss() -> Tensor:
        loss = batch_loss(supernet, batch_a, config, team)
        if config.complexity == 0:
            return loss
        # the mean of equal numbers, so that the processes' gradients add up to that of one
        return loss + config.complexity * team.mean(relative_cost(supernet.alpha, supernet.beta, costs))

    if config.order == 1:
        loss = val_loss()
        return loss.detach(), gradients(loss, supernet.architecture())
    return unrolled_gradients(
        lambda: batch_loss(supernet, batch_w, config, team),
        val_loss,
        supernet.weights(),
        supernet.architecture(),
        on_weights,
        supernet.buffers(),
    )


def update(
    loss: Tensor,
    optimiser: Optimizer,
    parameters: Sequence[nn.Parameter],
    where: str,
    clip_norm: float = math.inf,
) -> float:
    """One step of `parameters` alone down `loss`; gives the loss, or names `where` it was not finite."""
    value = finite(loss, where)
    descend(optimiser, parameters, gradients(loss, parameters), clip_norm)
    return value


def descend(
    optimiser: Optimizer,
    parameters: Sequence[nn.Parameter],
    slopes: Sequence[Tensor | None],
    clip_norm: float = math.inf,
) -> None:
    """One step of an optimiser down the gradients `slopes`, their common norm clipped."""
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = slope
    if math.isfinite(clip_norm):
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
