"""Invented results of a study: ten random networks and two searches of two seeds each, on four images."""

import dataclasses
from typing import Any

from nasir.spaces import contract
from nasir.spaces.cells.genotype import to_json
from tests.spaces.cells.small import SMALL

SECTION = dataclasses.replace(SMALL, nodes=2)
SPREAD = {"a": -2.0, "b": -1.0, "c": 1.0, "d": 2.0}
"""What each image has more than the mean, dB."""

PLAN: dict[str, Any] = {
    "name": "bsd500",
    "dataset": "bsd500",
    "profile": "small",
    "sigma": 50,
    "images": 4,
    "seconds": 150,
    "window": [190000, 210000],
    "random": 10,
    "seeds": [0, 1],
    "changes": ["search.steps=1200", "search.sigmas=[50]"],
    "changes_of": {"one_shot": ["search.steps=900", "strategy.finalists=0"], "darts": []},
    "searches": {
        "one_shot": {"strategy": "one_shot", "changes": []},
        "darts, beta decay": {"strategy": "darts", "changes": ["strategy.beta_decay=0.5"]},
    },
}
RANDOM = [{"name": f"random-{n:02d}", "search": None, "seed": n, "is_training": True} for n in range(10)]
SEARCHES = [
    {"name": f"{kind}-{slug}-{seed}", "search": search, "seed": seed, "is_training": kind == "found"}
    for seed in (0, 1)
    for search, slug in (("one_shot", "one-shot"), ("darts, beta decay", "darts-beta-decay"))
    for kind in ("search", "found")
]
JOBS: list[dict[str, Any]] = [*RANDOM, *SEARCHES]

RANKING = [3.0, 1.0, 2.0, 4.0, 0.0, 5.0, 7.0, 6.0, 9.0, 8.0]
"""What the searches' measures say of the random networks, whose order is that of their numbers."""


def images(mean: float) -> dict[str, float]:
    return {name: mean + more for name, more in SPREAD.items()}


def network(mean: float, *operations: str) -> dict[str, Any]:
    """What the training of a network gives: its mean PSNR is `mean`."""
    space = contract.find("irnas")
    genotype = space.from_tokens(SECTION, [0, 0, 1, 0, 0, 0, 1, 0, 0, 1])
    names = iter(operations or ("conv_3x3", "skip", "sep_3x3", "skip"))
    cell = tuple(
        tuple(dataclasses.replace(edge, operation=next(names)) for edge in edges) for edges in genotype.cells[0]
    )
    return {
        "genotype": to_json(dataclasses.replace(genotype, cells=(cell,))),
        "tokens": [0, 1],
        "sizes": {"width": 16, "stem_channels": 32},
        "parameters": 201234,
        "flops_per_pixel": 150000,
        "steps": 4321,
        "seconds": 98.76,
        "v_psnr_db": mean + 0.5,
        "psnr_db": images(mean),
    }


def cost(seconds: float, memory: float, ranking: list[float] | None) -> dict[str, Any]:
    """What a search gives."""
    return {
        "seconds": seconds,
        "peak_memory_mib": memory,
        "ranking": ranking,
        "made_with": {"space": dataclasses.asdict(SECTION)},
    }


def results() -> dict[str, Any]:
    """All results: random networks of 20, 21, ... 29 dB, one_shot 28.5 and 29.25 dB, darts 24.5 and 19 dB."""
    found = {job["name"]: network(20.0 + job["seed"]) for job in RANDOM}
    for seed, (one_shot, darts) in enumerate([(28.5, 24.5), (29.25, 19.0)]):
        found[f"search-one-shot-{seed}"] = cost(60.0 + 120 * seed, 300.0 + 50 * seed, RANKING)
        found[f"search-darts-beta-decay-{seed}"] = cost(600.0, 512.4, None)
        found[f"found-one-shot-{seed}"] = network(one_shot, *(("skip", "conv_3x3", "conv_3x3", "sep_3x3")))
        found[f"found-darts-beta-decay-{seed}"] = network(darts, *(("skip",) * 4))
    return found
