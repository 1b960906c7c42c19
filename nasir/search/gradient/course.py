"""What a search remembers, and what it makes of each score on V: the best network, signs of collapse, whether to stop."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nasir.config.search import SearchConfig
from nasir.data.pictures.collection import Sample
from nasir.search.gradient import stopping
from nasir.search.gradient.watch import watch
from nasir.spaces.contract import Relaxed
from nasir.training.loop import STOPPED, History
from nasir.training.parallel import Team
from nasir.training.validation import validate


@dataclass(kw_only=True)
class Course:
    """What a search remembers from one score to the next, beside the supernet and its optimisers."""

    history: History
    best: dict[str, Any] | None  # step, scores, supernet
    ranked: Tensor | None  # ranking of the choices at the last score since the warm-up

    def values(self, name: str, after: int = 0) -> list[float]:
        """A metric's values at the steps behind `after`, in order."""
        return [value for step, metric, value in self.history if metric == name and step > after]

    @property
    def stopped_at(self) -> int | None:
        """The step at which the search was ended early."""
        stops = self.values(STOPPED)
        return int(stops[0]) if stops else None


def judge(
    relaxed: Relaxed,
    course: Course,
    step: int,
    images_v: Mapping[str, Sample],
    config: SearchConfig,
    *,
    rule: str,
    patience: int,
    keep_from: int,
    seed: int,
    team: Team,
) -> dict[str, float]:
    """Score on V and say what collapse looks like; the course gets the supernet if it is the best.

    `stopped_at` is among the news if the rule ends the search at this step. Before the warm-up's end, where the
    architecture has not moved, no rule is asked.

    Args:
        relaxed: the supernet.
        course: of the search so far; changed.
        step: the one just done.
        images_v: V.
        config: noise levels and lengths.
        rule, patience: see `nasir.search.gradient.stopping`.
        keep_from: the first step whose supernet may be kept.
        seed: of V's keyed noise.
        team: the processes.
    """

    def score() -> dict[str, float]:
        return team.score(lambda images: validate(relaxed.network, images, config.sigmas, seed), images_v)

    scores = score()
    stable = [0.0, *course.values("rank_stable_scores")][-1]
    seen = watch(relaxed, before=course.ranked, stable=stable, score=scores["score"], rescore=lambda: score()["score"])
    news = scores | {"best_score": max([scores["score"], *course.values("score")])} | seen
    is_warm = step > config.warmup_steps
    if is_warm:
        course.ranked = relaxed.ranking()
    is_stopped = (
        is_warm
        and step < config.steps
        and stopping.is_due(
            rule,
            patience=patience,
            skips=seen["derived_skips"],
            stable=seen["rank_stable_scores"],
            scores=[*course.values("score", after=config.warmup_steps), scores["score"]],
        )
    )
    if is_stopped:
        news[STOPPED] = step
    is_kept = step >= keep_from or is_stopped
    if is_kept and (course.best is None or scores["score"] > course.best["scores"]["score"]):
        tensors = {name: value.cpu() for name, value in relaxed.network.state_dict().items()}
        course.best = {"step": step, "scores": scores, "supernet": copy.deepcopy(tensors)}
    return news
