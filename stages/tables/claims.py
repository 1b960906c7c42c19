"""claims: what the paper says in its text, measured here: parameters, search time and memory, seconds of one image."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasir import task as tasks
from nasir.config.evaluate import EvaluateConfig
from nasir.data import split_lists
from nasir.data.noise import add_keyed_noise
from nasir.data.pictures.collection import load_samples, pair_of
from nasir.evaluation import classical
from nasir.evaluation.protocols import Denoiser
from nasir.evaluation.timing import Timed
from nasir.files import Log, read_json, write_json
from nasir.inference import model as models
from nasir.layers.cost import parameters as size_of
from nasir.networks import catalogue
from nasir.training.device import choose, set_determinism

CALLS = 3
PATIENCE = 5.0
"""Seconds of timed calls after which no further one of the `CALLS` is made; the median of those made is kept."""

WARM_UP = 64
"""Side of the piece of the image that each method restores once before it is timed, pixels."""


def run(
    *,
    pictures: Path,
    split: Path,
    model: Path,
    search: Path,
    cost: Path,
    settings_file: Path,
    out: Path,
    cell: dict[str, Any],
    task: str,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> None:
    """Write the file `out`, JSON: what Table C shows of one task.

    Args:
        pictures, split: the data set; the first test image is the one that is timed.
        model: the found network; its noise level is used for all.
        search, cost: what the search wrote, and its receipt.
        settings_file: the settings file, for the processes that measure memory.
        out: JSON file to write.
        cell: the baselines that are counted and timed beside the network, and whether the search's memory is measured.
        task, seed: whose images, and of noise and fresh weights.
        config: the device.
        log: called with each method's seconds.
    """
    # first: a process starts with the peak of the one that starts it
    memory = _memory(settings_file) if cell["has_memory"] else None
    device = choose(config.device)
    set_determinism(device)
    found = models.load(model, device=device)
    name = split_lists.read(split / "split.json", ["test"])["test"][0]
    clean = pair_of(load_samples(pictures, [name], tasks.find(task))[name]).clean
    noisy = add_keyed_noise(clean, name, found.sigma, seed)[None]

    parameters = {"irnas": found.parameters}
    methods: dict[str, Denoiser] = {"irnas": found}
    if not tasks.find(task).is_paired:
        methods |= {"tv": classical.total_variation(1.0), "nlm": classical.non_local_means(0.8)}
    for network in cell["networks"]:
        torch.manual_seed(seed)
        fresh = catalogue.build(network, found.channels)  # its seconds do not depend on its weights
        built = catalogue.find(network).finish(fresh).to(device)
        parameters[network] = size_of(built)
        methods[network] = models.Denoiser(network=built, sigma=found.sigma, channels=found.channels)
    timings = {}
    for step, (method, denoiser) in enumerate(methods.items(), start=1):
        timings[method] = _time(denoiser, noisy, found.sigma)
        log(step, {f"{method}_seconds": timings[method]})

    receipt = read_json(cost)
    write_json(
        out,
        {
            "parameters": parameters,
            "search": {
                "seconds": receipt["seconds"],
                "peak_memory_mib": receipt["peak_memory_mib"],
                "device": receipt["device"],
                "is_resumed": receipt["is_resumed"],
                "steps": read_json(search / "search.json")["steps"],
            },
            "memory": memory,
            "inference": {
                "image": "x".join(str(side) for side in (clean.shape[-1], clean.shape[-2])),
                "device": receipt["device"] if device.type == "cuda" else "CPU",
                "threads": torch.get_num_threads(),
                "seconds": timings,
            },
        },
    )


def _time(denoiser: Denoiser, noisy: Tensor, sigma: float) -> float:
    """Median seconds of a call."""
    denoiser(noisy[..., :WARM_UP, :WARM_UP], sigma)
    seconds: list[float] = []
    while len(seconds) < CALLS and sum(seconds) < PATIENCE:
        timed = Timed(denoiser)
        timed(noisy, sigma)
        seconds.append(timed.seconds)
    return statistics.median(seconds)


def _memory(settings: Path) -> dict[str, Any]:
    """What the stage memory measures with and without shared cells, each in a process of its own."""
    shared, unshared = (_measure(settings, share_cells) for share_cells in ("true", "false"))
    return {"shared_mib": shared["peak_mib"], "unshared_mib": unshared["peak_mib"], "what": shared["what"]}


def _measure(settings: Path, share_cells: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "memory.json"
        options = ["--settings", str(settings), "--set", f"space.share_cells={share_cells}", "--out", str(out)]
        ran = subprocess.run(
            [sys.executable, "-m", "stages", "memory", *options], stderr=subprocess.PIPE, text=True, check=False
        )
        if ran.returncode != 0:
            raise ValueError(f"the memory of a search must be measured, got: {ran.stderr.strip()}")
        measured: dict[str, Any] = read_json(out)
        return measured
