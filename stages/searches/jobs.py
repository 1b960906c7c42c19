"""The jobs of the study, each in a process and thread of its own: to search, and to train and score one network.

Seconds are those of the processor, so that what else the machine does weighs little, and networks get equal shares of them.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from nasir import task as tasks
from nasir.config.retrain import RetrainConfig
from nasir.data import split_lists
from nasir.data.patches import PatchSampler
from nasir.data.pictures import listing
from nasir.data.pictures.collection import Sample, crop_middle, load, to_sample
from nasir.evaluation import protocols
from nasir.files import read_json, write_json
from nasir.inference.fusing import fuse
from nasir.layers.cost import flops_per_pixel, parameters
from nasir.search.contract import Found, Problem, Strategy
from nasir.search.sampling import tokens as sampling
from nasir.search.sampling.tokens import Tokens, Window
from nasir.settings import Settings
from nasir.spaces.contract import Genotype
from nasir.training import checkpoints
from nasir.training.device import facts, set_determinism
from nasir.training.pace import seconds_per_step
from nasir.training.parallel import Team, assemble
from nasir.training.retrain import retrain
from stages.around.entries import digest
from stages.around.receipts import commit
from stages.searches import plan as plans
from stages.searches.kept import Kept
from stages.searches.plan import SECOND, Job, Plan

DENOISE = tasks.find("denoise")

RANKED = 8
"""Networks that are ranked between two checkpoints."""


def work(plan: Plan, job: Job, data: Path, results: Path, checkpoint: Path | None = None) -> None:
    """Do a job and write its result.

    Args:
        plan: of the study.
        job: one of its jobs; the results that it needs are there.
        data: with the folders `pictures` and `split`.
        results: folder to write into.
        checkpoint: of a search, which is carried on from it if it exists; removed in the end. None keeps nothing.
    """
    torch.set_num_threads(1)
    settings = plan.settings(job.search, job.network)
    config = settings.search if not job.is_training else settings.section("retrain", RetrainConfig)
    with assemble(
        section="search", devices=1, parallel="auto", precision=config.precision, device=config.device
    ) as team:
        set_determinism(team.device)
        if job.is_training:
            kept, found = None, train(plan, job, settings, data, results, team)
        else:
            kept = Kept(checkpoint, _made_with(plan, job, settings, data, team) if checkpoint is not None else {})
            found = search(plan, job, settings, data, team, kept)
    write_json(
        results / f"{job.name}.json",
        found | {"precision": team.precision, "commit": commit(), "made_with": plan.made_with(job)},
    )
    if kept is not None:
        kept.remove()


def _made_with(plan: Plan, job: Job, settings: Settings, data: Path, team: Team) -> dict[str, str]:
    """What a search's checkpoint depends on."""
    return checkpoints.fingerprint(
        plan.made_with(job) | facts(team.device, team.precision) | {"seed": job.seed},
        {"pictures": listing.digest(data / "pictures"), "split": data / "split" / "split.json"},
        digest("search", settings),
    )


def randoms(plan: Plan) -> list[Tokens]:
    """The random networks of the study, as tokens."""
    settings = plan.settings(None)
    lowest, highest = plan.values["window"]
    window = Window(of="parameters", lowest=lowest, highest=highest)
    generator = torch.Generator().manual_seed(0)
    drawn: dict[Tokens, None] = {}
    while len(drawn) < plan.values["random"]:
        drawn[sampling.draw(settings.space, settings.of_space, DENOISE.channels, window, generator)] = None
    return list(drawn)


def search(plan: Plan, job: Job, settings: Settings, data: Path, team: Team, kept: Kept) -> dict[str, Any]:
    """What a strategy finds, what it cost, and how its measure ranks the random networks."""
    config, space = settings.search, settings.space
    problem = Problem(
        space=space,
        of_space=settings.of_space,
        config=config,
        of_strategy=settings.of_strategy,
        channels=DENOISE.channels,
        patches_w=_patches(_pictures(data, "w"), config.patch, team),
        patches_a=_patches(_pictures(data, "a"), config.patch, team),
        images_v=_samples(_pictures(data, "v"), config.val_crop),
        seed=job.seed,
        state=kept.state(),
        save=kept.keep,
        log=lambda step, news: None,
        team=team,
    )
    found = settings.strategy.search(problem)
    kept.end()
    seconds, peak_mib = kept.cost()
    problem = dataclasses.replace(problem, state=None, save=lambda state: None)
    return {
        "genotype": space.to_json(found.genotype),
        "scores": found.scores,
        "seconds": seconds,
        "peak_memory_mib": peak_mib,
        "spent_flops": found.spent_flops,
        "facts": found.facts,
        "history": _scored(found),
        "ranking": _ranking(settings.strategy, problem, found, randoms(plan), kept),
    }


def _ranking(
    strategy: Strategy, problem: Problem, found: Found, networks: Sequence[Tokens], kept: Kept
) -> list[float] | None:
    """The scores of networks by a search's measure, some at a time; None where it has none."""
    while len(kept.ranking) < len(networks):
        done = len(kept.ranking)
        scores = strategy.rank(problem, found, networks[done : done + RANKED])
        if scores is None:
            return None
        kept.rank(scores)
    return kept.ranking


