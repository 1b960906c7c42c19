"""Differentiable search (DARTS, Liu et al., ICLR 2019) of a supernet.

IR-NAS, sections 3.3 and 4.1: the weights follow the loss on W by SGD; after a warm-up, the architecture follows the loss on
A by Adam, one update of each kind in turn; the supernet is scored on V at a set period and the best is kept. What may be
changed about that: AdamW in place of SGD, for short searches; the architecture's gradient through one step of the weights
(`gradient.unrolled`), a penalty on the expected size, an early end (`gradient.stopping`). What is watched at each score:
`gradient.watch`.

Against the collapse onto skip connections there is `beta_decay`, off by default: Beta-DARTS (Ye et al., CVPR 2022). The
architecture's loss has the mean logsumexp of the logits (`Relaxed.smoothness`), with a weight that rises linearly from 0 at the
end of the warm-up to this at the last step. Theirs rises with the epoch, in their code as 50 epoch / 100.

And one against the gap between supernet and derived network: `indecision`, the weight of the entropy of the choices' weights in
the architecture's loss (L_Arch of CLEARER, Gou et al., NeurIPS 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nasir.config.reading import require, require_between
from nasir.config.search import SearchConfig
from nasir.config.training import HIGHEST_RATE, MOST_STEPS, require_rates
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search import contract
from nasir.search.contract import Found, Problem
from nasir.search.gradient.control import control
from nasir.search.gradient.course import Course, judge
from nasir.search.gradient.unrolled import unrolled_gradients
from nasir.spaces.contract import Relaxed, part
from nasir.training import loop
from nasir.training.gradients import finite, gradients
from nasir.training.loop import Batch, Descent
from nasir.training.optimisers import KINDS, weights_optimiser
from nasir.training.safety.guard import Guard
from nasir.training.validation import validate

CHOICES = {
    "complexity_of": ("parameters", "flops"),
    "early_stop": ("none", "skip_count", "rank_stable", "val_plateau"),
    "optimiser": KINDS,
    "architecture_mode": ("train", "eval"),
    "architecture_data": ("a", "w"),
}
"""What keys of text may be."""

CURES = {
    "beta_decay": (0, "smoothness"),
    "indecision": (0, "indecision"),
}
"""The value of each option that does nothing, and the method of a supernet that any other value needs."""


@dataclass(frozen=True, kw_only=True)
class DartsSection:
    """What this strategy reads beside the search's section."""

    architecture_lr: float  # Adam on the architecture
    architecture_weight_decay: float
    architecture_beta1: float  # of its Adam
    architecture_mode: str  # train, eval: whose statistics its loss is taken with
    architecture_data: (
        str  # a, w: whose batches its loss is taken on; w is one level, alpha follows what the weights follow
    )
    indecision: float  # weight of `Relaxed.indecision` in its loss; 0 = none
    order: int  # of the architecture's gradient: 1, or 2 (through one step of the weights)
    complexity: float  # weight of the expected size in the architecture's loss; 0 = none
    complexity_of: str  # parameters or flops
    early_stop: str  # none, skip_count, rank_stable, val_plateau
    patience: int  # scores on V that rank_stable and val_plateau wait
    keep_from: int  # the best supernet is chosen among scores from this step on
    beta_decay: float  # weight of the logits' smoothness in the architecture's loss at the last step; 0 = none
    optimiser: str  # of the supernet's weights: sgd, adamw
    lr_max: float  # of adamw

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            require(
                getattr(self, name) in choices, f"strategy.{name} must be one of {list(choices)}", getattr(self, name)
            )
        require(self.order in (1, 2), "strategy.order must be 1 or 2", self.order)
        for name in ("complexity", "indecision", "beta_decay"):
            require(getattr(self, name) >= 0, f"strategy.{name} must be 0 or more", getattr(self, name))
        require_between(self, "strategy", ("patience",), 1, MOST_STEPS)
        require_between(self, "strategy", ("architecture_lr", "architecture_weight_decay"), 0, HIGHEST_RATE)
        require_rates(self, "strategy", ("lr_max",))
        require(
            0 <= self.architecture_beta1 < 1,
            "strategy.architecture_beta1 must be 0 or more and below 1",
            self.architecture_beta1,
        )
        require(
            self.architecture_mode == "train" or self.order == 1,
            "strategy.architecture_mode must be train where strategy.order is 2",
            self.architecture_mode,
        )
        require(
            self.order == 1 or self.optimiser == "sgd",
            "strategy.optimiser must be sgd where strategy.order is 2, whose gradient goes through a step of SGD",
            self.optimiser,
        )

    @property
    def adamw(self) -> float | None:
        """Highest rate of AdamW; None with SGD."""
        return self.lr_max if self.optimiser == "adamw" else None


