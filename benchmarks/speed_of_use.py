"""Whole images through every shipped network, and through plain networks of known sizes.

    python -m benchmarks.speed_of_use

Each network gets a photograph of 481x321 pixels in one piece, in two threads, in float32 and in bfloat16, with batch
normalisation merged and weights channels last, as `nasir.load` runs it. The networks of `models/` get it in grey or in colour,
as they were trained, and those behind an estimate of the tone estimate it, too. Beside them stand four for grey images with
random weights, as seconds do not depend on them: plain convolutions, 15 layers of 64 channels at half the resolution as FFDNet
has, and 17 at the whole as DnCNN has; a network of IR-NAS's space at full resolution, and one of CLEARER's space with about as
many parameters. Ways take turns in one run; seconds are the least of the rounds. Prints a Markdown table.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from benchmarks import recipes, settings
from benchmarks.table import to_markdown
from nasir.inference import model, zoo
from nasir.inference.fusing import fuse
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.networks.dncnn import DnCNN
from nasir.spaces import contract
from nasir.spaces.resolutions.genotype import Genotype

SIZE = (321, 481)
ROUNDS = 5
THREADS = 2
WIDTH = 32
"""Of the network of cells, so that it has about as many parameters as the networks of columns."""


class FFDNetSized(nn.Module):
    """The layers of FFDNet for grey images (Zhang et al., IEEE TIP 2018), which read 2x2 pixels and the noise level."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(5, 64, 3, padding=1), nn.ReLU()]
        for _ in range(13):
            layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Restore images, shape (N, 1, H, W) of even sides."""
        small = pixel_unshuffle(x, 2)
        level = small.new_full((len(small), 1, *small.shape[2:]), 50 / 255)
        return pixel_shuffle(self.layers(torch.cat([small, level], dim=1)), 2)


def cells() -> nn.Module:
    """A network of IR-NAS's space at full resolution, of convolutions in multiples of 16."""
    genotype = dataclasses.replace(recipes.GENOTYPE, path=(0, 1, 1, 1), downscale=1)
    sizes = dataclasses.replace(recipes.SIZES, width=WIDTH)
    return contract.find("irnas").build(genotype, sizes, 1)


def columns() -> nn.Module:
    """A network of CLEARER's space at the size of `small`, with as many fusions as the paper's."""
    genotype = Genotype(
        space="clearer", cells=("FPFF", "FPFF", "PFPF"), residual=True, norm="none", downscale=1, transition="before"
    )
    return contract.find("clearer").build(genotype, settings.of("small", "clearer").of_network, 1)


MADE: dict[str, Callable[[], nn.Module]] = {
    "plain, as FFDNet": FFDNetSized,
    "plain, as DnCNN": lambda: DnCNN(1),
    "IR-NAS's space, full resolution": cells,
    "CLEARER's space": columns,
}


def measure() -> list[dict[str, Any]]:
    """A row for each network: its size, seconds in float32 and bfloat16, and times as fast as the plain network as FFDNet's."""
    torch.set_num_threads(THREADS)
    plain = {name: make().eval() for name, make in MADE.items()}
    shipped = {name: model.load(name) for name in zoo.names()}
    networks = plain | {name: one.network for name, one in shipped.items()}
    channels = dict.fromkeys(plain, 1) | {name: one.channels for name, one in shipped.items()}
    run: dict[str, Callable[[Tensor], Tensor]] = {name: fuse(network) for name, network in plain.items()}
    run.update(shipped)
    colour = torch.rand(1, 3, SIZE[0] + 1, SIZE[1] + 1, generator=torch.Generator().manual_seed(0))
    images = {count: colour[:, :count].contiguous(memory_format=torch.channels_last) for count in (1, 3)}
    seconds: dict[tuple[str, torch.dtype], list[float]] = {}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, restore in run.items():
                for kind in (torch.float32, torch.bfloat16):
                    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
                        start = time.perf_counter()
                        restore(images[channels[name]])
                    seconds.setdefault((name, kind), []).append(time.perf_counter() - start)
    first = min(seconds[next(iter(MADE)), torch.float32])
    return [
        {
            "network": name,
            "parameters": parameters(network),
            "flops_per_pixel": flops_per_pixel(network, channels[name]),
            "seconds, float32": min(seconds[name, torch.float32]),
            "seconds, bfloat16": min(seconds[name, torch.bfloat16]),
            "times as fast as FFDNet's, float32": first / min(seconds[name, torch.float32]),
        }
        for name, network in networks.items()
    ]


def main() -> None:
    """Measure and print a table."""
    print(to_markdown(measure()))


if __name__ == "__main__":
    main()
