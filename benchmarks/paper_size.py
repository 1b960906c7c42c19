"""Seconds and peak memory of iterations at the paper's size (`profiles/paper.yaml`).

    python -m benchmarks.paper_size search --batch 3
    python -m benchmarks.paper_size retrain --batch 12

Three updates of each kind: for search three of alpha and beta and three of the weights, on random pictures. Prints one JSON line.
"""

import argparse
import dataclasses
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.derived_parameters import draw
from nasir import config
from nasir.config import RetrainConfig, SearchConfig
from nasir.data.collection import to_clean
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import parameters
from nasir.search.darts import search
from nasir.training import model
from nasir.training.device import choose
from nasir.training.retrain import retrain
from stages.retrain import shape_of
from stages.search import build

PROFILE = Path(__file__).parents[1] / "profiles/paper.yaml"
STEPS = 3


def main() -> None:
    """Run one of the two and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("search", "retrain"))
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--recompute", default="none", help="of the search: none, edge, cell")
    arguments = parser.parse_args()

    device = choose("auto")
    rng = np.random.default_rng(0)
    images = {str(i): rng.integers(0, 256, (96, 96), dtype=np.uint8) for i in range(2)}
    validation = {"v": to_clean(images["0"][:64, :64])}
    clock: list[float] = [time.perf_counter()]
    losses: list[float] = []

    def log(step: int, news: dict[str, float]) -> None:
        clock.append(time.perf_counter())
        losses.extend(news[name] for name in ("train_loss", "val_loss") if name in news)

    settings = config.load(PROFILE, "search", SearchConfig)
    if arguments.step == "search":
        settings = dataclasses.replace(
            settings,
            batch=arguments.batch,
            recompute=arguments.recompute,
            steps=STEPS,
            warmup_steps=0,
            keep_from=STEPS,
            val_period=STEPS,
            log_period=1,
        )
        network: torch.nn.Module = build(settings, "irnas", seed=0, channels=1).to(device)
        patches = PatchSampler(images, settings.patch, device)
        search(
            network,
            space="irnas",
            patches_w=patches,
            patches_a=patches,
            images_v=validation,
            config=settings,
            seed=0,
            state=None,
            save=lambda state: None,
            log=log,
        )
    else:
        training = config.load(PROFILE, "retrain", RetrainConfig)
        training = dataclasses.replace(training, batch=arguments.batch, steps=STEPS, val_period=STEPS, log_period=1)
        torch.manual_seed(0)
        network = model.build(draw(random.Random(0), settings), shape_of(training)).to(device)
        patches = PatchSampler(images, training.patch, device)
        retrain(
            network,
            patches=patches,
            images_v=validation,
            sigma=50.0,
            config=training,
            seed=0,
            state=None,
            save=lambda state: None,
            log=log,
        )
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    print(
        json.dumps(
            {
                "step": arguments.step,
                "batch": arguments.batch,
                "device": device.type,
                "parameters": parameters(network),
                "seconds_per_iteration": [round(b - a, 2) for a, b in itertools.pairwise(clock)],
                "peak_memory_gib": round(peak, 2),
                "losses": losses,
            }
        )
    )


def measure() -> list[dict[str, Any]]:
    """A row for the search, with and without recomputation, and one for retraining, each in a process of its own."""
    rows = []
    for step, recompute in (("search", "edge"), ("search", "none"), ("retrain", "none")):
        command = [sys.executable, "-m", "benchmarks.paper_size", step, "--batch", "12", "--recompute", recompute]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        seconds = found.pop("seconds_per_iteration")
        del found["losses"]
        rows.append(found | {"recompute": recompute, "least_seconds": min(seconds), "most_seconds": max(seconds)})
    return rows


if __name__ == "__main__":
    main()