class Darts(contract.Strategy):
    """This strategy as the search step sees it."""

    name = "darts"
    Section = DartsSection

    def count(self, section: DartsSection, config: SearchConfig) -> int:
        """Steps."""
        return config.steps

    def check(self, section: DartsSection, config: SearchConfig) -> None:
        require(
            config.warmup_steps <= section.keep_from <= config.steps,
            "strategy.keep_from must lie between search.warmup_steps (before it the architecture has not moved) and "
            f"search.steps ({config.warmup_steps} to {config.steps})",
            section.keep_from,
        )

    def search(self, problem: Problem) -> Found:
        """Search the space's supernet; see `search`."""
        space = problem.space
        relax = getattr(part(space.searching), "relax", None)
        if relax is None:
            raise ValueError(
                f"search.strategy darts needs a space with a supernet, got {space.name}, which has none; take random."
            )
        return search(relax(space.name, problem.of_space, problem.channels, problem.seed), problem)


STRATEGY = Darts()


def search(relaxed: Relaxed, problem: Problem) -> Found:
    """Search a supernet, on the device of the problem's team; it is changed in place.

    Returns:
        What the best supernet decodes to, among the scores from step `keep_from` on; the last one if the search ended
        before. With every score on V the history has `spent_flops`, `best_score`, the best of all scores so far, those
        before `keep_from` included, and what `nasir.search.gradient.watch` gives; at an early end also `stopped_at`.

    Raises:
        FloatingPointError: if a loss is not finite, and the problem's `safety` does not go back; it names the step.
        ValueError: if an option needs what this supernet does not have.
    """
    config, section, team = problem.config, problem.of_strategy, problem.team
    require_methods(relaxed, section)
    supernet = relaxed.network.to(team.device)
    on_weights, rates = weights_optimiser(relaxed.weights(), config, section.adamw, config.steps)
    on_architecture = architecture_optimiser(relaxed, section)
    generator = torch.Generator().manual_seed(problem.seed)
    cost = flops_per_pixel(supernet, problem.channels, config.patch)
    course, start, guard = Course(history=[], best=None, ranked=None), 0, Guard(problem.safety, problem.state)
    if problem.state is not None:
        course = restore(problem.state, relaxed, on_weights, on_architecture, generator)
        start = problem.state["step"]
    team.align(supernet, start)
    descent = Descent(
        network=supernet, weights=relaxed.weights(), optimiser=on_weights, patches=problem.patches_w,
        sigmas=config.sigmas, budget=config, steps=config.steps, parts=config.accumulate, generator=generator, team=team,
        section="search", guard=guard, **rates,
    )  # fmt: skip

    def rewind(state: dict[str, Any]) -> None:
        found = restore(state, relaxed, on_weights, on_architecture, torch.Generator())
        course.history[:], course.best, course.ranked = found.history, found.best, found.ranked
        for group in on_architecture.param_groups:
            group["lr"] = guard.factor * section.architecture_lr

    on_a = problem.patches_a if section.architecture_data == "a" else problem.patches_w

    def advance(step: int) -> dict[str, float]:
        news = {"learning_rate": descent.anneal(step)}
        batch_a = descent.draw(on_a) if step > config.warmup_steps else None
        batch_w = descent.draw()
        if batch_a is not None:
            decay = section.beta_decay * (step - config.warmup_steps) / (config.steps - config.warmup_steps)
            val_loss, slopes = architecture_gradients(relaxed, batch_a, batch_w, descent, section, decay)
            news["val_loss"] = finite(val_loss, descent.where(step), descent.section)
            loop.descend(on_architecture, relaxed.architecture(), slopes)
        return news | {"train_loss": descent.descend(batch_w, step)}

    def score(step: int) -> dict[str, float]:
        news = judge(
            relaxed, course, step, problem.images_v, config, rule=section.early_stop, patience=section.patience,
            keep_from=section.keep_from, seed=problem.seed, team=team,
        )  # fmt: skip
        return news | {"spent_flops": spent_flops(step, config, section.order, cost)}

    def describe() -> dict[str, float]:
        with torch.no_grad():
            return relaxed.facts() | {"relative_cost": relaxed.size(section.complexity_of).item()}

    supernet.train()
    loop.run(
        start=start, steps=course.stopped_at or config.steps, budget=config, advance=advance, score=score,
        describe=describe, history=course.history,
        state=lambda step: checkpoint(step, relaxed, on_weights, on_architecture, generator, course),
        save=problem.save, log=problem.log, team=team, guard=guard, restore=rewind,
    )  # fmt: skip
    assert course.best is not None  # the last step is always scored, and keep_from <= steps
    tensors, watched = course.best["supernet"], relaxed.facts()
    chance = control(
        relaxed,
        tensors,
        lambda: team.score(partial(validate, supernet, sigmas=config.sigmas, seed=problem.seed), problem.images_v)[
            "score"
        ],
        problem.seed,
    )
    return Found(
        genotype=relaxed.decode(tensors),
        runner_up=relaxed.runner_up(tensors),
        step=course.best["step"],
        scores=course.best["scores"],
        spent_flops=course.values("spent_flops")[-1],
        history=course.history,
        control=chance,
        tensors={"architecture": relaxed.evidence(tensors), "supernet": tensors},
        facts={"steps": course.stopped_at or config.steps, "parameters": parameters(supernet)}
        | {name: value for step, name, value in course.history if step == course.best["step"] and name in watched},
    )


