"""Try strategies that choose candidates on the table of a study: what they find after how many, without training anything.

A model fitted on the table (`nasir.search.sampling.surrogate`) gives every network of the space its value; a try's candidates are
scored by it, with the noise of a training where that was measured, and what counts is the value without noise.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasir.evaluation.statistics import Interval, mean_interval
from nasir.files import read_csv, write_csv, write_json
from nasir.reporting.searches.judgement import of_training, tau
from nasir.reporting.tables import interval, number, table
from nasir.search.policy.cohort import Cohort, search
from nasir.search.policy.controller import Controller, decisions
from nasir.search.policy.updating import Rules
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.evolution import evolve, select_random
from nasir.search.sampling.surrogate import Surrogate
from nasir.search.sampling.tokens import Tokens
from nasir.spaces.contract import Space, random_tokens
from stages.searches import plan as plans

POPULATION, TOURNAMENT = 20, 5
"""Of evolution."""

HIDDEN, LR, DECAY = 16, 0.003, 0.95
"""Of the controllers, which a small space does not need at their full size."""

RULES = {
    "rl, PPO": Rules(estimator="ppo", slots=32, mini_batch=32, is_scaled=True),
    "rl, REINFORCE": Rules(estimator="reinforce"),
}

MOST = 100_000
"""Networks of a space, all of which are looked at."""

RECENT = 50
"""Candidates, the last so many at a place, of which the mean value says what a strategy has learnt to draw."""

COLUMNS = ("strategy", "seed", "candidates", "regret_db", "recent_db")

Array = NDArray[np.float64]


class Try:
    """A try's scores, as a strategy asks for them, and what it has found so far.

    Args:
        values: of all networks, dB.
        numbers: each network's place in them.
        noise: standard deviation of a score from one training to the next, dB; drawn by (seed, network, visit).
        seed: of the try.

    Attributes:
        regrets: after each candidate, how far the value of that with the highest score so far lies below the best value, dB, as
            NAS-Bench-101 has it (Ying et al., ICML 2019).
        gaps: how far each candidate's own value lies below it, dB.
    """

    def __init__(self, values: Array, numbers: Mapping[Tokens, int], noise: float, seed: int) -> None:
        self.values, self.numbers, self.noise, self.seed = values, numbers, noise, seed
        self.regrets, self.gaps = list[float](), list[float]()
        self._best, self._highest = float(values.max()), -np.inf
        self._visits: dict[int, int] = {}

    def __call__(self, tokens: Tokens) -> float:
        """A candidate's score, dB."""
        place = self.numbers[tokens]
        visit = self._visits[place] = self._visits.get(place, 0) + 1
        gap, score = self._best - float(self.values[place]), float(self.values[place])
        if self.noise > 0:
            score += self.noise * float(np.random.default_rng((1, self.seed, place, visit)).standard_normal())
        self.regrets.append(gap if score > self._highest else self.regrets[-1])
        self.gaps.append(gap)
        self._highest = max(self._highest, score)
        return score


def run(plan: Path, profiles: Path, networks: Path, out: Path, candidates: int, seeds: int) -> None:
    """Write `regret.csv` and `rehearsal.json` into `out`, and print what came out.

    Args:
        plan: of the study whose space it is.
        profiles: folder of base.yaml and of the profiles.
        networks: the study's `networks.csv`.
        out: folder to write into.
        candidates: scored in each try.
        seeds: tries of each strategy, two at least.

    Raises:
        ValueError: if fewer networks are trained than one has tokens, or the space is too large to look at all.
    """
    settings = plans.read(plan, profiles).settings(None)
    space, section = settings.space, settings.of_space
    known, pairs = read(networks)
    least = len(space.tokens(section))
    if len(known) < least:
        raise ValueError(
            f"{networks} must hold {least} random networks or more, as many as a network has tokens, to predict others from, "
            f"got {len(known)}; `make study PLAN={plan.stem}` trains more."
        )
    surrogate = Surrogate(known)
    everything = all_of(space, section)
    training = of_training(pairs) if len(pairs) > 1 else None
    error = of_errors(surrogate)
    rest = max(0.0, error.mean**2 - training.mean**2) ** 0.5 if training is not None else 0.0
    numbers, predicted = {tokens: place for place, tokens in enumerate(everything)}, surrogate(everything)
    noise = 0.0 if training is None else training.mean
    rows, seconds = list[dict[str, Any]](), dict[str, float]()
    for strategy, attempt in strategies(space, section, candidates).items():
        tries = [Try(values(predicted, rest, seed), numbers, noise, seed) for seed in range(seeds)]
        start = time.process_time()
        attempt(tries)
        seconds[strategy] = round((time.process_time() - start) / seeds, 2)
        rows += [row for one in tries for row in rows_of(strategy, one)]
    write_csv(out / "regret.csv", rows, COLUMNS)
    facts = {
        "plan": plan.stem, "networks": len(known), "of": len(everything), "spread_db": stdev(known.values()),
        "pairs": len(pairs), "training_db": training and asdict(training), "rest_db": rest, "error_db": asdict(error),
        "tau": asdict(tau(list(surrogate.left_out), list(known.values()))), "view": surrogate.view, "penalty": surrogate.penalty,
        "best": _written(space, section, everything[int(predicted.argmax())]), "candidates": candidates,
        "seeds": seeds, "seconds": seconds,
        "rl": {"hidden": HIDDEN, "lr": LR, "decay": DECAY}, "evolution": {"population": POPULATION, "tournament": TOURNAMENT},
    }  # fmt: skip
    write_json(out / "rehearsal.json", facts)
    print(_said(facts, rows))


