"""A step of retraining a network of half a million parameters, 12 patches of 64x64: as it was, and as it is.

    python -m benchmarks.training_step

Random genotypes at the paper's search size, with a width that is a multiple of 16 and 0.45 to 0.55 M parameters: the first two
without and the first one with deformable convolutions. The ways take turns in one run; seconds are the least of the rounds.

    before   torch's batch normalisation, whose gradient is a slice of a concatenation's
    now      that gradient laid out densely, as every network has it
    plain    now, without normalisation (`space.norm: none`)
"""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks import settings
from benchmarks.derived_parameters import draw
from benchmarks.table import to_markdown
from nasir.inference.fusing import lay_out
from nasir.inference.reach import deformable_layers
from nasir.layers.cost import parameters
from nasir.layers.normalisation import BatchNorm
from nasir.spaces.cells.genotype import Genotype
from nasir.spaces.irnas import SPACE

BATCH, PATCH, ROUNDS = 12, 64, 4
SIZE = (450_000, 550_000)


def measure() -> list[dict[str, Any]]:
    """One row for each network and way."""
    generator = torch.Generator().manual_seed(0)
    noisy, clean = torch.rand(2, BATCH, 1, PATCH, PATCH, generator=generator)
    rows = []
    for genotype in networks():
        ways = {
            f"{when}, {numbers}": (_network(genotype, when), numbers)
            for when in ("before", "now", "plain")
            for numbers in ("float32", "bfloat16")
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _, (name, (network, numbers)) in itertools.product(range(ROUNDS), ways.items()):
            start = time.perf_counter()
            context = torch.autocast("cpu", torch.bfloat16) if numbers == "bfloat16" else nullcontext()
            with context:
                restored = network(noisy)
            loss = (restored.float() - clean).square().mean()
            torch.autograd.grad(loss, list(network.parameters()))
            seconds[name].append(time.perf_counter() - start)
        first = min(next(iter(seconds.values()))[1:])
        for name, (network, _) in ways.items():
            rows.append(
                {
                    "way": name,
                    "deformable": len(deformable_layers(network)),
                    "parameters": parameters(network),
                    "seconds": min(seconds[name][1:]),
                    "times_as_fast": first / min(seconds[name][1:]),
                }
            )
    return rows


def networks() -> Iterator[Genotype]:
    """Two genotypes without deformable convolutions, and one with."""
    chosen = settings.of("paper", changes=["space.residual=true"])
    wanted = {False: 2, True: 1}
    for seed in itertools.count():
        genotype = draw(random.Random(seed), chosen.of_space)
        with torch.device("meta"):
            network = SPACE.build(genotype, settings.of("fast").of_network, 1)
        has = bool(deformable_layers(network))
        if SIZE[0] <= parameters(network) <= SIZE[1] and wanted[has] > 0:
            wanted[has] -= 1
            yield genotype
        if not any(wanted.values()):
            return


def _network(genotype: Genotype, when: str) -> nn.Module:
    torch.manual_seed(0)
    if when == "plain":
        genotype = replace(genotype, norm="none")
    network = SPACE.build(genotype, settings.of("fast").of_network, 1)
    if when == "before":
        for module in network.modules():
            if type(module) is BatchNorm:
                module.__class__ = nn.BatchNorm2d
    lay_out(network)
    return network.train()


if __name__ == "__main__":
    print(to_markdown(measure()))
