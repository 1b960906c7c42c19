"""retrain: the derived network or a baseline from scratch, on W and A together, validated on V."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasir import genotype as genotypes
from nasir import task as tasks
from nasir.config import RetrainConfig, flat
from nasir.data import pictures
from nasir.data.collection import crop_middle, load, to_sample
from nasir.data.patches import PatchSampler
from nasir.files import Log, read_json, write_csv
from nasir.networks import catalogue
from nasir.training import checkpoints, model
from nasir.training.device import facts, set_determinism
from nasir.training.parallel import assemble
from nasir.training.retrain import retrain
from stages import reasons


def shape_of(config: RetrainConfig, channels: int = 1) -> model.Shape:
    """What a config says of the derived network."""
    return model.Shape(
        channels=channels,
        width=config.width,
        stem_channels=config.stem_channels,
        aspp_channels=config.aspp_channels,
        aspp_rates=config.aspp_rates,
    )


def run(
    *,
    images: Path,
    split: Path,
    genotype: Path | None,
    network: str | None,
    checkpoint: Path,
    out: Path,
    task: str,
    sigma: float,
    seed: int,
    config: RetrainConfig,
    log: Log,
) -> None:
    """Train; write the model folder and `history.csv` into `out`. `checkpoint` as in search.

    With several processes all of them come here, and the first one writes.

    Args:
        genotype: of the derived network, or
        network: a baseline's name, trained in the same way but at its own learning rate.
    """
    inputs = {"images": images / pictures.FILE, "split": split / "split.json"}
    if genotype is not None and (reason := reasons.find(genotype.parent)) is not None:
        reasons.write(out, reason)
        return
    reasons.clear(out)
    if genotype is not None:
        inputs["genotype"] = genotype
    elif network is not None:
        lr_max = catalogue.find(network).lr_max
        config = dataclasses.replace(config, lr_max=lr_max, lr_min=min(config.lr_min, lr_max))
    with assemble(
        section="retrain",
        devices=config.devices,
        parallel=config.parallel,
        precision=config.precision,
        device=config.device,
    ) as team:
        set_determinism(team.device)
        made_with = checkpoints.fingerprint(
            flat(config, "retrain.")
            | facts(team.device)
            | {"task": task, "sigma": sigma, "seed": seed, "network": network},
            inputs,
        )
        state = checkpoints.load(checkpoint, made_with, team.say)
        parts = read_json(split / "split.json")
        chosen = tasks.find(task)
        built, save = _build(out / "model", genotype, network, shape_of(config, chosen.channels), seed)
        training = load(images, parts["w"] + parts["a"], chosen)
        patches = PatchSampler(training, config.patch, team.device, chosen.is_paired, chosen.is_turned)
        del training  # the sampler has its own copy
        v = load(images, parts["v"], chosen)
        trained = retrain(
            built.to(team.device),
            patches=patches,
            images_v={name: to_sample(crop_middle(image, config.val_crop), chosen) for name, image in v.items()},
            sigma=sigma,
            config=config,
            seed=seed,
            state=state,
            save=lambda state: checkpoints.save(checkpoint, made_with, state),
            log=log,
            team=team,
        )
        if team.is_first:
            save(task, sigma, {"best": trained.best, "last": trained.last})
            columns = ("step", "metric", "value")
            rows = [dict(zip(columns, row, strict=True)) for row in trained.history]
            write_csv(out / "history.csv", rows, columns)
            checkpoint.unlink(missing_ok=True)


def _build(
    folder: Path, genotype: Path | None, network: str | None, shape: model.Shape, seed: int
) -> tuple[nn.Module, Callable[[str, float, Mapping[str, Any]], None]]:
    """The derived network or the baseline with weights drawn from the seed, and what writes it into `folder`."""
    torch.manual_seed(seed)
    if genotype is not None:
        chosen = genotypes.load(genotype)
        return model.build(chosen, shape), partial(model.save, folder, chosen, shape)
    assert network is not None  # the command takes one of the two
    built = catalogue.build(network, shape.channels)
    return built, partial(model.save_baseline, folder, network, shape.channels)
