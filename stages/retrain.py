"""retrain: the derived network from scratch, on W and A together, validated on V."""

from pathlib import Path

import torch

from nasir import genotype as genotypes
from nasir.config import RetrainConfig, flat
from nasir.data.collection import load_grey, to_clean
from nasir.data.patches import PatchSampler
from nasir.files import Log, read_json, write_csv
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
    genotype: Path,
    checkpoint: Path,
    out: Path,
    task: str,
    sigma: float,
    seed: int,
    config: RetrainConfig,
    log: Log,
) -> None:
    """Train; write the model folder and `history.csv` into `out`. `checkpoint` as in search."""
    device = choose(config.device)
    set_determinism(device)
    made_with = checkpoints.fingerprint(
        flat(config, "retrain.") | facts(device) | {"task": task, "sigma": sigma, "seed": seed},
        {"images": images / "manifest.csv", "split": split / "split.json", "genotype": genotype},
    )
    state = checkpoints.load(checkpoint, made_with)

    parts = read_json(split / "split.json")
    training = load_grey(images, parts["w"] + parts["a"])
    v = load_grey(images, parts["v"])
    chosen = genotypes.load(genotype)
    shape = shape_of(config)
    torch.manual_seed(seed)
    trained = retrain(
        model.build(chosen, shape).to(device),
        patches=PatchSampler(training, config.patch, device),
        images_v={name: to_clean(image) for name, image in v.items()},
        sigma=sigma,
        config=config,
        seed=seed,
        state=state,
        save=lambda state: checkpoints.save(checkpoint, made_with, state),
        log=log,
    )
    model.save(out / "model", chosen, shape, task, sigma, {"best": trained.best, "last": trained.last})
    columns = ("step", "metric", "value")
    write_csv(out / "history.csv", [dict(zip(columns, row, strict=True)) for row in trained.history], columns)
    checkpoint.unlink(missing_ok=True)
