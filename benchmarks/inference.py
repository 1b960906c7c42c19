"""A derived network at the paper's size on one photograph: as it was trained, against fused and channels last.

    python -m benchmarks.inference
    python -m benchmarks.inference --compile

Two random genotypes, one without and one with deformable convolutions, on an image of 481x321 pixels. The ways take turns in
one run, so that all meet the same load; seconds are the smallest of the rounds. `--compile` adds torch.compile on top of the
fused network; its first call, which compiles, is counted apart. Prints a Markdown table.
"""

import argparse
import itertools
import random
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import settings
from benchmarks.derived_parameters import build
from benchmarks.table import to_markdown
from nasir.inference.fusing import fuse
from nasir.inference.reach import deformable_layers
from nasir.training.device import choose

SIZE = (321, 481)
ROUNDS = 4
SLOPE = 0.05
"""Standard deviation of the weights that predict offsets: most offsets then are fractions of a pixel, and none is 0."""


def measure(is_compiled: bool = False, device: str = "auto") -> list[dict[str, Any]]:
    """One row for each network and way: seconds, how many times as fast as trained, the largest difference in the output."""
    where = choose(device)
    x = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0)).to(where)
    rows: list[dict[str, Any]] = []
    for network in networks():
        network = network.to(where)
        fused = fuse(network)
        ways: dict[str, tuple[nn.Module, torch.memory_format]] = {
            "as trained, NCHW": (network, torch.contiguous_format),
            "fused, channels last": (fused, torch.channels_last),
        }
        if is_compiled:
            ways["compiled, fused, channels last"] = (torch.compile(fused), torch.channels_last)  # type: ignore[assignment]
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        outputs: dict[str, Tensor] = {}
        with torch.inference_mode():
            for _, (name, (way, layout)) in itertools.product(range(ROUNDS), ways.items()):
                start = time.perf_counter()
                outputs[name] = way(x.contiguous(memory_format=layout)).cpu()  # to the CPU: waits for a GPU
                seconds[name].append(time.perf_counter() - start)
        plain, *_ = ways
        for name in ways:
            best = min(seconds[name][1:])
            rows.append(
                {
                    "way": name,
                    "deformable": len(deformable_layers(network)),
                    "seconds": best,
                    "times_as_fast": min(seconds[plain][1:]) / best,
                    "first_call_seconds": seconds[name][0],
                    "largest_difference": (outputs[name] - outputs[plain]).abs().max().item(),
                }
            )
    return rows


def networks() -> list[nn.Module]:
    """The first random network without a deformable convolution, and the first with some, in evaluation mode."""
    paper = settings.of("paper")
    found: dict[bool, nn.Module] = {}
    for seed in itertools.count():
        torch.manual_seed(0)
        network = build(random.Random(seed), paper)
        layers = deformable_layers(network)
        for layer in layers:
            nn.init.normal_(layer.predict.weight, std=SLOPE)
        found.setdefault(bool(layers), network)
        if len(found) == 2:
            break
    for network in found.values():
        with torch.no_grad():
            for _ in range(40):  # running statistics of what comes through, so that no layer fades its input out
                network(torch.rand(1, 1, 32, 32))
        network.eval()
    return [found[False], found[True]]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true")
    print(to_markdown(measure(parser.parse_args().compile)))


if __name__ == "__main__":
    main()
