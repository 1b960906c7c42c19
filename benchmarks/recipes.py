"""Recipes for short trainings: the same network for equal seconds, one thing changed at a time.

    python -m benchmarks.recipes --pictures runs/pair --split runs/split --seconds 60

A network of the profile `small` (a cell made by hand) is trained on W and A and scored on V, never on test images. Each recipe
gets as many steps as fit into the seconds at its own rate, which is measured first. Prints a Markdown table, row by row.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.table import to_markdown
from nasir import task as tasks
from nasir.config.retrain import RetrainConfig
from nasir.config.training import MOST_STEPS
from nasir.data.patches import PatchSampler
from nasir.data.pictures.collection import load, to_sample
from nasir.files import read_json
from nasir.spaces import contract
from nasir.spaces.cells.genotype import Edge, Genotype
from nasir.spaces.cells.section import CellsSizes
from nasir.training.pace import seconds_per_step
from nasir.training.parallel import assemble
from nasir.training.retrain import retrain

SIGMA = 50.0

CELL = (
    (Edge(input=0, operation="conv_3x3"), Edge(input=1, operation="conv_3x3")),
    (Edge(input=0, operation="skip"), Edge(input=2, operation="conv_3x3")),
    (Edge(input=2, operation="skip"), Edge(input=3, operation="conv_3x3")),
)
"""Five convolutions and a skip; one chain of three."""

GENOTYPE = Genotype(
    space="irnas", cells=(CELL,), path=(0, 1, 1, 0), width_factors=(1.0, 2.0, 4.0), residual=True, activation="relu",
    downscale=2, norm="none", reads_stem=True,
)  # fmt: skip
SIZES = CellsSizes(width=16, stem_channels=32, aspp_channels=0, aspp_rates=())
BEST = RetrainConfig(
    steps=100, batch=16, patch=64, optimiser="adamw", weight_decay=0.0001, warmup_steps=5, lr_max=0.003, lr_min=0.00001,
    average=0.999, clip_norm=5.0, clip_usual=0.0, epoch=1, noise="float",
    ssim_weight=0.0, val_period=MOST_STEPS, val_crop=0, log_period=MOST_STEPS,
    checkpoint_period=MOST_STEPS, compile=False, devices=1, parallel="auto", precision="auto", device="auto",
)  # fmt: skip

Way = tuple[dict[str, Any], dict[str, Any]]
WAYS: dict[str, Way] = {
    "the recipe": ({}, {}),
    "Adam": ({}, {"optimiser": "adam", "weight_decay": 0.0}),
    "peak rate 0.001": ({}, {"lr_max": 0.001}),
    "peak rate 0.002": ({}, {"lr_max": 0.002}),
    "peak rate 0.006": ({}, {"lr_max": 0.006}),
    "peak rate 0.01": ({}, {"lr_max": 0.01}),
    "no warm-up": ({}, {"warmup_steps": 0}),
    "no average": ({}, {"average": 0.0}),
    "clipped at norm 0.5": ({}, {"clip_norm": 0.5}),
    "8 patches of 64x64": ({}, {"batch": 8}),
    "8 patches, clipped at norm 0.1": ({}, {"batch": 8, "clip_norm": 0.1}),
    "8 patches, peak rate 0.008": ({}, {"batch": 8, "lr_max": 0.008}),
    "8 patches, peak rate 0.008, clipped at norm 0.1": ({}, {"batch": 8, "lr_max": 0.008, "clip_norm": 0.1}),
    "4 patches of 64x64": ({}, {"batch": 4}),
    "8 patches of 48x48": ({}, {"batch": 8, "patch": 48}),
    "16 patches of 48x48": ({}, {"patch": 48}),
    "8 patches of 96x96": ({}, {"batch": 8, "patch": 96}),
    "MSE and log-SSIM": ({}, {"ssim_weight": 0.5}),
    "float32": ({}, {"precision": "32-true"}),
    "batch normalisation": ({"norm": "batch"}, {}),
    "no global residual": ({"residual": False}, {}),
    "the stem not read at the end": ({"reads_stem": False}, {}),
    "full resolution": ({"downscale": 1}, {}),
    "a quarter of the resolution": ({"downscale": 4}, {}),
    "the recipe before": (
        {"norm": "batch", "reads_stem": False, "downscale": 1},
        {"optimiser": "adam", "weight_decay": 0.0, "warmup_steps": 0, "average": 0.0, "ssim_weight": 0.5, "batch": 8}
        | {"patch": 48, "precision": "32-true"},
    ),
}
"""Changes to the genotype, and to the training."""


def measure(pictures: Path, split: Path, seconds: float, seeds: int, ways: Mapping[str, Way]) -> None:
    """Print a row for each recipe."""
    parts, task = read_json(split / "split.json"), tasks.find("denoise")
    training = load(pictures, parts["w"] + parts["a"], task)
    v = {name: to_sample(image, task) for name, image in load(pictures, parts["v"], task).items()}
    first = None
    for name, (of_genotype, of_training) in ways.items():
        config = dataclasses.replace(BEST, **of_training)
        genotype = dataclasses.replace(GENOTYPE, **of_genotype)
        patches = PatchSampler(training, config.patch, torch.device("cpu"), task.is_paired, task.is_turned)
        scores = []
        with assemble(
            section="retrain", devices=1, parallel="auto", precision=config.precision, device=config.device
        ) as team:
            image = next(iter(v.values()))
            network = contract.find("irnas").build(genotype, SIZES, 1)
            step = seconds_per_step(network, patches=patches, image=image, sigma=SIGMA, config=config, team=team)
            steps = max(20, int(seconds / step))
            warmup = 0 if config.warmup_steps == 0 else steps // 20
            config = dataclasses.replace(config, steps=steps, warmup_steps=warmup)
            for seed in range(seeds):
                torch.manual_seed(seed)
                network = contract.find("irnas").build(genotype, SIZES, 1)
                trained = retrain(
                    network, patches=patches, images_v=v, sigma=SIGMA, config=config, seed=seed, state=None,
                    save=lambda state: None, log=lambda step, news: None, team=team,
                )  # fmt: skip
                scores.append(trained.best_scores["psnr_db"])
        row = {
            "recipe": name,
            "steps": steps,
            "ms a step": step * 1000,
            "PSNR on V, dB": round(statistics.fmean(scores), 3),
            "range": f"{min(scores):.2f} to {max(scores):.2f}",
            "difference": f"{statistics.fmean(scores) - (first if first is not None else statistics.fmean(scores)):+.2f}",
        }
        table = to_markdown([row]).splitlines()
        print("\n".join(table if first is None else table[2:]), flush=True)
        first = statistics.fmean(scores) if first is None else first


def main() -> None:
    """Measure all recipes, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="of recipes; none = all; the first of them is what others are compared to"
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    ways = {name: WAYS[name] for name in given.names} if given.names else WAYS
    measure(given.pictures, given.split, given.seconds, given.seeds, ways)


if __name__ == "__main__":
    main()
