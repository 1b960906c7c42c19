"""claims: what the paper says in its text, measured here: parameters, search time and memory, seconds of one image."""

import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasir import task as tasks
from nasir.config import EvaluateConfig
from nasir.data.collection import load_samples, pair_of
from nasir.data.noise import add_keyed_noise
from nasir.evaluation import classical, cost
from nasir.evaluation.protocols import Denoiser
from nasir.evaluation.timing import Timed
from nasir.files import Log, read_json, write_json
from nasir.networks import catalogue
from nasir.training import model as models
from nasir.training.device import choose, set_determinism

CALLS = 3
PATIENCE = 5.0
"""Seconds of timed calls after which no further one of the `CALLS` is made; the median of those made is kept."""

WARM_UP = 64
"""Side of the piece of the image that each method restores once before it is timed, pixels."""


def run(
    *,
    images: Path,
    split: Path,
    model: Path,
    search: Path,
    receipt: Path,
    memory: Path | None,
    out: Path,
    task: str,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> None:
    """Write the file `out`, JSON: what Table C shows of one task.

    Args:
        images, split: the data set; the first test image is the one that is timed.
        model: the found network; its noise level is used for all.
        search, receipt: what the search wrote, and its receipt.
        memory: what the memory stage wrote, where it was measured.
    """
    device = choose(config.device)
    set_determinism(device)
    found = models.load(model, device=device)
    name = read_json(split / "split.json")["test"][0]
    clean = pair_of(load_samples(images, [name], tasks.find(task))[name]).clean
    noisy = add_keyed_noise(clean, name, found.sigma, seed)[None]

    parameters = {"irnas": cost.parameters(found.network)}
    methods: dict[str, Denoiser] = {"irnas": found}
    if not tasks.find(task).is_paired:
        methods |= {"tv": classical.total_variation(1.0), "nlm": classical.non_local_means(0.8)}
    own = [network for network, baseline in catalogue.NETWORKS.items() if baseline.task == task]
    for network in own:
        torch.manual_seed(seed)
        fresh = catalogue.build(network, found.channels)  # its seconds do not depend on its weights
        built = catalogue.find(network).finish(fresh).to(device)
        parameters[network] = cost.parameters(built)
        methods[network] = models.Denoiser(network=built, sigma=found.sigma, channels=found.channels)
    timings = {}
    for step, (method, denoiser) in enumerate(methods.items(), start=1):
        timings[method] = _time(denoiser, noisy, found.sigma)
        log(step, {f"{method}_seconds": timings[method]})

    bill = read_json(receipt)
    write_json(
        out,
        {
            "parameters": parameters,
            "search": {
                "seconds": bill["seconds"],
                "peak_memory_mib": bill["peak_memory_mib"],
                "device": bill["device"],
                "is_resumed": bill["is_resumed"],
                "steps": read_json(search / "search.json")["steps"],
            },
            "memory": memory and _compare(read_json(memory / "shared.json"), read_json(memory / "unshared.json")),
            "inference": {
                "image": "x".join(str(side) for side in (clean.shape[-1], clean.shape[-2])),
                "device": bill["device"] if device.type == "cuda" else "CPU",
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


def _compare(shared: dict[str, Any], unshared: dict[str, Any]) -> dict[str, Any]:
    return {"shared_mib": shared["peak_mib"], "unshared_mib": unshared["peak_mib"], "what": shared["what"]}
