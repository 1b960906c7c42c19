"""Try strategies that choose candidates on the table of a study: what they find after how many, without training anything."""

import math
from collections.abc import Callable
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from statistics import fmean

import torch

from nasir.files import read_csv, write_bytes, write_csv
from nasir.reporting.searches import figures
from nasir.reporting.searches.judgement import tau
from nasir.reporting.tables import interval, number, table
from nasir.search.policy.controller import Controller, decisions, masks_of
from nasir.search.policy.updating import Baseline, Rules, Teacher
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.evolution import evolve, select_random
from nasir.search.sampling.surrogate import Surrogate
from nasir.search.sampling.tokens import Tokens
from nasir.spaces.contract import Space, random_tokens
from stages.searches import plan as plans

POPULATION, TOURNAMENT = 20, 5
"""Of evolution."""

HIDDEN, LR, DECAY = 32, 0.003, 0.95
"""Of the controller, which a small space does not need at its full size."""

PPO = Rules(estimator="ppo", slots=32, passes=2, mini_batch=8, is_scaled=True)
REINFORCE = Rules(estimator="reinforce")

MOST = 100_000
"""Networks of a space of which the best is known by looking at all."""

COLUMNS = ("strategy", "seed", "candidates", "best_psnr_db")


def run(plan: Path, profiles: Path, networks: Path, out: Path, candidates: int, seeds: int) -> None:
    """Write `rehearsal.csv` and `rehearsal.png` into `out`, and print what came out.

    Args:
        plan: of the study whose space it is.
        profiles: folder of base.yaml and of the profiles.
        networks: the study's `networks.csv`.
        out: folder to write into.
        candidates: scored in each try.
        seeds: tries of each strategy.
    """
    settings = plans.read(plan, profiles).settings(None)
    space, section = settings.space, settings.of_space
    surrogate = Surrogate(read(networks))
    ranks = tau(list(surrogate.left_out), list(surrogate.known.values()))
    strategies: dict[str, Callable[[int], list[float]]] = {
        "random": lambda seed: at_random(surrogate, space, section, candidates, seed),
        "evolution": lambda seed: by_evolution(surrogate, space, section, candidates, seed),
        "rl, PPO": lambda seed: by_policy(surrogate, space, section, candidates, seed, PPO),
        "rl, REINFORCE": lambda seed: by_policy(surrogate, space, section, candidates, seed, REINFORCE),
    }
    courses = {name: [attempt(seed) for seed in range(seeds)] for name, attempt in strategies.items()}
    write_csv(
        out / "rehearsal.csv",
        [
            dict(zip(COLUMNS, (name, seed, place, best), strict=True))
            for name, tries in courses.items()
            for seed, course in enumerate(tries)
            for place, best in enumerate(course, start=1)
        ],
        COLUMNS,
    )
    best = best_of(surrogate, space, section)
    write_bytes(out / "rehearsal.png", figures.regret(courses, best))
    places = sorted({min(candidates, count) for count in (10, 30, 100, candidates)})
    rows = [
        [name, *(number(best - fmean(course[place - 1] for course in tries), 3) for place in places)]
        for name, tries in courses.items()
    ]
    print(
        f"{len(surrogate.known)} networks trained; the others are predicted, for networks left out with a Kendall's tau of "
        f"{number(ranks.mean, 2)} {interval(ranks, 2)}. dB below the best of the space, mean of {seeds} tries:\n"
    )
    print(table(["candidates", *map(str, places)], rows, [str(place) for place in places]))


def read(networks: Path) -> dict[Tokens, float]:
    """The mean PSNR on the test images of every random network of a study, by its tokens; of the first training of each."""
    rows = [row for row in read_csv(networks) if row.get("tokens") and not row.get("network", "").startswith("again-")]
    return {tuple(int(token) for token in row["tokens"].split()): float(row["psnr_db"]) for row in rows}


def at_random(score: Surrogate, space: Space, section: object, candidates: int, seed: int) -> list[float]:
    """The best score after each of so many random candidates."""
    generator, scores = torch.Generator().manual_seed(seed), list[float]()
    select_random(_noting(score, scores), lambda: tuple(random_tokens(space, section, generator)), candidates)
    return list(accumulate(scores, max))


def by_evolution(score: Surrogate, space: Space, section: object, candidates: int, seed: int) -> list[float]:
    """The same of regularised evolution."""
    generator, scores = torch.Generator().manual_seed(seed), list[float]()
    evolve(
        _noting(score, scores), lambda: tuple(random_tokens(space, section, generator)),
        lambda parent: sampling.change(parent, space, section, generator),
        candidates=candidates, population=POPULATION, tournament=TOURNAMENT, generator=generator,
    )  # fmt: skip
    return list(accumulate(scores, max))


def by_policy(score: Surrogate, space: Space, section: object, candidates: int, seed: int, rules: Rules) -> list[float]:
    """The same of a controller that learns from the scores as they come."""
    generator, scores = torch.Generator().manual_seed(seed), list[float]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controller = Controller(decisions(space, section), HIDDEN, 1, 0, is_autoregressive=True)
    optimiser = torch.optim.Adam(controller.parameters(), lr=LR)
    teacher = Teacher(controller, optimiser, Baseline(DECAY), rules, partial(masks_of, space, section))
    note = _noting(score, scores)
    for _ in range(candidates):
        draw = controller.sample(partial(space.mask, section), generator)
        teacher.update(draw, note(draw.tokens), teacher.orders(generator))
    return list(accumulate(scores, max))


def best_of(score: Surrogate, space: Space, section: object) -> float:
    """The best score of all networks of the space where these can be looked at, else of those in the table."""
    counts = [len(token.choices) for token in space.tokens(section)]
    if math.prod(counts) > MOST:
        return max(score.known.values())
    return max(score(tokens) for tokens in product(*(range(count) for count in counts)))


def _noting(score: Surrogate, scores: list[float]) -> Callable[[Tokens], float]:
    def note(tokens: Tokens) -> float:
        scores.append(score(tokens))
        return scores[-1]

    return note
