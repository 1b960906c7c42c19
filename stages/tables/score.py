"""score: rows of the paper's tables without training, of one task; and how any cell is scored and written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nasir import task as tasks
from nasir.config.evaluate import EvaluateConfig
from nasir.data import split_lists
from nasir.data.pictures.collection import load_samples
from nasir.evaluation import scoring
from nasir.evaluation.protocols import Denoiser, Score
from nasir.evaluation.scoring import MEASURES
from nasir.files import Log, read_json, write_csv, write_json
from nasir.inference import model as models
from nasir.layers import cost
from nasir.reporting.cells import folder_name
from nasir.task import Task

COLUMNS = ("protocol", "name", *MEASURES)
CLASSICAL = ("noisy", "tv", "nlm", "bm3d")


def count(split: Path, cell: dict[str, Any]) -> int:
    """How many scores `run` will make."""
    return len(cell["methods"]) * len(cell["sigmas"]) * scores(split, cell)


def scores(split: Path, cell: dict[str, Any]) -> int:
    """How many scores a method has at one noise level."""
    return sum(len(drawn) for drawn in scoring.draw(cell["protocols"], _test(split)).values())


def run(
    *,
    pictures: Path,
    split: Path,
    extras: Path,
    out: Path,
    cell: dict[str, Any],
    task: str,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> None:
    """Write a folder for each method and noise level into `out`, each with `scores.csv` and `cell.json`.

    Args:
        pictures, split: the data set; total variation and non-local means are tuned on V.
        extras: what the extras stage wrote of the package that the methods need; else it is not read.
        out: folder to write into.
        cell: the methods, some of `CLASSICAL`, their noise levels and protocols, and the package that they need. One that is
            missing leaves cells with the reason alone.
        task, seed: whose images, and of the noise.
        config: candidates of the settings that are tuned.
        log: called with each score.
    """
    package = cell["package"]
    is_missing = bool(package) and read_json(extras)["version"] is None
    done = 0
    for sigma in cell["sigmas"]:
        for method in cell["methods"]:
            folder = out / folder_name(method, sigma, seed)
            facts: dict[str, Any] = {"method": method, "sigma": float(sigma), "seed": seed, "draw": 0}
            if is_missing:
                reason = f"the package {package} is not installed (make tables {package.upper()}=1)"
                write_reason(folder, facts, split, reason)
                continue
            denoiser, settings = _classical(method, pictures, split, tasks.find(task), sigma, seed, config)
            facts["genotype_sha256"] = None
            done += score(
                denoiser, facts, settings, pictures=pictures, split=split, out=folder, protocols=cell["protocols"],
                task=task, sigma=sigma, seed=seed, config=config,
                log=behind(log, done),
            )  # fmt: skip


def score(
    denoiser: Denoiser,
    facts: Mapping[str, Any],
    settings: Mapping[str, float] | None = None,
    *,
    pictures: Path,
    split: Path,
    out: Path,
    protocols: Sequence[str],
    task: str,
    sigma: float,
    seed: int,
    config: EvaluateConfig,
    log: Log,
) -> int:
    """Score a denoiser on the test images and write `scores.csv` and `cell.json` into `out`.

    Args:
        denoiser: what is scored; a network of `nasir.inference.model` is counted, too.
        facts: that `cell.json` has besides: method, sigma, seed, draw, genotype_sha256.
        settings: of a classical denoiser, that were chosen on V.
        pictures, split: the data set.
        out: folder to write into.
        protocols: each for all test images ("half") or for a random draw of them ("whole:50"), the same for every method and
            noise level.
        task, sigma, seed: whose images, and their noise.
        config: patches at once.
        log: called with each score.

    Returns:
        How many scores there are.
    """
    names = _test(split)
    plan = scoring.draw(protocols, names)
    test = load_samples(pictures, names, tasks.find(task))
    step = 0

    def tell(protocol: str, one: Score) -> None:
        nonlocal step
        step += 1
        log(step, {f"{facts['method']}_{protocol}_psnr_db": one.psnr_db})

    found = scoring.score(denoiser, test, plan, sigma=sigma, seed=seed, batch=config.batch, tell=tell)
    rows = [row for protocol, scored in found.items() for row in scored.rows(protocol=protocol)]
    network = denoiser if isinstance(denoiser, models.Denoiser) else None
    size = {
        "parameters": network and network.parameters,
        "flops_per_pixel": network and cost.flops_per_pixel(network.network, network.channels),
    }
    spent = {
        "seconds_per_image": {protocol: scored.seconds / len(plan[protocol]) for protocol, scored in found.items()},
        "tiling": network and network.tiling and asdict(network.tiling),
    }
    write_csv(out / "scores.csv", rows, COLUMNS)
    first = dict(facts) | {"images": len(names), "reason": None, "settings": dict(settings or {})}
    write_json(out / "cell.json", first | size | spent)
    return step


def write_reason(out: Path, facts: Mapping[str, Any], split: Path, reason: str) -> None:
    """Write `cell.json` into `out` for a cell that could not be made, with why."""
    write_json(out / "cell.json", dict(facts) | {"images": len(_test(split)), "reason": reason})


def behind(log: Log, done: int) -> Log:
    """A log whose steps are counted from `done` on."""
    return lambda step, news: log(done + step, news)


def _test(split: Path) -> list[str]:
    names: list[str] = sorted(split_lists.read(split / "split.json", ["test"])["test"])
    return names


def _classical(
    method: str, pictures: Path, split: Path, task: Task, sigma: float, seed: int, config: EvaluateConfig
) -> tuple[Denoiser, dict[str, float]]:
    """A classical denoiser, and the setting that was chosen for it on V."""
    from nasir.evaluation import classical  # it imports scipy.stats, which no trained cell needs

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
        v = load_samples(pictures, split_lists.read(split / "split.json", ["v"])["v"], task)
        return classical.tune(method, factors, v, sigma, seed)
    raise ValueError(f"a method without training must be one of {list(CLASSICAL)}, got {method!r}.")
