"""search: train the supernet and its architecture, or random candidates for as much; keep the best."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nasir import task as tasks
from nasir.config import SearchConfig, flat
from nasir.data import pictures
from nasir.data.collection import crop_middle, load, to_sample
from nasir.data.patches import PatchSampler
from nasir.evaluation.cost import flops_per_pixel, parameters
from nasir.files import Log, read_json, write_csv, write_json
from nasir.genotype import Genotype
from nasir.search import darts, random
from nasir.spaces import catalogue, hinas, irnas
from nasir.spaces.cells import SuperCell
from nasir.spaces.twin import convert
from nasir.training import checkpoints, model
from nasir.training.device import choose, facts, peak_memory_mib, set_determinism
from nasir.training.parallel import alone, assemble


def build(config: SearchConfig, space: str, seed: int, channels: int) -> irnas.Supernet | hinas.Supernet:
    """The supernet of a space and a config for images of so many channels, with weights, alpha and beta drawn from the seed."""
    torch.manual_seed(seed)
    supernet = catalogue.supernet(
        space,
        channels=channels,
        nodes=config.nodes,
        layers=config.layers,
        width=config.width,
        width_factors=config.width_factors,
        stem_channels=config.stem_channels,
        residual=config.residual,
        share_cells=config.share_cells,
        share_alpha=config.share_alpha,
        beta_norm=config.beta_norm,
        activation=config.activation,
        sigmoid=config.sigmoid,
        partial=config.partial,
        generator=torch.Generator().manual_seed(seed),
    )
    if config.twin == "fast":
        convert(supernet, config.recompute)
    if config.compile:
        for module in supernet.modules():
            if isinstance(module, SuperCell):
                module.compile()
    return supernet


def build_candidate(genotype: Genotype, config: SearchConfig, seed: int, channels: int) -> nn.Module:
    """A derived network at the search's width and without ASPP, with weights drawn from the seed."""
    torch.manual_seed(seed)
    shape = model.Shape(
        channels=channels, width=config.width, stem_channels=config.stem_channels, aspp_channels=0, aspp_rates=()
    )
    return model.build(genotype, shape)


def count(config: SearchConfig) -> int:
    """The number of the last news: steps, or candidates of the random strategy."""
    return config.random_candidates if config.strategy == "random" else config.steps


def run(
    *,
    images: Path,
    split: Path,
    checkpoint: Path,
    out: Path,
    task: str,
    space: str,
    seed: int,
    config: SearchConfig,
    log: Log,
) -> None:
    """Search; write the best alpha and beta, its weights, the history and `search.json` into `out`.

    The weights are those of the supernet (`supernet.safetensors`), or with the random strategy of the winner's network
    (`winner.safetensors`, with all candidates in `candidates.json`). `checkpoint` is written every
    `config.checkpoint_period` steps or after each candidate, carried on from if it exists, and removed at the end. With
    several processes all of them come here, and the first one writes.
    """
    with assemble(
        section="search",
        devices=config.devices,
        parallel=config.parallel,
        precision=config.precision,
        device=config.device,
    ) as team:
        device = team.device
        set_determinism(device)
        made_with = checkpoints.fingerprint(
            flat(config, "search.") | facts(device) | {"task": task, "space": space, "seed": seed},
            {"images": images / pictures.FILE, "split": split / "split.json"},
        )
        state = checkpoints.load(checkpoint, made_with, team.say)

        parts = read_json(split / "split.json")
        chosen = tasks.find(task)
        w, a, v = (load(images, parts[part], chosen) for part in "wav")
        patches_w, patches_a = (
            PatchSampler(part, config.patch, device, chosen.is_paired, chosen.is_turned) for part in (w, a)
        )
        images_v = {name: to_sample(crop_middle(image, config.val_crop), chosen) for name, image in v.items()}
        supernet = build(config, space, seed, chosen.channels)

        def save(state: dict[str, Any]) -> None:
            checkpoints.save(checkpoint, made_with, state)

        if config.strategy == "random":
            cost = flops_per_pixel(supernet, chosen.channels, config.patch)
            budget = config.random_budget * darts.spent_flops(config.steps, config, cost)
            sampled = random.search(
                lambda genotype: build_candidate(genotype, config, seed, chosen.channels).to(device),
                space=space,
                patches_w=patches_w,
                images_v=images_v,
                budget=budget,
                config=config,
                seed=seed,
                state=state,
                save=save,
                log=log,
                team=team,
            )
            if team.is_first:
                write_json(out / "candidates.json", sampled.candidates)
                more = {"candidates": len(sampled.candidates), "budget_flops": budget}
                _write(out, "winner", sampled, space, config, more)
        else:
            found = darts.search(
                supernet.to(device),
                space=space,
                patches_w=patches_w,
                patches_a=patches_a,
                images_v=images_v,
                config=config,
                seed=seed,
                state=state,
                save=save,
                log=log,
                team=team,
            )
            if team.is_first:
                steps = found.stopped_at or config.steps
                size: dict[str, float] = {"steps": steps, "parameters": parameters(supernet)}
                decided = darts.architecture_facts(found.alpha, found.beta, space, config.beta_norm)
                _write(out, "supernet", found, space, config, size | decided)
        if team.is_first:
            checkpoint.unlink(missing_ok=True)


