"""Random search with an equal budget: the control that a differentiable search has to beat.

Candidates are random alphas and betas, decoded like the result of the differentiable search, each trained on W for an equal
part of the budget and scored on V. The best score wins.

The budget is what the differentiable search with the same config spends on training, in counted floating-point operations
of forward passes (`nasir.search.darts.spent_flops`), times `search.random_budget`. Backward passes are counted in neither.
They are in proportion to the forward passes except for the architecture's, which take no gradient of the weights: for as many
counted operations the control trains a little longer. Normalisation, losses and sums are not counted either, so equal
budgets are not equal seconds: networks as small as the demo's took three times the processor time of its supernet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nasir import genotype as genotypes
from nasir.config import SearchConfig
from nasir.data.collection import Sample, channels_of
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import flops_per_pixel, parameters
from nasir.files import Log
from nasir.genotype import OPERATIONS, Genotype
from nasir.search import darts
from nasir.search.derive import derive
from nasir.spaces.cells import edges
from nasir.training.parallel import Team, alone
from nasir.training.schedule import anneal
from nasir.training.validation import validate

INPUTS = 2
"""Edges kept into each node of a candidate, as in the paper; `derive.inputs` must be the same to give the winner back."""


@dataclass(frozen=True, kw_only=True)
class Found(darts.Found):
    """The winner: `step` is its number, from 1 on, and `weights` are those of its derived network."""

    candidates: list[dict[str, Any]]  # by number: genotype as JSON, its cost, its scores


def search(
    build: Callable[[Genotype], nn.Module],
    *,
    space: str,
    patches_w: PatchSampler,
    images_v: Mapping[str, Sample],
    budget: float,
    config: SearchConfig,
    seed: int,
    state: dict[str, Any] | None,
    save: Callable[[dict[str, Any]], None],
    log: Log,
    team: Team | None = None,
) -> Found:
    """Search.

    A candidate trains for floor(budget / candidates / cost of a step) steps, at least one. What is left over, or with a
    budget below one step overdrawn, is `budget` less `spent_flops`. Scoring on V is not counted.

    Args:
        build: a genotype's network with fresh weights, the same at every call, on the device of `patches_w`.
        space: names the operations.
        patches_w: where the batches of W come from. Every candidate sees the same ones from the first on.
        images_v: V, name -> clean image, shape (C, H, W), or pair of them.
        budget: floating-point operations of all candidates' training.
        config: size of the space, number of candidates, batches and rates.
        seed: of the candidates, the patches and V's keyed noise.
        state: what an earlier call gave to `save`, to carry on from there; None to start.
        save: called with a checkpoint's content after each candidate.
        log: called after each candidate with its number.
        team: the processes that share each batch of `config.batch`; None for this one alone. The first one saves and logs.

    Raises:
        FloatingPointError: if a loss is not finite; it names step and candidate.
    """
    team = team or alone(patches_w.pixels.device)
    generator = torch.Generator().manual_seed(seed)
    drawn = [draw(config, space, generator) for _ in range(config.random_candidates)]
    history: list[tuple[int, str, float]] = []
    candidates: list[dict[str, Any]] = []
    best: dict[str, Any] | None = None
    if state is not None:
        history, candidates, best = [tuple(row) for row in state["history"]], state["candidates"], state["best"]

    channels = channels_of(images_v)
    for number in range(len(candidates) + 1, len(drawn) + 1):
        genotype = decode(*drawn[number - 1], config, space)
        network = build(genotype)
        step_flops = config.batch * config.patch**2 * flops_per_pixel(network, channels, config.patch)
        steps = max(1, int(budget / len(drawn) / step_flops))
        team.align(network, number)
        train_loss = train(network, patches_w, steps, config, seed, f"candidate {number}", team)
        scores = team.score(partial(validate, network, sigmas=config.sigmas, seed=seed), images_v)

        if best is None or scores["score"] > best["scores"]["score"]:
            weights = {name: value.cpu() for name, value in network.state_dict().items()}
            best = {"number": number, "scores": scores, "weights": weights}
        news = {"train_loss": train_loss} | scores
        candidates.append(
            {"genotype": genotypes.to_json(genotype), "parameters": parameters(network)}
            | {"steps": steps, "flops": steps * step_flops}
            | news
        )
        news |= {"best_score": best["scores"]["score"], "spent_flops": sum(c["flops"] for c in candidates)}
        history += [(number, name, value) for name, value in news.items()]
        if team.is_first:
            log(number, news)
            save({"candidates": candidates, "history": history, "best": best})
    assert best is not None  # there is at least one candidate
    alpha, beta = drawn[best["number"] - 1]
    return Found(
        step=best["number"],
        alpha=alpha,
        beta=beta,
        weights=best["weights"],
        scores=best["scores"],
        spent_flops=sum(candidate["flops"] for candidate in candidates),
        history=history,
        candidates=candidates,
    )


def draw(config: SearchConfig, space: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random alpha and beta: logits from N(0, 1) in the shapes that the differentiable search has."""
    table = (len(edges(config.nodes)), len(OPERATIONS[space]))
    alpha = torch.randn(table if config.share_alpha else (config.layers, *table), generator=generator)
    return alpha, torch.randn(config.layers, len(config.width_factors), 3, generator=generator)


def decode(alpha: Tensor, beta: Tensor, config: SearchConfig, space: str) -> Genotype:
    """The genotype that the derive step makes of alpha and beta."""
    return derive(
        alpha,
        beta,
        space=space,
        nodes=config.nodes,
        width_factors=config.width_factors,
        residual=config.residual,
        activation=config.activation,
        beta_norm=config.beta_norm,
        inputs=INPUTS,
    )


def train(
    network: nn.Module, patches: PatchSampler, steps: int, config: SearchConfig, seed: int, name: str, team: Team
) -> float:
    """Train as the search trains the supernet's weights, its cosine over `steps`; gives the last loss."""
    weights = list(network.parameters())
    optimiser = torch.optim.SGD(weights, lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    value = 0.0
    network.train()
    for step in range(1, steps + 1):
        anneal(optimiser, step - 1, steps, config.lr_max, config.lr_min)
        loss = darts.draw_loss(network, patches, config, generator, team)
        value = darts.update(loss, optimiser, weights, f"step {step} of {name}", config.clip_norm)
    return value
