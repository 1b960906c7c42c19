"""search: the chosen strategy searches the chosen space; what it found and the evidence for it are kept."""

from pathlib import Path
from typing import Any

from nasir import task as tasks
from nasir.config.reading import flat
from nasir.config.search import SearchConfig
from nasir.config.training import SafetyConfig
from nasir.data import split_lists
from nasir.data.patches import PatchSampler
from nasir.data.pictures import listing
from nasir.data.pictures.collection import crop_middle, load, to_sample
from nasir.files import Log, write_csv, write_json
from nasir.inference import model
from nasir.search.contract import Found, Problem, Strategy
from nasir.spaces.contract import Space
from nasir.training import checkpoints
from nasir.training.device import facts, set_determinism
from nasir.training.parallel import assemble
from stages.around import pausing
from stages.around.collapse import look

ARTIFACTS = ("search.json",)
PROCESSES = True


def count(strategy: Strategy, of_strategy: Any, config: SearchConfig) -> int:
    """The number of the last news."""
    return strategy.count(of_strategy, config)


def run(
    *,
    pictures: Path,
    split: Path,
    checkpoint: Path,
    out: Path,
    task: str,
    space: Space,
    of_space: Any,
    strategy: Strategy,
    of_strategy: Any,
    seed: int,
    config: SearchConfig,
    safety: SafetyConfig,
    code: str,
    log: Log,
) -> None:
    """Search; write the genotype, what would have been chosen next, the history, `search.json` and tensors into `out`.

    Of a strategy that scores candidates, `candidates.json` holds all of them. `checkpoint` is written as the search goes,
    carried on from if it exists, and removed at the end. With several processes all of them come here, and the first one
    writes.
    """
    with assemble(
        section="search",
        devices=config.devices,
        parallel=config.parallel,
        precision=config.precision,
        device=config.device,
    ) as team:
        device = team.device
        set_determinism(device, safety.deterministic)
        settings = flat(config, "search.") | flat(of_space, "space.") | flat(of_strategy, "strategy.")
        made_with = checkpoints.fingerprint(
            settings
            | facts(device, team.precision, safety.deterministic)
            | {"task": task, "space": space.name, "seed": seed},
            {"pictures": listing.digest(pictures), "split": split / "split.json"},
            code,
        )
        state = checkpoints.load(checkpoint, made_with, team.say)

        parts = split_lists.read(split / "split.json", "wav")
        chosen = tasks.find(task)
        w, a, v = (load(pictures, parts[part], chosen) for part in "wav")
        patches_w, patches_a = (
            PatchSampler(part, config.patch, device, chosen.is_paired, chosen.is_turned) for part in (w, a)
        )
        found = strategy.search(
            Problem(
                space=space,
                of_space=of_space,
                config=config,
                of_strategy=of_strategy,
                channels=chosen.channels,
                patches_w=patches_w,
                patches_a=patches_a,
                images_v={name: to_sample(crop_middle(image, config.val_crop), chosen) for name, image in v.items()},
                seed=seed,
                state=state,
                save=pausing.keeper(checkpoint, made_with, state, strategy.count(of_strategy, config)),
                log=log,
                team=team,
                safety=safety,
            )
        )
        if team.is_first:
            signs = look(found, space, config.strategy)
            _write(out, found, space, of_space, config.strategy, {"precision": team.precision} | signs)
            checkpoints.remove(checkpoint)
            if signs["collapse"]:
                team.say(signs["collapse"])


def _write(out: Path, found: Found, space: Space, of_space: Any, strategy: str, more: dict[str, Any]) -> None:
    """Write what was found, and the evidence."""
    for name, tensors in found.tensors.items():
        model.write_tensors(out / f"{name}.safetensors", tensors)
    if found.candidates is not None:
        write_json(out / "candidates.json", found.candidates)
    columns = ("step", "metric", "value")
    write_csv(out / "history.csv", [dict(zip(columns, row, strict=True)) for row in found.history], columns)
    if found.runner_up is not None:
        write_json(out / "runner_up.json", space.to_json(found.runner_up))
    write_json(out / "genotype.json", space.to_json(found.genotype))
    write_json(
        out / "search.json",
        {"space": space.name, "strategy": strategy}
        | flat(of_space)
        | {"best_step": found.step, "best_scores": found.scores, "spent_flops": found.spent_flops}
        | found.facts
        | more,
    )
