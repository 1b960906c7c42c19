"""What a search remembers, and what it makes of each score on V: the best network, signs of collapse, whether to stop."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nasir.config import SearchConfig
from nasir.data.collection import Sample
from nasir.search import stopping
from nasir.search.monitor import watch
from nasir.training.parallel import Team
from nasir.training.validation import validate


@dataclass(kw_only=True)
class Record:
    """What a search remembers from one score to the next, beside the supernet and its optimisers."""

    history: list[tuple[int, str, float]]
    best: dict[str, Any] | None  # step, scores, supernet
    ranked: Tensor | None  # alpha at the last score since the warm-up

    def values(self, name: str, after: int = 0) -> list[float]:
        """A metric's values at the steps behind `after`, in order."""
        return [value for step, metric, value in self.history if metric == name and step > after]

    @property
    def stopped_at(self) -> int | None:
        """The step at which the search was ended early."""
        stops = self.values("stopped_at")
        return int(stops[0]) if stops else None


def judge(
    supernet: Any,
    record: Record,
    step: int,
    images_v: Mapping[str, Sample],
    config: SearchConfig,
    space: str,
    seed: int,
    team: Team,
) -> dict[str, float]:
    """Score on V and say what collapse looks like; the record gets the supernet if it is the best.

    `stopped_at` is among the news if `config.early_stop` ends the search at this step. Before the warm-up's end, where the
    architecture has not moved, no rule is asked.
    """

    def score() -> dict[str, float]:
        return team.score(lambda images: validate(supernet, images, config.sigmas, seed), images_v)

    scores = score()
    stable = [0.0, *record.values("rank_stable_scores")][-1]
    seen = watch(
        supernet,
        nodes=config.nodes,
        space=space,
        norm=config.beta_norm,
        before=record.ranked,
        stable=stable,
        score=scores["score"],
        rescore=lambda: score()["score"],
    )
    news = scores | {"best_score": max([scores["score"], *record.values("score")])} | seen
    is_warm = step > config.warmup_steps
    if is_warm:
        record.ranked = supernet.alpha.detach().cpu().clone()
    is_stopped = (
        is_warm
        and step < config.steps
        and stopping.is_due(
            config.early_stop,
            patience=config.patience,
            skips=seen["derived_skips"],
            stable=seen["rank_stable_scores"],
            scores=[*record.values("score", after=config.warmup_steps), scores["score"]],
        )
    )
    if is_stopped:
        news["stopped_at"] = step
    is_kept = step >= config.keep_from or is_stopped
    if is_kept and (record.best is None or scores["score"] > record.best["scores"]["score"]):
        record.best = {"step": step, "scores": scores, "supernet": copy.deepcopy(_to_cpu(supernet.state_dict()))}
    return news


def _to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in tensors.items()}
