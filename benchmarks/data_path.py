"""What the data path takes of a retraining step, and what a layout channels last brings to that step.

    python -m benchmarks.data_path

At the sizes of the profiles `small` and `paper`, for one random genotype without and one with deformable convolutions. In
turn: a batch is drawn and made noisy, a network takes a step on it, and its twin with weights channels last takes the same
one. Milliseconds are the smallest of the rounds. Prints a Markdown table.
"""

import copy
import itertools
import random
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import settings
from benchmarks.derived_parameters import build
from benchmarks.table import to_markdown
from nasir.config.retrain import RetrainConfig
from nasir.data.noise import add_noise
from nasir.data.patches import PatchSampler
from nasir.inference.fusing import lay_out
from nasir.inference.reach import deformable_layers
from nasir.settings import Settings
from nasir.training.device import choose
from nasir.training.losses import restoration_loss

ROUNDS = 4
SIGMA = 50.0


def measure(profiles: tuple[str, ...] = ("small", "paper"), device: str = "auto") -> list[dict[str, Any]]:
    """One row for each profile and network: milliseconds of the data path and of the steps, and the share in percent."""
    where = choose(device)
    rng = np.random.default_rng(0)
    images = {str(i): rng.integers(0, 256, (321, 481), dtype=np.uint8) for i in range(50)}
    rows = []
    for profile in profiles:
        chosen = settings.of(profile)
        config = chosen.section("retrain", RetrainConfig)
        sampler = PatchSampler(images, config.patch, where)
        for seed in _seeds(chosen):
            torch.manual_seed(0)
            network = build(random.Random(seed), chosen).train().to(where)
            data, plain, last = _time(network, sampler, config)
            rows.append(
                {
                    "profile": profile,
                    "deformable": len(deformable_layers(network)),
                    "data_ms": data,
                    "step_ms": plain,
                    "share_percent": 100 * data / min(plain, last),
                    "channels_last_ms": last,
                }
            )
    return rows


def _seeds(chosen: Settings) -> list[int]:
    """The first seeds whose genotype is without and with deformable convolutions."""
    found: dict[bool, int] = {}
    with torch.device("meta"):
        for seed in range(1000):
            network = build(random.Random(seed), chosen)
            found.setdefault(bool(deformable_layers(network)), seed)
    return [found[False], found[True]]


def _time(network: nn.Module, sampler: PatchSampler, config: RetrainConfig) -> list[float]:
    """Milliseconds of the data path, of a step, and of a step channels last."""
    twin = copy.deepcopy(network)
    lay_out(twin)
    steps = [(one, torch.optim.Adam(one.parameters(), lr=config.lr_max)) for one in (network, twin)]
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(ROUNDS):
        clock = [time.perf_counter()]
        clean = sampler.draw(config.batch, generator)
        noisy = add_noise(clean, SIGMA, generator)
        clock.append(_now(noisy))
        for one, optimiser in steps:
            _step(one, optimiser, noisy, clean, config)
            clock.append(_now(noisy))
        found.append([1000 * (b - a) for a, b in itertools.pairwise(clock)])
    return [min(times) for times in zip(*found[1:], strict=True)]  # the first round does not count


def _step(
    network: nn.Module, optimiser: torch.optim.Optimizer, noisy: Tensor, clean: Tensor, config: RetrainConfig
) -> None:
    loss = restoration_loss(network(noisy), clean, config.ssim_weight)
    loss.item()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimiser.step()


def _now(tensor: Tensor) -> float:
    """The time after all work on the tensor's device is done."""
    if tensor.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    print(to_markdown(measure()))
