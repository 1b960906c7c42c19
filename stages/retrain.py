"""retrain: the derived network or a baseline from scratch, on W and A together, validated on V."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from nasir import task as tasks
from nasir.config.reading import flat
from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.training import SafetyConfig
from nasir.data import split_lists
from nasir.data.patches import PatchSampler
from nasir.data.pictures import listing
from nasir.data.pictures.collection import crop_middle, load, to_sample
from nasir.files import Log, read_json, sha256_file, write_csv, write_json
from nasir.inference import model
from nasir.inference.tone import Tone
from nasir.networks import catalogue
from nasir.spaces.contract import Space
from nasir.task import Task
from nasir.training import checkpoints, toning
from nasir.training.device import facts, set_determinism
from nasir.training.parallel import Team, assemble
from nasir.training.retrain import retrain
from stages.around import pausing

Images: TypeAlias = dict[str, np.ndarray]
"""name -> 8-bit image or pair, as `nasir.data.pictures.collection.load` gives it."""

ARTIFACTS = ("model",)
PROCESSES = True

WEIGHTS = "best.safetensors"
"""Of the network that a training begins with."""


def count(config: RetrainConfig) -> int:
    """Steps."""
    return config.steps


def run(
    *,
    pictures: Path,
    split: Path,
    genotype: Path | None,
    network: str | None,
    start: str | None = None,
    checkpoint: Path,
    out: Path,
    task: str,
    sigma: float,
    space: Space,
    of_network: Any,
    seed: int,
    config: RetrainConfig,
    tone: ToneConfig,
    safety: SafetyConfig,
    code: str,
    log: Log,
) -> None:
    """Train; write the model folder and `history.csv` into `out`. `checkpoint` as in search.

    With several processes all of them come here, and the first one writes.

    Args:
        genotype: of the derived network, or
        network: a baseline's name, trained in the same way but at its own learning rate, or
        start: a trained network, as `nasir.load` takes it, that is trained further; `start.json` in `out` says which.
        space, of_network: of the derived network, and its sizes.
        tone: whether and how the tone of degraded images is estimated.
    """
    train(
        pictures=pictures, split=split, genotype=genotype, network=network, start=start, checkpoint=checkpoint,
        finished=None, out=out, task=task, sigma=sigma, space=space, of_network=of_network, seed=seed, config=config,
        tone=tone, safety=safety, code=code, log=log,
    )  # fmt: skip


def train(
    *,
    pictures: Path,
    split: Path,
    genotype: Path | None,
    network: str | None,
    start: str | None = None,
    checkpoint: Path,
    finished: Path | None,
    out: Path,
    task: str,
    sigma: float,
    space: Space,
    of_network: Any,
    seed: int,
    config: RetrainConfig,
    tone: ToneConfig,
    safety: SafetyConfig,
    code: str,
    log: Log,
) -> None:
    """What `run` does; `finished` keeps the last checkpoint, from which the same training is written again at once."""
    options = {"--genotype": genotype, "--network": network, "--start": start}
    given = [option for option, value in options.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            f"retrain takes one of {', '.join(options)}, got {' and '.join(given) or 'none'}; give one of them."
        )
    inputs: dict[str, Path | str] = {"pictures": listing.digest(pictures), "split": split / "split.json"}
    if genotype is not None:
        inputs["genotype"] = genotype
    if network is not None:
        config = catalogue.find(network).at_its_rate(config)
    trained_before = began = None
    if start is not None:
        trained_before = model.find(start)
        began = {"name": trained_before.resolve().name, "weights_sha256": sha256_file(trained_before / WEIGHTS)}
        inputs |= {"start": trained_before / "model.json", "start.weights": began["weights_sha256"]}
    with assemble(
        section="retrain",
        devices=config.devices,
        parallel=config.parallel,
        precision=config.precision,
        device=config.device,
    ) as team:
        set_determinism(team.device, safety.deterministic)
        made_with = checkpoints.fingerprint(
            flat(config, "retrain.")
            | (flat(of_network, "network.") if genotype is not None else {})
            | (flat(tone, "tone.") if tone.kinds else {})
            | facts(team.device, team.precision, safety.deterministic)
            | {"task": task, "sigma": sigma, "seed": seed, "network": network},
            inputs,
            code,
        )
        state = checkpoints.load(checkpoint, made_with, team.say)
        if state is None and finished is not None:
            state = checkpoints.find(finished, made_with)
        parts = split_lists.read(split / "split.json", "wav")
        chosen = tasks.find(task)
        built, save = _build(out / "model", genotype, network, trained_before, space, of_network, chosen.channels, seed)
        training = load(pictures, parts["w"] + parts["a"], chosen)
        v = load(pictures, parts["v"], chosen)
        estimate, training, v = _take_tone_back(training, v, chosen, tone, seed, team)
        patches = PatchSampler(training, config.patch, team.device, chosen.is_paired, chosen.is_turned)
        del training  # the sampler has its own copy
        trained = retrain(
            built.to(team.device),
            patches=patches,
            images_v={name: to_sample(crop_middle(image, config.val_crop), chosen) for name, image in v.items()},
            sigma=sigma,
            config=config,
            seed=seed,
            state=state,
            save=pausing.keeper(checkpoint, made_with, state, config.steps),
            log=log,
            team=team,
            safety=safety,
        )
        if team.is_first:
            save(task, sigma, {"best": trained.best, "last": trained.last}, estimate)
            columns = ("step", "metric", "value")
            rows = [dict(zip(columns, row, strict=True)) for row in trained.history]
            write_csv(out / "history.csv", rows, columns)
            if began is None:
                (out / "start.json").unlink(missing_ok=True)
            else:
                write_json(out / "start.json", began)
            if finished is not None and checkpoint.exists():
                checkpoint.replace(finished)
            checkpoints.remove(checkpoint)


def _take_tone_back(
    training: Images, v: Images, task: Task, config: ToneConfig, seed: int, team: Team
) -> tuple[Tone | None, Images, Images]:
    """The estimate of degraded images' tone, if there is one, and the images of both parts with it taken back."""
    if not config.kinds:
        return None, training, v
    if not task.is_paired or task.channels != 3:
        raise ValueError(
            f"tone.kinds must be 0 for the task {task.name}, got {config.kinds}: a tone is told of pairs of colour images."
        )
    fitted = toning.fit(training, config, seed)
    if fitted is None:
        team.say(
            f"no tone is estimated of {len(training)} training pairs: it needs {toning.fewest(config)}, and two tones at least"
        )
        return None, training, v
    return fitted.tone, fitted.undone, {name: toning.undo(pair, fitted.tone) for name, pair in v.items()}


def _build(
    folder: Path,
    genotype: Path | None,
    network: str | None,
    start: Path | None,
    space: Space,
    sizes: Any,
    channels: int,
    seed: int,
) -> tuple[nn.Module, Callable[[str, float, Mapping[str, Any], Tone | None], None]]:
    """The derived network or the baseline with weights drawn from the seed, or a trained one; and what writes it to `folder`."""
    torch.manual_seed(seed)
    if start is not None:
        built, facts = model.reopen(start)
        if facts["channels"] != channels:
            raise ValueError(
                f"--start must be a network for {channels} channels, which the task has, got {start} for "
                f"{facts['channels']}; give another one."
            )
        return built, partial(model.save_again, folder, facts)
    if genotype is not None:
        value = read_json(genotype)
        try:
            chosen = space.from_json(value)
        except ValueError as error:
            raise ValueError(f"{genotype}: {error}") from error
        return space.build(chosen, sizes, channels), partial(model.save, folder, value, sizes, channels)
    assert network is not None  # one of the two is given
    return catalogue.build(network, channels), partial(model.save_baseline, folder, network, channels)
