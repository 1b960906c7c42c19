"""Seconds and peak memory of iterations at the paper's size (`profiles/paper.yaml`).

    python -m benchmarks.paper_size search --batch 3
    python -m benchmarks.paper_size retrain --batch 12
    python -m benchmarks.paper_size one_shot --batch 12

Three updates of each kind: for search three of alpha and beta and three of the weights, on random pictures. Of one_shot, whose
steps differ with their paths, forty, and the scores of eight candidates. Prints one JSON line.
"""

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import settings
from benchmarks.derived_parameters import build
from nasir.config.retrain import RetrainConfig
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import to_clean
from nasir.files import Log
from nasir.layers.cost import parameters
from nasir.search.contract import Problem
from nasir.search.darts import search
from nasir.search.one_shot import search as find_best
from nasir.settings import Settings
from nasir.spaces.cells.searching import relax, share
from nasir.training.device import choose
from nasir.training.parallel import Team, alone, assemble
from nasir.training.precision import AUTO
from nasir.training.retrain import retrain

STEPS = 3
PATHS, CANDIDATES = 40, 8


def main() -> None:
    """Run one of the two and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("search", "retrain", "one_shot"))
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--recompute", default="none", help="of the search: none, edge, cell")
    arguments = parser.parse_args()

    device = choose("auto")
    clock: list[float] = [time.perf_counter()]
    losses: list[float] = []

    def log(step: int, news: dict[str, float]) -> None:
        clock.append(time.perf_counter())
        losses.extend(news[name] for name in ("train_loss", "val_loss") if name in news)

    if arguments.step == "one_shot":
        network = one_shot_steps(arguments.batch, device, log)
    elif arguments.step == "search":
        network = search_three_steps(arguments.batch, arguments.recompute, device, log)
    else:
        network = retrain_three_steps(arguments.batch, device, log)
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


def pictures(side: int = 96) -> dict[str, np.ndarray]:
    """Two of random grey levels."""
    rng = np.random.default_rng(0)
    return {str(i): rng.integers(0, 256, (side, side), dtype=np.uint8) for i in range(2)}


def search_three_steps(batch: int, recompute: str, device: torch.device, log: Log) -> nn.Module:
    """Three updates of alpha and beta and three of the weights; gives the supernet."""
    changes = {"batch": batch, "steps": STEPS, "warmup_steps": 0, "val_period": STEPS, "log_period": 1}
    chosen = settings.of(
        "paper",
        changes=[
            *(f"search.{key}={value}" for key, value in changes.items()),
            f"space.recompute={recompute}",
            f"strategy.keep_from={STEPS}",
        ],
    )
    relaxed = relax("irnas", chosen.of_space, channels=1, seed=0)
    search(relaxed, _problem(chosen, 64, device, log, alone(device)))
    return relaxed.network


def one_shot_steps(batch: int, device: torch.device, log: Log) -> nn.Module:
    """Steps of the shared weights, each on one path, then candidates scored on an image of 192x192; gives all parts."""
    changes = {"batch": batch, "steps": PATHS, "warmup_steps": 0, "val_period": PATHS, "log_period": 1}
    own = {"candidates": CANDIDATES, "population": CANDIDATES, "tournament": 1, "finalists": 0}
    texts = [
        f"{section}.{key}={value}"
        for section, of in (("search", changes), ("strategy", own))
        for key, value in of.items()
    ]
    chosen = settings.of("paper", changes=texts, strategy="one_shot")
    with assemble(section="search", devices=1, parallel="auto", precision=AUTO, device=str(device)) as team:
        shared = share("irnas", chosen.of_space, channels=1, seed=0)
        find_best(shared, _problem(chosen, 192, device, log, team))
    return shared.network


def _problem(chosen: Settings, side: int, device: torch.device, log: Log, team: Team) -> Problem:
    """A search on random pictures; V has one image of so many pixels a side."""
    images = pictures(max(96, side))
    patches = PatchSampler(images, chosen.search.patch, device)
    return Problem(
        space=chosen.space,
        of_space=chosen.of_space,
        config=chosen.search,
        of_strategy=chosen.of_strategy,
        channels=1,
        patches_w=patches,
        patches_a=patches,
        images_v={"v": to_clean(images["0"][:side, :side])},
        seed=0,
        state=None,
        save=lambda state: None,
        log=log,
        team=team,
    )


def retrain_three_steps(batch: int, device: torch.device, log: Log) -> nn.Module:
    """Three updates of a random genotype's network; gives it."""
    changes = {"batch": batch, "steps": STEPS, "val_period": STEPS, "log_period": 1}
    chosen = settings.of("paper", changes=[f"retrain.{key}={value}" for key, value in changes.items()])
    config = chosen.section("retrain", RetrainConfig)
    torch.manual_seed(0)
    network = build(random.Random(0), chosen).to(device)
    images = pictures()
    retrain(
        network,
        patches=PatchSampler(images, config.patch, device),
        images_v={"v": to_clean(images["0"][:64, :64])},
        sigma=50.0,
        config=config,
        seed=0,
        state=None,
        save=lambda state: None,
        log=log,
    )
    return network


def measure() -> list[dict[str, Any]]:
    """A row for the search, with and without recomputation, one_shot and retraining, each in a process of its own."""
    rows = []
    for step, recompute in (("search", "edge"), ("search", "none"), ("one_shot", "none"), ("retrain", "none")):
        command = [sys.executable, "-m", "benchmarks.paper_size", step, "--batch", "12", "--recompute", recompute]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        seconds = found.pop("seconds_per_iteration")
        del found["losses"]
        row = found | {"recompute": recompute, "least_seconds": min(seconds), "most_seconds": max(seconds)}
        if step == "one_shot":
            row |= {"mean_seconds": fmean(seconds[1:PATHS]), "candidate_seconds": fmean(seconds[PATHS:])}
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
