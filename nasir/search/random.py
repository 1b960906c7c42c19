"""Random search with an equal budget: the control that any other strategy has to beat.

Candidates are random genotypes of the space, within a window of size where one is asked for, each trained on W for an equal
part of the budget and scored on V. The best score wins.

The budget is what the differentiable search of first order with the same `search` section spends on training, in counted
floating-point operations of forward passes (`nasir.search.darts.spent_flops`), times `strategy.budget`. Backward passes are
counted in neither. They are in proportion to the forward passes except for the architecture's, which take no gradient of the
weights: for as many counted operations the control trains a little longer. Normalisation, losses and sums are not counted
either, so equal budgets are not equal seconds: networks as small as the demo's took three times the processor time of its
supernet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import torch

from nasir import cluster
from nasir.config.reading import require, require_between
from nasir.config.search import SearchConfig
from nasir.config.training import MOST_CANDIDATES, require_rates
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search import contract
from nasir.search.contract import Found, Problem
from nasir.search.darts import spent_flops
from nasir.search.sampling.alone import build, score, train
from nasir.search.sampling.away import packed, unpacked
from nasir.search.sampling.tokens import TRIES, Windowed
from nasir.spaces.contract import Genotype, part
from nasir.training.loop import History
from nasir.training.optimisers import KINDS

LARGEST_BUDGET = 1000
"""Times the operations of the differentiable search."""


@dataclass(frozen=True, kw_only=True)
class RandomSection(Windowed):
    """What this strategy reads beside the search's section."""

    candidates: int
    budget: float  # its share of the operations that the differentiable search takes
    optimiser: str  # sgd (as the differentiable search trains its supernet's weights), adamw
    lr_max: float  # of adamw

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.optimiser in KINDS, f"strategy.optimiser must be one of {list(KINDS)}", self.optimiser)
        require_rates(self, "strategy", ("lr_max",))
        require_between(self, "strategy", ("candidates",), 1, MOST_CANDIDATES)
        require(
            0 < self.budget <= LARGEST_BUDGET,
            f"strategy.budget must be above 0 and at most {LARGEST_BUDGET}",
            self.budget,
        )


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
    found: list[Genotype] = []
    for _ in range(problem.of_strategy.candidates * TRIES):
        genotype = draw(problem.space.name, problem.of_space, generator)
        if problem.of_strategy.limits.holds(problem.space, problem.of_space, problem.channels, genotype):
            found.append(genotype)
        if len(found) == problem.of_strategy.candidates:
            return found
    raise ValueError(
        f"strategy.window must leave room for {problem.of_strategy.candidates} candidates, got {len(found)} in "
        f"{problem.of_strategy.candidates * TRIES} draws; widen it."
    )


def search(problem: Problem, budget: float) -> Found:
    """Search.

    A candidate trains for floor(budget / candidates / cost of a step) steps, at least one. What is left over, or with a
    budget below one step overdrawn, is `budget` less `spent_flops`. Scoring on V is not counted. Every candidate has weights
    from the same seed and sees the same batches from the first on: candidates are independent of each other, and the workers of a
    scheduler may train them (`nasir.cluster`).

    Args:
        problem: what is searched.
        budget: floating-point operations of all candidates' training.

    Raises:
        FloatingPointError: if a loss is not finite; it names step and candidate.
    """
    drawn = _draw(problem)
    history: History = []
    candidates: list[dict[str, Any]] = []
    best: dict[str, Any] | None = None
    ahead: dict[int, dict[str, Any]] = {}  # done before their turn, where several are trained at a time
    if problem.state is not None:
        history = [tuple(row) for row in problem.state["history"]]
        candidates, best, ahead = problem.state["candidates"], problem.state["best"], problem.state["ahead"]

    def save() -> None:
        if problem.team.is_first:
            problem.save({"candidates": candidates, "history": history, "best": best, "ahead": ahead})

    jobs = {
        number: Attempt(number, genotype, budget / len(drawn))
        for number, genotype in enumerate(drawn, start=1)
        if number > len(candidates)
    }
    with cluster.pool(problem, unpacked, packed(problem)) as pool:
        for number, outcome in pool.each(attempt, jobs, ahead, save):
            del ahead[number]
            candidate, scores = outcome["candidate"], outcome["scores"]
            candidates.append(candidate)
            if best is None or scores["score"] > best["scores"]["score"]:
                best = {"number": number, "scores": scores, "weights": outcome["weights"]}
            news = {"train_loss": candidate["train_loss"]} | scores
            news |= {"best_score": best["scores"]["score"], "spent_flops": sum(c["flops"] for c in candidates)}
            history += [(number, name, value) for name, value in news.items()]
            if problem.team.is_first:
                problem.log(number, news)
            save()
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


class Attempt(NamedTuple):
    """A candidate to be trained and scored."""

    number: int
    genotype: Genotype
    budget: float  # floating-point operations


def attempt(problem: Problem, job: Attempt) -> dict[str, Any]:
    """A candidate as it is recorded, its scores on V and its weights."""
    config, team = problem.config, problem.team
    network = build(job.genotype, problem).to(team.device)
    step_flops = config.batch * config.patch**2 * flops_per_pixel(network, problem.channels, config.patch)
    steps = max(1, int(job.budget / step_flops))
    team.align(network, job.number)
    lr_max = problem.of_strategy.lr_max if problem.of_strategy.optimiser == "adamw" else None
    train_loss = train(network, problem, steps, f"candidate {job.number}", lr_max)
    scores = score(network, problem)
    found = {"genotype": problem.space.to_json(job.genotype), "parameters": parameters(network)}
    found |= {"steps": steps, "flops": steps * step_flops, "train_loss": train_loss}
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    return {"candidate": found | scores, "scores": scores, "weights": weights}


def _second(candidates: Sequence[Mapping[str, Any]], drawn: Sequence[Genotype], winner: int) -> Genotype | None:
    """The candidate with the best score but for the winner's; None if there is none."""
    others = [number for number in range(1, len(candidates) + 1) if number != winner]
    return drawn[max(others, key=lambda number: candidates[number - 1]["score"]) - 1] if others else None
