"""A search strategy: a walk that changes what was best so far, and begins with a random genotype.

What a whole strategy takes, in one file; the tests drop it into nasir/search/. It knows spaces by their tokens alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nasir.config.reading import require
from nasir.config.search import SearchConfig
from nasir.layers.cost import flops_per_pixel
from nasir.search import contract
from nasir.search.contract import Found, Problem
from nasir.search.random import build, train
from nasir.spaces.contract import random_tokens
from nasir.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class WalkSection:
    """What this strategy reads beside the search's section."""

    walk: int  # genotypes that are tried

    def __post_init__(self) -> None:
        require(self.walk >= 1, "strategy.walk must be 1 or more", self.walk)


class ToyStrategy(contract.Strategy):
    """This strategy as the search step sees it."""

    name = "toy_strategy"
    Section = WalkSection
    presets = {"base": {"strategy": {"walk": 4}}, "tiny": {"strategy": {"walk": 3}}}  # noqa: RUF012 -- a ClassVar

    def count(self, section: WalkSection, config: SearchConfig) -> int:
        """Genotypes."""
        return section.walk

    def check(self, section: WalkSection, config: SearchConfig) -> None:
        require(
            section.walk <= config.steps, f"strategy.walk must be search.steps ({config.steps}) or less", section.walk
        )

    def search(self, problem: Problem) -> Found:
        """Each try has an equal part of the steps; of a killed search those that were scored are not trained again."""
        space, config, team = problem.space, problem.config, problem.team
        tried: list[dict[str, Any]] = problem.state["tried"] if problem.state is not None else []
        steps = config.steps // problem.of_strategy.walk
        for number in range(len(tried) + 1, problem.of_strategy.walk + 1):
            chosen = _step(problem, number, max(tried, key=_score)["tokens"] if tried else None)
            genotype = space.from_tokens(problem.of_space, chosen)
            network = build(genotype, problem).to(team.device)
            team.align(network, number)
            loss = train(network, problem, steps, f"try {number}")
            scores = team.score(lambda v, n=network: validate(n, v, config.sigmas, problem.seed), problem.images_v)
            cost = flops_per_pixel(network, problem.channels, config.patch)
            tried.append(
                {"tokens": chosen, "genotype": space.to_json(genotype), "scores": scores, "train_loss": loss}
                | {"flops": steps * config.batch * config.patch**2 * cost}
            )
            if team.is_first:
                problem.log(number, {"train_loss": loss, **scores})
                problem.save({"tried": tried})
        best = max(tried, key=_score)
        history = [
            (number, name, value)
            for number, one in enumerate(tried, start=1)
            for name, value in {"train_loss": one["train_loss"], **one["scores"]}.items()
        ]
        return Found(
            genotype=space.from_json(best["genotype"]),
            runner_up=None,
            step=tried.index(best) + 1,
            scores=best["scores"],
            spent_flops=sum(one["flops"] for one in tried),
            history=history,
            candidates=[{"genotype": one["genotype"], **one["scores"]} for one in tried],
            facts={"tries": len(tried)},
        )


STRATEGY = ToyStrategy()


def _score(tried: dict[str, Any]) -> float:
    score: float = tried["scores"]["score"]
    return score


def _step(problem: Problem, number: int, best: Sequence[int] | None) -> list[int]:
    """The tokens of a try: random at first, then those of the best up to a random place, and random behind it."""
    generator = torch.Generator().manual_seed(1000 * problem.seed + number)
    fresh = random_tokens(problem.space, problem.of_space, generator)
    if best is None:
        return fresh
    kept = list(best[: int(torch.randint(len(best), (1,), generator=generator))])
    for _ in range(len(best) - len(kept)):
        allowed = torch.tensor(problem.space.mask(problem.of_space, kept)).nonzero().flatten()
        kept.append(int(allowed[torch.randint(len(allowed), (1,), generator=generator)]))
    return kept
