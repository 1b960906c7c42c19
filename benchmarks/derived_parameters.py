"""How many parameters a derived network has at the retraining width of `profiles/paper.yaml`.

    python -m benchmarks.derived_parameters

The paper prints 0.63 M for its denoising network and not the width it was retrained at. Here: random genotypes of the
space at the paper's size, every operation, input and width step equally likely.
"""

import random
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.table import to_markdown
from nasir import config
from nasir.config import RetrainConfig, SearchConfig
from nasir.evaluation.cost import parameters
from nasir.genotype import OPERATIONS, Edge, Genotype
from nasir.training import model
from stages.retrain import shape_of

PROFILE = Path(__file__).parents[1] / "profiles/paper.yaml"


def draw(rng: random.Random, search: SearchConfig) -> Genotype:
    """A random genotype of the search's size."""
    operations = [name for name in OPERATIONS["irnas"] if name != "none"]
    cell = tuple(
        tuple(Edge(input=i, operation=rng.choice(operations)) for i in rng.sample(range(node + 2), 2))
        for node in range(search.nodes)
    )
    path: list[int] = []
    for _ in range(search.layers):
        before = path[-1] if path else 0
        path.append(rng.choice([k for k in range(len(search.width_factors)) if abs(k - before) <= 1]))
    return Genotype(
        space="irnas",
        cells=(cell,),
        path=tuple(path),
        width_factors=search.width_factors,
        residual=search.residual,
        activation=search.activation,
    )


def measure(count: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """One row: the spread of the trainable parameters of `count` random derived networks."""
    search = config.load(PROFILE, "search", SearchConfig)
    retrain = config.load(PROFILE, "retrain", RetrainConfig)
    shape = shape_of(retrain)
    rng = random.Random(seed)
    with torch.device("meta"):
        found = [parameters(model.build(draw(rng, search), shape)) for _ in range(count)]
    low, median, high = statistics.quantiles(found, n=4)
    return [
        {"genotypes": count, "median": median, "lower_quartile": low, "upper_quartile": high}
        | {"smallest": min(found), "largest": max(found)}
    ]


if __name__ == "__main__":
    print(to_markdown(measure()))
