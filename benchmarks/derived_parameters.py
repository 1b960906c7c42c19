"""How many parameters a derived network has at the retraining width of `profiles/paper.yaml`.

    python -m benchmarks.derived_parameters

The paper prints 0.63 M for its denoising network and not the width it was retrained at. Here: random genotypes of the
space at the paper's size, every operation, input and width step equally likely.
"""

import random
import statistics
from pathlib import Path

import torch

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


def measure(count: int, seed: int) -> list[int]:
    """Trainable parameters of `count` random derived networks, ascending."""
    search = config.load(PROFILE, "search", SearchConfig)
    retrain = config.load(PROFILE, "retrain", RetrainConfig)
    shape = shape_of(retrain)
    rng = random.Random(seed)
    with torch.device("meta"):
        return sorted(parameters(model.build(draw(rng, search), shape)) for _ in range(count))


if __name__ == "__main__":
    found = measure(200, seed=0)
    print(
        f"{len(found)} random genotypes: median {statistics.median(found) / 1e6:.2f} M parameters, "
        f"quartiles {found[50] / 1e6:.2f} and {found[150] / 1e6:.2f} M, "
        f"smallest {found[0] / 1e6:.2f} M, largest {found[-1] / 1e6:.2f} M"
    )
