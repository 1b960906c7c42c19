"""Parameters and operations of CLEARER's networks at the sizes that profiles have for grey images.

    python -m benchmarks clearer_sizes

Operations are those of a forward pass for each pixel, a multiply-add counting two, without normalisation. `clearer` is the
authors' size, with the numbers that their code gives.
"""

from typing import Any

import torch

from benchmarks import settings
from benchmarks.table import to_markdown
from nasir.layers.cost import flops_per_pixel, parameters

PROFILES = ("clearer", "small", "demo")
LETTERS = {"all P": "PPPP PPPP PPPP", "FPFF FPFF PFPF": "FPFF FPFF PFPF", "all F": "FFFF FFFF FFFF"}


def measure() -> list[dict[str, Any]]:
    """A row for each profile and genotype."""
    rows = []
    for profile in PROFILES:
        chosen = settings.of(profile, "clearer")
        for name, letters in LETTERS.items():
            genotype = chosen.space.from_line(chosen.of_space, letters)
            with torch.device("meta"):
                network = chosen.space.build(genotype, chosen.of_network, channels=1)
            rows.append(
                {
                    "profile": profile,
                    "widths": "-".join(map(str, chosen.of_network.widths)),
                    "columns": name,
                    "parameters": parameters(network),
                    "operations": flops_per_pixel(network.to_empty(device="cpu"), 1),
                }
            )
    return rows


if __name__ == "__main__":
    print(to_markdown(measure()))
