"""search: train the supernet and its architecture, keep the best."""

from pathlib import Path

import torch

from nasir.config import SearchConfig, flat
from nasir.data.collection import crop_middle, load_grey, to_clean
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import parameters
from nasir.files import Log, read_json, write_csv, write_json
from nasir.search.darts import architecture_facts, search
from nasir.spaces import irnas
from nasir.training import checkpoints
from nasir.training.device import choose, facts, set_determinism
from nasir.training.model import write_tensors


def build(config: SearchConfig, seed: int) -> irnas.Supernet:
    """The supernet of a config for grey images, with weights, alpha and beta drawn from the seed."""
    torch.manual_seed(seed)
    return irnas.Supernet(
        channels=1,
        nodes=config.nodes,
        layers=config.layers,
        width=config.width,
        width_factors=config.width_factors,
        stem_channels=config.stem_channels,
        residual=config.residual,
        generator=torch.Generator().manual_seed(seed),
    )


def run(
    *, images: Path, split: Path, checkpoint: Path, out: Path, space: str, seed: int, config: SearchConfig, log: Log
) -> None:
    """Search; write the best alpha and beta, the best supernet, the history and `search.json` into `out`.

    `checkpoint` is written every `config.checkpoint_period` steps, carried on from if it exists, and removed at the end.
    """
    device = choose(config.device)
    set_determinism(device)
    made_with = checkpoints.fingerprint(
        flat(config, "search.") | facts(device) | {"space": space, "seed": seed},
        {"images": images / "manifest.csv", "split": split / "split.json"},
    )
    state = checkpoints.load(checkpoint, made_with)

    parts = read_json(split / "split.json")
    w, a, v = (load_grey(images, parts[part]) for part in "wav")
    supernet = build(config, seed).to(device)
    found = search(
        supernet,
        space=space,
        patches_w=PatchSampler(w, config.patch, device),
        patches_a=PatchSampler(a, config.patch, device),
        images_v={name: to_clean(crop_middle(image, config.val_crop)) for name, image in v.items()},
        config=config,
        seed=seed,
        state=state,
        save=lambda state: checkpoints.save(checkpoint, made_with, state),
        log=log,
    )

    alpha, beta = found.supernet["alpha"], found.supernet["beta"]
    write_tensors(out / "architecture.safetensors", {"alpha": alpha, "beta": beta})
    write_tensors(out / "supernet.safetensors", found.supernet)
    columns = ("step", "metric", "value")
    write_csv(out / "history.csv", [dict(zip(columns, row, strict=True)) for row in found.history], columns)
    write_json(
        out / "search.json",
        {
            "space": space,
            "nodes": config.nodes,
            "layers": config.layers,
            "width": config.width,
            "width_factors": list(config.width_factors),
            "residual": config.residual,
            "steps": config.steps,
            "best_step": found.step,
            "best_scores": found.scores,
            "parameters": parameters(supernet),
        }
        | architecture_facts(alpha, beta, space),
    )
    checkpoint.unlink(missing_ok=True)
