"""score: one cell of the paper's tables, a method at one noise level, under named protocols."""

import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nasir import task as tasks
from nasir.config import EvaluateConfig
from nasir.data.collection import load_samples
from nasir.evaluation import classical, cost, protocols
from nasir.evaluation.protocols import Denoiser, Score
from nasir.evaluation.timing import Timed
from nasir.files import Log, read_json, write_csv, write_json
from nasir.task import Task
from nasir.training import model as models
from nasir.training.device import choose, set_determinism
from stages import reasons

COLUMNS = ("protocol", "name", "psnr_db", "ssim_zero_padded", "ssim_valid")
CLASSICAL = ("noisy", "tv", "nlm", "bm3d")


def run(
    *,
    images: Path,
    split: Path,
    method: str,
    model: Path | None,
    extras: Path | None,
    plan: Sequence[str],
    out: Path,
    task: str,
    sigma: float,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> None:
    """Write `scores.csv` and `cell.json` into `out`.

    Args:
        images, split: the data set; total variation and non-local means are tuned on V.
        method: one of `CLASSICAL`, or the name of the row that `model` belongs to.
        model: the model folder of a trained network.
        extras: what the extras stage wrote; a method whose package is missing leaves a `cell.json` with the reason alone.
        plan: protocols, each for all test images ("half") or for a random draw of them ("whole:50"), the same for every
            method and noise level.
    """
    chosen = tasks.find(task)
    names = sorted(read_json(split / "split.json")["test"])
    facts: dict[str, Any] = {"method": method, "sigma": sigma, "seed": seed, "images": len(names), "reason": None}
    reason = None if model is None else reasons.find(model.parent)
    if extras is not None and read_json(extras).get(method) is None:
        reason = f"the package {method} is not installed (make tables {method.upper()}=1)"
    if reason is not None:
        write_json(out / "cell.json", facts | {"reason": reason})
        return
    device = choose(config.device)
    set_determinism(device)
    network = None if model is None else models.load(model, device=device)
    if network is not None:
        denoiser: Denoiser = network
        facts |= {
            "parameters": cost.parameters(network.network),
            "flops_per_pixel": cost.flops_per_pixel(network.network, network.channels),
            "settings": {},
        }
    else:
        denoiser, settings = _classical(method, images, split, chosen, sigma, seed, config)
        facts |= {"parameters": None, "flops_per_pixel": None, "settings": settings}

    test = load_samples(images, names, chosen)
    drawn = dict(_draw(text, names) for text in plan)
    scores: dict[str, list[Score]] = {protocol: [] for protocol in drawn}
    seconds = dict.fromkeys(drawn, 0.0)
    timed = Timed(denoiser)
    step = 0
    for name in names:
        for protocol in (p for p in drawn if name in drawn[p]):  # inside: one restoration serves whole and whole+y
            before = timed.seconds
            score = protocols.score_image(timed, test[name], name, sigma, protocol, seed, config.batch)
            seconds[protocol] += (timed.seconds - before) / len(drawn[protocol])
            scores[protocol].append(score)
            step += 1
            log(step, {f"{method}_{protocol}_psnr_db": score.psnr_db})
    rows = [
        {"protocol": p} | {column: getattr(score, column) for column in COLUMNS[1:]}
        for p in drawn
        for score in scores[p]
    ]
    write_csv(out / "scores.csv", rows, COLUMNS)
    tiling = network and network.tiling and asdict(network.tiling)
    write_json(out / "cell.json", facts | {"seconds_per_image": seconds, "tiling": tiling})


def count(split: Path, plan: Sequence[str]) -> int:
    """How many scores `run` will make."""
    names = sorted(read_json(split / "split.json")["test"])
    return sum(len(_draw(text, names)[1]) for text in plan)


def _draw(text: str, names: list[str]) -> tuple[str, list[str]]:
    """A protocol and the images to score under it: "whole" for all, "whole:50" for 50 drawn at random."""
    protocol, _, number = text.partition(":")
    protocols.find(protocol)
    if not number:
        return protocol, names
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"a protocol for some images reads NAME:NUMBER, as in whole:50, got {text!r}.")
    return protocol, sorted(random.Random(0).sample(names, min(int(number), len(names))))


def _classical(
    method: str, images: Path, split: Path, task: Task, sigma: float, seed: int, config: EvaluateConfig
) -> tuple[Denoiser, dict[str, float]]:
    """A classical denoiser, and the setting that was chosen for it on V."""
    if method == "noisy":
        return classical.identity, {}
    if method == "bm3d":
        return classical.bm3d(), {}
    if task.is_paired:
        raise ValueError(
            f"the classical method {method!r} removes Gaussian noise, got the task {task.name}; leave it out."
        )
    if method in ("tv", "nlm"):
        factors = config.tv_factors if method == "tv" else config.nlm_factors
        v = load_samples(images, read_json(split / "split.json")["v"], task)
        return classical.tune(method, factors, v, sigma, seed)
    raise ValueError(
        f"a method without --model must be one of {list(CLASSICAL)}, got {method!r}; give the model folder of a network."
    )
