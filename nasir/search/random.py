"""Random search with an equal budget: the control that any other strategy has to beat.

Candidates are random genotypes of the space, each trained on W for an equal part of the budget and scored on V. The best
score wins.

The budget is what the differentiable search of first order with the same `search` section spends on training, in counted
floating-point operations of forward passes (`nasir.search.darts.spent_flops`), times `strategy.budget`. Backward passes are
counted in neither. They are in proportion to the forward passes except for the architecture's, which take no gradient of the
weights: for as many counted operations the control trains a little longer. Normalisation, losses and sums are not counted
either, so equal budgets are not equal seconds: networks as small as the demo's took three times the processor time of its
supernet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import nn

from nasir.config.reading import require
from nasir.config.search import SearchConfig
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search import contract
from nasir.search.contract import Found, Problem
from nasir.search.darts import spent_flops
from nasir.spaces.contract import Genotype, part
from nasir.training.loop import Descent, History
from nasir.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class RandomSection:
    """What this strategy reads beside the search's section."""

    candidates: int
    budget: float  # its share of the operations that the differentiable search takes

    def __post_init__(self) -> None:
        require(self.candidates >= 1, "strategy.candidates must be 1 or more", self.candidates)
        require(self.budget > 0, "strategy.budget must be above 0", self.budget)


class Random(contract.Strategy):
    """This strategy as the search step sees it."""

    name = "random"
    Section = RandomSection

    def count(self, section: RandomSection, config: SearchConfig) -> int:
        """Candidates."""
        return section.candidates

    def search(self, problem: Problem) -> Found:
        """Search with the budget that the space's supernet gives; see `search`."""
        config = problem.config
        spent = spent_flops(config.steps, config, 1, _reference_cost(problem))
        return search(problem, problem.of_strategy.budget * spent)


STRATEGY = Random()


def _reference_cost(problem: Problem) -> float:
    """Operations per pixel of the supernet; of a space without one, the mean of the candidates'."""
    space, size = problem.space, problem.config.patch
    relax = getattr(part(space.searching), "relax", None)
    if relax is not None:
        supernet = relax(space.name, problem.of_space, problem.channels, problem.seed).network
        return flops_per_pixel(supernet, problem.channels, size)
    networks = (build(genotype, problem) for genotype in _draw(problem))
    return fmean(flops_per_pixel(network, problem.channels, size) for network in networks)


def _draw(problem: Problem) -> list[Genotype]:
    """All candidates."""
    generator = torch.Generator().manual_seed(problem.seed)
    draw = part(problem.space.searching).random_genotype
    return [draw(problem.space.name, problem.of_space, generator) for _ in range(problem.of_strategy.candidates)]


def search(problem: Problem, budget: float) -> Found:
    """Search.

    A candidate trains for floor(budget / candidates / cost of a step) steps, at least one. What is left over, or with a
    budget below one step overdrawn, is `budget` less `spent_flops`. Scoring on V is not counted. Every candidate has weights
    from the same seed and sees the same batches from the first on.

    Args:
        problem: what is searched.
        budget: floating-point operations of all candidates' training.

    Raises:
        FloatingPointError: if a loss is not finite; it names step and candidate.
    """
    config, space, team = problem.config, problem.space, problem.team
    drawn = _draw(problem)
    history: History = []
    candidates: list[dict[str, Any]] = []
    best: dict[str, Any] | None = None
    if problem.state is not None:
        history = [tuple(row) for row in problem.state["history"]]
        candidates, best = problem.state["candidates"], problem.state["best"]

    for number in range(len(candidates) + 1, len(drawn) + 1):
        genotype = drawn[number - 1]
        network = build(genotype, problem).to(team.device)
        step_flops = config.batch * config.patch**2 * flops_per_pixel(network, problem.channels, config.patch)
        steps = max(1, int(budget / len(drawn) / step_flops))
        team.align(network, number)
        train_loss = train(network, problem, steps, f"candidate {number}")
        scores = team.score(partial(validate, network, sigmas=config.sigmas, seed=problem.seed), problem.images_v)

        if best is None or scores["score"] > best["scores"]["score"]:
            weights = {name: value.cpu() for name, value in network.state_dict().items()}
            best = {"number": number, "scores": scores, "weights": weights}
        news = {"train_loss": train_loss} | scores
        candidates.append(
            {"genotype": space.to_json(genotype), "parameters": parameters(network)}
            | {"steps": steps, "flops": steps * step_flops}
            | news
        )
        news |= {"best_score": best["scores"]["score"], "spent_flops": sum(c["flops"] for c in candidates)}
        history += [(number, name, value) for name, value in news.items()]
        if team.is_first:
            problem.log(number, news)
            problem.save({"candidates": candidates, "history": history, "best": best})
    assert best is not None  # there is at least one candidate
    return Found(
        genotype=drawn[best["number"] - 1],
        runner_up=_second(candidates, drawn, best["number"]),
        step=best["number"],
        scores=best["scores"],
        spent_flops=sum(candidate["flops"] for candidate in candidates),
        history=history,
        tensors={"winner": best["weights"]},
        candidates=candidates,
        facts={"candidates": len(candidates), "budget_flops": budget},
    )


def build(genotype: Genotype, problem: Problem) -> nn.Module:
    """A candidate at the search's sizes, with weights drawn from the seed."""
    torch.manual_seed(problem.seed)
    sizes = problem.space.candidate_sizes(problem.of_space)
    return problem.space.build(genotype, sizes, problem.channels)


def train(network: nn.Module, problem: Problem, steps: int, name: str) -> float:
    """Train as a differentiable search trains its supernet's weights, the cosine over `steps`; gives the last loss."""
    config = problem.config
    weights = list(network.parameters())
    descent = Descent(
        network=network,
        weights=weights,
        optimiser=torch.optim.SGD(
            weights, lr=config.lr_max, momentum=config.momentum, weight_decay=config.weight_decay
        ),
        patches=problem.patches_w,
        sigmas=config.sigmas,
        budget=config,
        steps=steps,
        parts=config.accumulate,
        generator=torch.Generator().manual_seed(problem.seed),
        team=problem.team,
        section="search",
        of=name,
    )
    network.train()
    return [descent.advance(step)["train_loss"] for step in range(1, steps + 1)][-1]


def _second(candidates: Sequence[Mapping[str, Any]], drawn: Sequence[Genotype], winner: int) -> Genotype | None:
    """The candidate with the best score but for the winner's; None if there is none."""
    others = [number for number in range(1, len(candidates) + 1) if number != winner]
    return drawn[max(others, key=lambda number: candidates[number - 1]["score"]) - 1] if others else None