def _scored(found: Found) -> list[tuple[int, str, float]]:
    """The history at the steps at which the network was scored on V."""
    steps = {step for step, metric, _ in found.history if metric == "score"}
    return [row for row in found.history if row[0] in steps]


def train(plan: Plan, job: Job, settings: Settings, data: Path, results: Path, team: Team) -> dict[str, Any]:
    """Train a network for the plan's seconds or steps and score it on the plan's test images."""
    space, tokens = settings.space, list[int]()
    if job.network is not None:
        genotype = space.from_line(settings.of_space, plan.networks[job.network]["genotype"])
    elif job.search is None:
        tokens = list(randoms(plan)[job.seed])
        genotype = space.from_tokens(settings.of_space, tokens)
    else:
        genotype = space.from_json(read_json(results / f"{job.follows}.json")["genotype"])
    sizes = settings.of_network if job.network is not None else _fit(genotype, settings, plan.values["window"])
    config = settings.section("retrain", RetrainConfig)
    patches = _patches(_pictures(data, "w", "a"), config.patch, team)
    v = _samples(_pictures(data, "v"), config.val_crop)

    seed = job.seed + (SECOND if job.is_second else 0)

    def build(genotype: Genotype, sizes: Any) -> torch.nn.Module:
        torch.manual_seed(seed)
        network: torch.nn.Module = space.build(genotype, sizes, DENOISE.channels).to(team.device)
        return network

    sigma = plan.values["sigma"]
    steps = plan.values.get("steps")
    if steps is None:

        def measure(genotype: Genotype, sizes: Any) -> float:
            network, image = build(genotype, sizes), next(iter(v.values()))
            return seconds_per_step(network, patches=patches, image=image, sigma=sigma, config=config, team=team)

        steps = _steps(plan, results, measure, measure(genotype, sizes))
    config = dataclasses.replace(
        config, steps=steps, warmup_steps=steps // 20, val_period=steps, log_period=steps, checkpoint_period=steps
    )
    network = build(genotype, sizes)
    start = time.process_time()
    trained = retrain(
        network, patches=patches, images_v=v, sigma=sigma, config=config, seed=seed, state=None,
        save=lambda state: None, log=lambda step, news: None, team=team,
    )  # fmt: skip
    seconds = time.process_time() - start
    network.load_state_dict(trained.last)
    fused = fuse(network)
    test = _samples(_pictures(data, "test"), 0)
    chosen = dict(list(test.items())[:: max(1, len(test) // plan.values["images"])][: plan.values["images"]])
    with torch.inference_mode():
        scores = protocols.score(lambda noisy, _: fused(noisy), chosen, sigma, "whole", settings.params.seed)
    return {
        "genotype": space.to_json(genotype),
        "tokens": tokens,
        "sizes": dataclasses.asdict(sizes),
        "parameters": parameters(network),
        "flops_per_pixel": flops_per_pixel(network, DENOISE.channels),
        "steps": steps,
        "seconds": seconds,
        "v_psnr_db": trained.best_scores["psnr_db"],
        "psnr_db": {score.name: score.psnr_db for score in scores},
    }


def _steps(plan: Plan, results: Path, measure: Callable[[Genotype, Any], float], own: float) -> int:
    """Steps in the plan's seconds, which are those of the machine on which the study began.

    Its pace is known by the first random networks, of which some are measured again: the median of them says how much faster this
    machine is. Without, a study that is carried on elsewhere would give its networks more training, or less.

    Args:
        plan, results: of the study.
        measure: gives the seconds of a step of a network of the genotype and sizes.
        own: the seconds of a step of the network to train.
    """
    seconds, settings, ratios = plan.values["seconds"], plan.settings(None), []
    for job in plan.references():
        there = plans.result(results, plan, job)
        if there is not None:
            genotype = settings.space.from_json(there["genotype"])
            here = measure(genotype, _fit(genotype, settings, plan.values["window"]))
            ratios.append(here * there["steps"] / seconds)
    return max(1, round(seconds / own * (median(ratios) if ratios else 1.0)))


def _fit(genotype: Genotype, settings: Settings, window: tuple[float, float]) -> Any:
    """The profile's sizes, or of the others that the space has the first that bring the network into the window, or next to it.

    A network with many skips has few parameters; it is given more channels, so that networks of one size are compared.
    """
    lowest, highest = window
    best, gap = settings.of_network, float("inf")
    for sizes in [settings.of_network, *settings.space.other_sizes(settings.of_network)]:
        with torch.device("meta"):
            size = parameters(settings.space.build(genotype, sizes, DENOISE.channels))
        if lowest <= size <= highest:
            return sizes
        if abs(size - (lowest + highest) / 2) < gap:
            best, gap = sizes, abs(size - (lowest + highest) / 2)
    return best


def _pictures(data: Path, *parts: str) -> dict[str, np.ndarray]:
    """The pictures of parts of the split."""
    split = split_lists.read(data / "split" / "split.json", parts)
    return load(data / "pictures", [name for part in parts for name in split[part]], DENOISE)


def _samples(pictures: Mapping[str, np.ndarray], crop: int) -> dict[str, Sample]:
    return {name: to_sample(crop_middle(image, crop), DENOISE) for name, image in pictures.items()}


def _patches(pictures: Mapping[str, np.ndarray], patch: int, team: Team) -> PatchSampler:
    return PatchSampler(pictures, patch, team.device, DENOISE.is_paired, DENOISE.is_turned)
