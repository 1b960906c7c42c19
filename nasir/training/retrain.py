"""Training of a discrete network from scratch (IR-NAS, section 4.1)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasir.config.retrain import RetrainConfig
from nasir.config.training import OFF, SafetyConfig
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import Sample
from nasir.files import Log
from nasir.inference.fusing import lay_out
from nasir.training import loop
from nasir.training.averaging import Average
from nasir.training.parallel import Team, alone
from nasir.training.safety.guard import Guard
from nasir.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Weights after the last step and at the best PSNR on V, with the scores there."""

    last: dict[str, Tensor]
    best: dict[str, Tensor]
    best_step: int
    best_scores: dict[str, float]
    history: loop.History


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
    safety: SafetyConfig = OFF,
) -> Trained:
    """Train with Adam or AdamW under a learning rate that rises, where that is asked for, and falls by a cosine.

    Scored and kept is the running mean of the weights, where `config.average` asks for one.

    Args:
        network: changed in place.
        patches: of W and A together.
        images_v: V, name -> clean image, shape (C, H, W), or pair of them.
        sigma: noise of training and of V, 8-bit grey levels.
        config: lengths and rates.
        seed: of the patches and of V's keyed noise.
        state: what an earlier call gave to `save`, to carry on from there; None to start.
        save, log: see `nasir.training.loop.run`.
        team: the processes that share each batch of `config.batch`; None for this one alone. The first one saves and logs.
        safety: what becomes of a loss that is not finite, and checkpoints by the clock.

    Raises:
        FloatingPointError: if the loss is not finite, and `safety` does not go back; it names the step.
    """
    team = team or alone(next(network.parameters()).device)
    lay_out(network)
    average = Average(network, config.average)
    if config.compile:
        network.compile()
    weights = list(network.parameters())
    optimiser = _optimiser(weights, config)
    generator = torch.Generator().manual_seed(seed)
    history: loop.History = []
    best: dict[str, Any] = {}
    start, guard = 0, Guard(safety, state)

    def restore(state: dict[str, Any]) -> None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.restore(state["average"])
        history[:] = [tuple(row) for row in state["history"]]
        best.clear()
        best.update(state["best"])

    if state is not None:
        restore(state)
        generator.set_state(state["generator"])
        start = state["step"]
    team.align(network, start)
    team.align(average.network, start)
    descent = loop.Descent(
        network=network, weights=weights, optimiser=optimiser, patches=patches, sigmas=sigma, budget=config,
        steps=config.steps, parts=1, generator=generator, team=team, section="retrain",
        warmup_steps=config.warmup_steps, guard=guard,
    )  # fmt: skip

    def advance(step: int) -> dict[str, float]:
        news = descent.advance(step)
        average.follow()
        return news

    def score(step: int) -> dict[str, float]:
        scores = team.score(lambda images: validate(average.network, images, (sigma,), seed, config.noise), images_v)
        if not best or scores["psnr_db"] > best["scores"]["psnr_db"]:
            best.update(step=step, scores=scores, network=copy.deepcopy(average.network.state_dict()))
        return scores

    def checkpoint(step: int) -> dict[str, Any]:
        return {
            "step": step,
            "network": network.state_dict(),
            "average": average.state(),
            "optimiser": optimiser.state_dict(),
            "generator": generator.get_state(),
            "history": history,
            "best": best,
        }

    network.train()
    loop.run(
        start=start, steps=config.steps, budget=config, advance=advance, score=score, history=history,
        state=checkpoint, save=save, log=log, team=team, guard=guard, restore=restore,
    )  # fmt: skip
    return Trained(
        last=average.network.state_dict(),
        best=best["network"],
        best_step=best["step"],
        best_scores=best["scores"],
        history=history,
    )


def _optimiser(weights: Sequence[nn.Parameter], config: RetrainConfig) -> torch.optim.Optimizer:
    if config.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=config.lr_max, weight_decay=config.weight_decay)
    return torch.optim.Adam(weights, lr=config.lr_max)
