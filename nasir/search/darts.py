"""First-order differentiable search (DARTS, Liu et al., ICLR 2019, with xi = 0) of a supernet.

IR-NAS, sections 3.3 and 4.1: the weights follow the loss on W by SGD; after a warm-up, alpha and beta follow the loss on A
by Adam, one update of each kind in turn; the supernet is scored on V at a set period and the best is kept.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nasir.config import SearchConfig
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import flops_per_pixel
from nasir.files import Log
from nasir.genotype import OPERATIONS
from nasir.spaces import irnas
from nasir.training.losses import restoration_loss
from nasir.training.schedule import anneal
from nasir.training.validation import validate


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


def search(
    supernet: Any,
    *,
    space: str,
    patches_w: PatchSampler,
    patches_a: PatchSampler,
    images_v: Mapping[str, Tensor],
    config: SearchConfig,
    seed: int,
    state: dict[str, Any] | None,
    save: Callable[[dict[str, Any]], None],
    log: Log,
) -> Found:
    """Search.

    Args:
        supernet: an `nn.Module` that is also `Relaxed`; changed in place.
        space: its name, to find `skip` and `none` among alpha's columns.
        patches_w, patches_a: where the batches of W and of A come from.
        images_v: V, name -> clean image, shape (C, H, W).
        config: lengths, rates and weights.
        seed: of the patches and of V's keyed noise.
        state: what an earlier call gave to `save`, to carry on from there; None to start.
        save: called with a checkpoint's content every `config.checkpoint_period` steps.
        log: called every `config.log_period` steps.

    Returns:
        The best supernet among the scores from step `config.keep_from` on. With every score on V the history has
        `spent_flops` and `best_score`, the best of all scores so far, those before `keep_from` included.

    Raises:
        FloatingPointError: if a loss is not finite; it names the step.
    """
    weights, architecture = supernet.weights(), supernet.architecture()
    weight_optimiser = torch.optim.SGD(
        weights, lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay
    )
    architecture_optimiser = torch.optim.Adam(
        architecture, lr=config.architecture_lr, weight_decay=config.architecture_weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    cost = flops_per_pixel(supernet, next(iter(images_v.values())).shape[0], config.patch)
    history: list[tuple[int, str, float]] = []
    best: dict[str, Any] | None = None
    start = 0
    if state is not None:
        supernet.load_state_dict(state["supernet"])
        weight_optimiser.load_state_dict(state["weight_optimiser"])
        architecture_optimiser.load_state_dict(state["architecture_optimiser"])
        generator.set_state(state["generator"])
        history, best, start = [tuple(row) for row in state["history"]], state["best"], state["step"]

    supernet.train()
    for step in range(start + 1, config.steps + 1):
        news = {"learning_rate": anneal(weight_optimiser, step - 1, config.steps, config.lr_max, config.lr_min)}

        if step > config.warmup_steps:
            val_loss = draw_loss(supernet, patches_a, config, generator)
            news["val_loss"] = update(val_loss, architecture_optimiser, architecture, f"search step {step}")
        train_loss = draw_loss(supernet, patches_w, config, generator)
        news["train_loss"] = update(train_loss, weight_optimiser, weights, f"search step {step}", config.clip_norm)

        is_last = step == config.steps
        if step % config.val_period == 0 or is_last:
            scores = validate(supernet, images_v, config.sigmas, seed)
            before = [value for _, name, value in history if name == "score"]
            news |= scores | {
                "best_score": max([scores["score"], *before]),
                "spent_flops": spent_flops(step, config, cost),
            }
            if step >= config.keep_from and (best is None or scores["score"] > best["scores"]["score"]):
                best = {"step": step, "scores": scores, "supernet": copy.deepcopy(_to_cpu(supernet.state_dict()))}
        if step % config.log_period == 0 or step % config.val_period == 0 or is_last:
            news |= architecture_facts(supernet.alpha, supernet.beta, space)
            history += [(step, name, value) for name, value in news.items()]
            log(step, news)
        if step % config.checkpoint_period == 0 or is_last:
            save(
                {
                    "step": step,
                    "supernet": supernet.state_dict(),
                    "weight_optimiser": weight_optimiser.state_dict(),
                    "architecture_optimiser": architecture_optimiser.state_dict(),
                    "generator": generator.get_state(),
                    "history": history,
                    "best": best,
                }
            )
    assert best is not None  # the last step is always scored, and keep_from <= steps
    return Found(
        step=best["step"],
        alpha=best["supernet"]["alpha"],
        beta=best["supernet"]["beta"],
        weights=best["supernet"],
        scores=best["scores"],
        spent_flops=spent_flops(config.steps, config, cost),
        history=history,
    )


def spent_flops(step: int, config: SearchConfig, cost: float) -> float:
    """Floating-point operations of training up to `step`: updates * batch * patch^2 * cost.

    Counted is one forward pass of the supernet for each update of the weights and each of the architecture; backward
    passes and scoring on V are not counted.

    Args:
        step: updates of the weights so far.
        config: its `warmup_steps` have no update of the architecture.
        cost: of the supernet, operations per pixel (`nasir.evaluation.cost.flops_per_pixel`).
    """
    updates = step + max(0, step - config.warmup_steps)
    return updates * config.batch * config.patch**2 * cost


def draw_loss(network: nn.Module, patches: PatchSampler, config: SearchConfig, generator: torch.Generator) -> Tensor:
    """The loss on a fresh batch; each patch has one of `config.sigmas`, all equally likely."""
    clean = patches.draw(config.batch, generator)
    sigmas = torch.tensor(config.sigmas)
    drawn = sigmas[torch.randint(len(sigmas), (config.batch,), generator=generator)]
    noisy = add_noise(clean, drawn, generator)
    return restoration_loss(network(noisy), clean, config.ssim_weight)


def update(
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    where: str,
    clip_norm: float = math.inf,
) -> float:
    """One step of `parameters` alone down `loss`; gives the loss, or names `where` it was not finite."""
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss must be finite, got {value} at {where}; lower search.lr_max or look at the training images."
        )
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    if math.isfinite(clip_norm):
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return value


def _to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in tensors.items()}


def architecture_facts(alpha: Tensor, beta: Tensor, space: str) -> dict[str, float]:
    """How decided the architecture is.

    Args:
        alpha: logits, shape (edges, operations).
        beta: logits, shape (layers, widths, 3).
        space: names alpha's columns.

    Returns:
        `alpha_entropy` (mean over edges, nats), `beta_entropy` (mean over the cells that more than
        one cell feeds, nats), `skip_share` and
        `none_share` (mean softmax weight over edges).
    """
    names = OPERATIONS[space]
    weights = alpha.detach().softmax(dim=-1)
    return {
        "alpha_entropy": -torch.special.xlogy(weights, weights).sum(-1).mean().item(),
        "beta_entropy": irnas.width_entropy(beta.detach()),
        "skip_share": weights[:, names.index("skip")].mean().item(),
        "none_share": weights[:, names.index("none")].mean().item(),
    }