def require_methods(relaxed: Relaxed, section: DartsSection) -> None:
    """Refuse an option whose method the supernet does not have.

    Raises:
        ValueError: it names the option and the method.
    """
    for option, (off, method) in CURES.items():
        value = getattr(section, option)
        require(
            value == off or hasattr(relaxed, method),
            f"strategy.{option} must be {off} with a supernet that has no method {method} ({type(relaxed).__name__})",
            value,
        )


def architecture_optimiser(relaxed: Relaxed, section: DartsSection) -> Optimizer:
    """Adam for the architecture."""
    return torch.optim.Adam(
        relaxed.architecture(), lr=section.architecture_lr, weight_decay=section.architecture_weight_decay,
        betas=(section.architecture_beta1, 0.999),
    )  # fmt: skip


def checkpoint(
    step: int,
    relaxed: Relaxed,
    on_weights: Optimizer,
    on_architecture: Optimizer,
    generator: torch.Generator,
    course: Course,
) -> dict[str, Any]:
    """All that the search needs to carry on behind `step`."""
    return {
        "step": step,
        "supernet": relaxed.network.state_dict(),
        "weight_optimiser": on_weights.state_dict(),
        "architecture_optimiser": on_architecture.state_dict(),
        "generator": generator.get_state(),
        "history": course.history,
        "best": course.best,
        "ranked": course.ranked,
    }


def restore(
    state: dict[str, Any],
    relaxed: Relaxed,
    on_weights: Optimizer,
    on_architecture: Optimizer,
    generator: torch.Generator,
) -> Course:
    """The inverse of `checkpoint`: fills what it is given and returns the course."""
    relaxed.network.load_state_dict(state["supernet"])
    on_weights.load_state_dict(state["weight_optimiser"])
    on_architecture.load_state_dict(state["architecture_optimiser"])
    generator.set_state(state["generator"])
    history = [tuple(row) for row in state["history"]]
    return Course(history=history, best=state["best"], ranked=state["ranked"])


def spent_flops(step: int, config: SearchConfig, order: int, cost: float) -> float:
    """Floating-point operations of training up to `step`: passes * batch * patch^2 * cost.

    Counted are the forward passes of the supernet: one for each update of the weights, and for each of the architecture
    one, or four at order 2. Backward passes, with what they compute again, and scoring on V are not counted.

    Args:
        step: updates of the weights so far.
        config: its `warmup_steps` have no update of the architecture.
        order: of the architecture's gradient.
        cost: of the supernet, operations per pixel (`nasir.layers.cost.flops_per_pixel`).
    """
    passes = step + (1 if order == 1 else 4) * max(0, step - config.warmup_steps)
    return passes * config.batch * config.patch**2 * cost


def architecture_gradients(
    relaxed: Relaxed, batch_a: Batch, batch_w: Batch, descent: Descent, section: DartsSection, decay: float
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """The architecture's loss on `batch_a`, and its gradient.

    The loss is that of the weights plus `section.complexity` times the expected size, `section.indecision` times the indecision
    and `decay` times the smoothness. At order 2 it is the loss at the weights one step ahead on `batch_w`, the batch that the
    weights follow next; running statistics are put back. At order 1 they move, as with every pass in training mode; with
    `architecture_mode: eval` they are read and stay.
    """

    def val_loss() -> Tensor:
        loss = descent.loss(batch_a)
        # the mean of equal numbers, so that the processes' gradients add up to that of one
        if section.complexity > 0:
            loss = loss + section.complexity * descent.team.mean(relaxed.size(section.complexity_of))
        if section.indecision > 0:
            loss = loss + section.indecision * descent.team.mean(relaxed.indecision())
        return loss + decay * descent.team.mean(relaxed.smoothness()) if decay > 0 else loss

    if section.order == 1:
        relaxed.network.train(section.architecture_mode == "train")
        loss = val_loss()
        slopes = gradients(loss, relaxed.architecture())
        relaxed.network.train()
        return loss.detach(), slopes
    return unrolled_gradients(
        lambda: descent.loss(batch_w),
        val_loss,
        relaxed.weights(),
        relaxed.architecture(),
        descent.optimiser,
        relaxed.network.buffers(),
    )