def _write(
    out: Path, weights: str, found: darts.Found, space: str, config: SearchConfig, more: Mapping[str, object]
) -> None:
    """Write what both strategies leave; `weights` names the file of the weights, `more` goes into `search.json`."""
    model.write_tensors(out / "architecture.safetensors", {"alpha": found.alpha, "beta": found.beta})
    model.write_tensors(out / f"{weights}.safetensors", found.weights)
    columns = ("step", "metric", "value")
    write_csv(out / "history.csv", [dict(zip(columns, row, strict=True)) for row in found.history], columns)
    write_json(
        out / "search.json",
        {
            "space": space,
            "strategy": config.strategy,
            "nodes": config.nodes,
            "layers": config.layers,
            "width": config.width,
            "width_factors": list(config.width_factors),
            "residual": config.residual,
            "share_cells": config.share_cells,
            "share_alpha": config.share_alpha,
            "beta_norm": config.beta_norm,
            "activation": config.activation,
            "sigmoid": config.sigmoid,
            "best_step": found.step,
            "best_scores": found.scores,
            "spent_flops": found.spent_flops,
        }
        | dict(more),
    )


def measure_memory(*, out: Path, space: str, seed: int, config: SearchConfig, channels: int) -> None:
    """Write into the JSON file `out` by how much one update of the supernet's weights raises this process's peak memory.

    Building the supernet is part of it. Only a fresh process measures it; the patches are of random pictures.
    """
    device = choose(config.device)
    rng = np.random.default_rng(seed)
    shape = (2 * config.patch, 2 * config.patch, channels)
    drawn = {str(i): rng.integers(0, 256, shape, dtype=np.uint8) for i in range(2)}
    patches = PatchSampler(drawn, config.patch, device)
    before = peak_memory_mib(device)
    supernet = build(config, space, seed, channels).to(device)
    weights = supernet.weights()
    optimiser = torch.optim.SGD(weights, lr=config.lr_max, momentum=config.momentum)
    loss = darts.draw_loss(supernet, patches, config, torch.Generator().manual_seed(seed), alone(device))
    darts.update(loss, optimiser, weights, "the measured step")
    write_json(
        out,
        {
            "share_cells": config.share_cells,
            "peak_mib": peak_memory_mib(device) - before,
            "parameters": parameters(supernet),
            "what": f"supernet and one update of its weights on {config.batch} patches of {config.patch}x{config.patch}, "
            f"{device.type}",
        },
    )