def read(networks: Path) -> tuple[dict[Tokens, float], list[tuple[float, float]]]:
    """PSNR of every random network of a study, by its tokens; and of those that were trained twice after either training.

    The mean over the test images, dB; of the first training of each.
    """
    rows = [row for row in read_csv(networks) if row.get("tokens")]
    scores = {row["network"]: float(row["psnr_db"]) for row in rows}
    first = {row["network"]: row for row in rows if row["network"].startswith("random-")}
    known = {tuple(map(int, row["tokens"].split())): scores[name] for name, row in first.items()}
    again = {name: name.replace("random-", "again-", 1) for name in first}
    return known, [(scores[name], scores[second]) for name, second in again.items() if second in scores]


def all_of(space: Space, section: object) -> list[Tokens]:
    """All networks of a space, as tokens, in order.

    Raises:
        ValueError: if there are more than 100,000.
    """
    found: list[Tokens] = [()]
    for _ in space.tokens(section):
        found = [(*one, number) for one in found for number, allowed in enumerate(space.mask(section, one)) if allowed]
        if len(found) > MOST:
            raise ValueError(
                f"a space must have {MOST:,} networks at most to be rehearsed in, got more of {space.name}; name a "
                "smaller one's plan."
            )
    return found


def of_errors(surrogate: Surrogate) -> Interval:
    """Root of the mean squared error of what is predicted for networks left out, dB, with its interval."""
    errors = np.square(surrogate.left_out - np.array(list(surrogate.known.values())))
    squares = mean_interval(errors.tolist())
    return Interval(mean=squares.mean**0.5, low=squares.low**0.5, high=squares.high**0.5)


def values(predicted: Array, rest: float, seed: int) -> Array:
    """The landscape of a try: what is predicted, and for each network a normal rest of its own that no model sees, dB."""
    drawn: Array = predicted + rest * np.random.default_rng((0, seed)).standard_normal(len(predicted))
    return drawn


def strategies(space: Space, section: object, candidates: int) -> dict[str, Callable[[Sequence[Try]], None]]:
    """What is tried: each takes all tries, and asks each for the scores of so many candidates."""

    def draw(generator: torch.Generator) -> Tokens:
        return tuple(random_tokens(space, section, generator))

    def at_random(tries: Sequence[Try]) -> None:
        for one in tries:
            select_random(one, partial(draw, torch.Generator().manual_seed(one.seed)), candidates)

    def by_evolution(tries: Sequence[Try]) -> None:
        for one in tries:
            generator = torch.Generator().manual_seed(one.seed)
            evolve(
                one, partial(draw, generator), partial(sampling.change, space=space, section=section, generator=generator),
                candidates=candidates, population=POPULATION, tournament=TOURNAMENT, generator=generator,
            )  # fmt: skip

    def by_policy(rules: Rules, tries: Sequence[Try]) -> None:
        controllers = []
        for one in tries:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(one.seed)
                controllers.append(Controller(decisions(space, section), HIDDEN, 1, 0, is_autoregressive=True))
        generators = [torch.Generator().manual_seed(one.seed) for one in tries]
        cohort = Cohort(controllers, LR, DECAY, rules)
        search(cohort, partial(space.mask, section), lambda place, tokens: tries[place](tokens), generators, candidates)

    return {
        "random": at_random,
        "evolution": by_evolution,
        **{name: partial(by_policy, rules) for name, rules in RULES.items()},
    }


def places(candidates: int) -> list[int]:
    """Where a try is looked at: 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, ... and the last."""
    steps = sorted({step * 10**power for step in (1, 2, 3, 5, 7, 15) for power in range(len(str(candidates)))})
    return [*(step for step in steps if step < candidates), candidates]


def rows_of(strategy: str, one: Try) -> Iterator[dict[str, Any]]:
    """A try's rows of the file."""
    for place in places(len(one.gaps)):
        recent = fmean(one.gaps[max(0, place - RECENT) : place])
        row = (strategy, one.seed, place, round(one.regrets[place - 1], 5), round(recent, 5))
        yield dict(zip(COLUMNS, row, strict=True))


def _written(space: Space, section: object, tokens: Tokens) -> str:
    """A network by the names of its choices."""
    return " ".join(token.choices[number] for token, number in zip(space.tokens(section), tokens, strict=True))


def _said(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    candidates = facts["candidates"]
    shown = sorted({min(candidates, count) for count in (10, 30, 100, candidates)})
    lines = []
    for strategy in facts["seconds"]:
        of = [row for row in rows if row["strategy"] == strategy]
        means = [fmean(row["regret_db"] for row in of if row["candidates"] == place) for place in shown]
        lines.append([strategy, *(number(mean, 3) for mean in means)])
    ranks = Interval(**facts["tau"])
    return (
        f"{facts['networks']} networks trained; the others are predicted, for networks left out with a Kendall's tau of "
        f"{number(ranks.mean, 2)} {interval(ranks, 2)}. dB below the best of the space, mean of {facts['seeds']} tries:\n\n"
        + table(["candidates", *map(str, shown)], lines, [str(place) for place in shown])
    )
