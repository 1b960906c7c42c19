"""Training of a discrete network from scratch (IR-NAS, section 4.1)."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasir.config import RetrainConfig
from nasir.data.collection import Sample
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.files import Log
from nasir.training.fusing import lay_out
from nasir.training.losses import restoration_loss
from nasir.training.parallel import Team, add_up, alone
from nasir.training.schedule import anneal
from nasir.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Weights after the last step and at the best PSNR on V, with the scores there."""

    last: dict[str, Tensor]
    best: dict[str, Tensor]
    best_step: int
    best_scores: dict[str, float]
    history: list[tuple[int, str, float]]


def retrain(
    network: nn.Module,
    *,
    patches: PatchSampler,
    images_v: Mapping[str, Sample],
    sigma: float,
    config: RetrainConfig,
    seed: int,
    state: dict[str, Any] | None,
    save: Callable[[dict[str, Any]], None],
    log: Log,
    team: Team | None = None,
) -> Trained:
    """Train with Adam under a cosine learning rate.

    Args:
        network: changed in place.
        patches: of W and A together.
        images_v: V, name -> clean image, shape (C, H, W), or pair of them.
        sigma: noise of training and of V, 8-bit grey levels.
        config, seed, state, save, log: as `nasir.search.darts.search` takes them.
        team: the processes that share each batch of `config.batch`; None for this one alone. The first one saves and logs.

    Raises:
        FloatingPointError: if the loss is not finite; it names the step.
    """
    team = team or alone(next(network.parameters()).device)
    lay_out(network)
    if config.compile:
        network.compile()
    weights = list(network.parameters())
    optimiser = torch.optim.Adam(weights, lr=config.lr_max)
    generator = torch.Generator().manual_seed(seed)
    history: list[tuple[int, str, float]] = []
    best: dict[str, Any] | None = None
    start = 0
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        history, best, start = [tuple(row) for row in state["history"]], state["best"], state["step"]
    team.align(network, start)

    network.train()
    for step in range(start + 1, config.steps + 1):
        lr = anneal(optimiser, step - 1, config.steps, config.lr_max, config.lr_min)
        clean, degraded = patches.draw_pairs(config.batch, generator)
        noisy = team.shard(add_noise(degraded, sigma, generator))
        clean = team.shard(clean)
        with team.autocast():
            restored = network(noisy)
        loss = restoration_loss(restored.to(clean.dtype), clean, config.ssim_weight, team.mean)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss must be finite, got {value} at retrain step {step}; "
                "lower retrain.lr_max or look at the training images."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for weight, gradient in zip(weights, add_up([weight.grad for weight in weights]), strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(weights, config.clip_norm)
        optimiser.step()

        news = {"learning_rate": lr, "train_loss": value}
        is_last = step == config.steps
        if step % config.val_period == 0 or is_last:
            scores = team.score(lambda images: validate(network, images, (sigma,), seed), images_v)
            news |= scores
            if best is None or scores["psnr_db"] > best["scores"]["psnr_db"]:
                best = {"step": step, "scores": scores, "network": copy.deepcopy(network.state_dict())}
        if step % config.log_period == 0 or step % config.val_period == 0 or is_last:
            history += [(step, name, value) for name, value in news.items()]
            if team.is_first:
                log(step, news)
        if team.is_first and (step % config.checkpoint_period == 0 or is_last):
            save(
                {
                    "step": step,
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "generator": generator.get_state(),
                    "history": history,
                    "best": best,
                }
            )
    assert best is not None  # the last step is always scored
    return Trained(
        last=network.state_dict(),
        best=best["network"],
        best_step=best["step"],
        best_scores=best["scores"],
        history=history,
    )
