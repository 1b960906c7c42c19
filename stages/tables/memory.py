"""memory: by how much one update of the supernet's weights raises this process's peak memory."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasir import task as tasks
from nasir.config.search import SearchConfig
from nasir.data.patches import PatchSampler
from nasir.files import Log, write_json
from nasir.layers.cost import parameters
from nasir.spaces.contract import Space, part
from nasir.training.device import choose, peak_memory_mib
from nasir.training.loop import Descent
from nasir.training.parallel import alone


def run(*, out: Path, task: str, space: Space, of_space: Any, seed: int, config: SearchConfig, log: Log) -> None:
    """Write the JSON file `out`.

    Building the supernet is part of what is measured. Only a fresh process measures it; the patches are of random pictures.
    """
    device, channels = choose(config.device), tasks.find(task).channels
    rng = np.random.default_rng(seed)
    shape = (2 * config.patch, 2 * config.patch, channels)
    drawn = {str(i): rng.integers(0, 256, shape, dtype=np.uint8) for i in range(2)}
    patches = PatchSampler(drawn, config.patch, device)
    before = peak_memory_mib(device)
    relaxed = part(space.searching).relax(space.name, of_space, channels, seed)
    supernet = relaxed.network.to(device)
    weights = relaxed.weights()
    descent = Descent(
        network=supernet,
        weights=weights,
        optimiser=torch.optim.SGD(weights, lr=config.lr_max, momentum=config.momentum),
        patches=patches,
        sigmas=config.sigmas,
        budget=config,
        steps=1,
        parts=config.accumulate,
        generator=torch.Generator().manual_seed(seed),
        team=alone(device),
        section="search",
    )
    descent.advance(1)
    peak = max(0.0, peak_memory_mib(device) - before)  # the kernel counts pages of each processor in batches
    what = (
        f"supernet and one update of its weights on {config.batch} patches of {config.patch}x{config.patch}, "
        f"{device.type}"
    )
    write_json(out, {"peak_mib": peak, "parameters": parameters(supernet), "what": what})
    log(1, {"peak_mib": peak})
