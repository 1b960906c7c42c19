"""How many parameters a derived network has at the retraining width of `profiles/paper.yaml`.

    python -m benchmarks.derived_parameters

The paper prints 0.63 M for its denoising network and not the width it was retrained at. Here: random genotypes of the
space at the paper's size, every operation, input and width step equally likely.
"""

import random
import statistics
from typing import Any

import torch
from torch import nn

from benchmarks import settings
from benchmarks.table import to_markdown
from nasir.layers.cost import parameters
from nasir.settings import Settings
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSection
from nasir.spaces.irnas import OPERATIONS, SPACE


def draw(rng: random.Random, section: CellsSection) -> Genotype:
    """A random genotype of the search's size."""
    operations = [name for name in OPERATIONS if name != "none"]
    cell = tuple(
        tuple(Edge(input=i, operation=rng.choice(operations)) for i in rng.sample(range(node + 2), section.inputs))
        for node in range(section.nodes)
    )
    path: list[int] = []
    for _ in range(section.layers):
        before = path[-1] if path else 0
        path.append(rng.choice([k for k in range(len(section.width_factors)) if abs(k - before) <= 1]))
    return Genotype(
        space=SPACE.name,
        cells=(cell,),
        path=tuple(path),
        width_factors=section.width_factors,
        residual=section.residual,
        activation=section.activation,
    )


def build(rng: random.Random, chosen: Settings) -> nn.Module:
    """A random genotype's network for grey images, at the sizes that it is retrained at."""
    return SPACE.build(draw(rng, chosen.of_space), chosen.of_network, channels=1)


def measure(count: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """One row: the spread of the trainable parameters of `count` random derived networks."""
    paper = settings.of("paper")
    rng = random.Random(seed)
    with torch.device("meta"):
        found = [parameters(build(rng, paper)) for _ in range(count)]
    low, median, high = statistics.quantiles(found, n=4)
    return [
        {"genotypes": count, "median": median, "lower_quartile": low, "upper_quartile": high}
        | {"smallest": min(found), "largest": max(found)}
    ]


if __name__ == "__main__":
    print(to_markdown(measure()))
