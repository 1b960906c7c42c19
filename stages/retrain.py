"""retrain: the derived network or a baseline from scratch, on W and A together, validated on V."""

import dataclasses
from functools import partial
from pathlib import Path

import torch
from torch import nn

from nasir import genotype as genotypes
from nasir.config import RetrainConfig, flat
from nasir.data.collection import load_clean, load_grey
from nasir.data.patches import PatchSampler
from nasir.files import Log, read_json, write_csv
from nasir.networks import catalogue
from nasir.training import checkpoints, model
from nasir.training.device import choose, facts, set_determinism
from nasir.training.retrain import retrain


def shape_of(config: RetrainConfig) -> model.Shape:
    """What a config says of the derived network for grey images."""
    return model.Shape(
        channels=1,
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

    Args:
        genotype: of the derived network, or
        network: a baseline's name, trained in the same way but at its own learning rate.
    """
    inputs = {"images": images / "manifest.csv", "split": split / "split.json"}
    if genotype is not None:
        inputs["genotype"] = genotype
    elif network is not None:
        lr_max = catalogue.find(network).lr_max
        config = dataclasses.replace(config, lr_max=lr_max, lr_min=min(config.lr_min, lr_max))
    device = choose(config.device)
    set_determinism(device)
    made_with = checkpoints.fingerprint(
        flat(config, "retrain.") | facts(device) | {"task": task, "sigma": sigma, "seed": seed, "network": network},
        inputs,
    )
    state = checkpoints.load(checkpoint, made_with)

    parts = read_json(split / "split.json")
    training = load_grey(images, parts["w"] + parts["a"])
    shape = shape_of(config)
    torch.manual_seed(seed)
    if genotype is not None:
        chosen = genotypes.load(genotype)
        built: nn.Module = model.build(chosen, shape)
        save = partial(model.save, out / "model", chosen, shape)
    else:
        assert network is not None  # the command takes one of the two
        built = catalogue.build(network, shape.channels)
        save = partial(model.save_baseline, out / "model", network, shape.channels)
    trained = retrain(
        built.to(device),
        patches=PatchSampler(training, config.patch, device),
        images_v=load_clean(images, parts["v"]),
        sigma=sigma,
        config=config,
        seed=seed,
        state=state,
        save=lambda state: checkpoints.save(checkpoint, made_with, state),
        log=log,
    )
    save(task, sigma, {"best": trained.best, "last": trained.last})
    columns = ("step", "metric", "value")
    write_csv(out / "history.csv", [dict(zip(columns, row, strict=True)) for row in trained.history], columns)
    checkpoint.unlink(missing_ok=True)
