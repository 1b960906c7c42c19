"""CLEARER's network of the profile `small` against networks of IR-NAS with as many parameters: seconds for one photograph.

    python -m benchmarks resolutions

Both fused and channels last, on an image of 481x321 pixels, in turn; seconds are the least of the rounds. IR-NAS's are random
genotypes of its own size at full resolution without deformable convolutions, which would be slower still.
"""

import itertools
import random
import time
from typing import Any

import torch
from torch import nn

from benchmarks import settings
from benchmarks.derived_parameters import draw
from benchmarks.table import to_markdown
from nasir.inference.fusing import fuse
from nasir.inference.reach import deformable_layers
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.spaces.irnas import SPACE

SIZE = (321, 481)
ROUNDS = 4
LETTERS = "FPFF FPFF PFPF"
NEAR = 0.05
"""Share by which parameters may differ."""


def measure() -> list[dict[str, Any]]:
    """One row for each network: seconds, and how many times as long as CLEARER's."""
    columns = settings.of("small", "clearer")
    genotype = columns.space.from_line(columns.of_space, LETTERS)
    torch.manual_seed(0)
    networks = {f"CLEARER, {LETTERS}": columns.space.build(genotype, columns.of_network, 1)}
    networks |= {
        f"IR-NAS, random {number}": network for number, network in cells(parameters(*networks.values()), 2).items()
    }
    ways = {name: fuse(network.eval()) for name, network in networks.items()}
    x = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for _, (name, way) in itertools.product(range(ROUNDS), ways.items()):
            start = time.perf_counter()
            way(x)
            seconds[name].append(time.perf_counter() - start)
    first = min(next(iter(seconds.values()))[1:])
    return [
        {
            "network": name,
            "parameters": parameters(network),
            "operations": flops_per_pixel(network, 1),
            "seconds": min(seconds[name][1:]),
            "times_as_long": min(seconds[name][1:]) / first,
        }
        for name, network in networks.items()
    ]


def cells(size: int, count: int) -> dict[int, nn.Module]:
    """Networks of IR-NAS of about so many parameters, by the seed of their genotypes."""
    paper, found = settings.of("paper"), dict[int, nn.Module]()
    for seed in itertools.count():
        genotype = draw(random.Random(seed), paper.of_space)
        with torch.device("meta"):
            network = SPACE.build(genotype, settings.of("fast").of_network, 1)
        if abs(parameters(network) / size - 1) <= NEAR and not deformable_layers(network):
            found[seed] = SPACE.build(genotype, settings.of("fast").of_network, 1)
        if len(found) == count:
            break
    return found


if __name__ == "__main__":
    print(to_markdown(measure()))
