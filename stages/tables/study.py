"""A study: which cells it has, as DVC reads them, and the settings of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nasir.code import Code
from nasir.config.tables import UNSAID, RunConfig, TablesConfig, load
from nasir.files import write_text
from nasir.reporting.cells import folder_name
from nasir.settings import Settings, change, resolve
from nasir.spaces import contract as spaces
from nasir.task import TASKS
from stages.around import entries

FIXED = {"folder": "data", "layout": "clean", "sigma": 50, "space": UNSAID, "seed": 0}
"""Params of all cells: the first two are of no data set here, noise level, space and seed are replaced by each cell's own."""

OWN = "profile"
"""Strategy of a search that takes the one of the study's profile."""

SECTIONS = {
    "data": ("download", "pair", "split", "audit"),
    "search": ("search", "space", "strategy", "safety"),
    "train": ("derive", "retrain", "tone", "network", "evaluate", "safety"),
    "score": ("evaluate",),
    "claims": ("search", "space", "strategy", "evaluate"),
    "page": (),
}
"""The sections that each kind of cell reads."""

CHOSEN = (
    "# The cells of the study that runs; written by make tables PROFILE=... from params.yaml. Change that instead.\n"
)
RESOLVED = "# What this cell is made with; written by the settings stage. Change params.yaml or a profile instead.\n"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a study."""

    run: RunConfig
    method: str
    sigma: float
    draw: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return folder_name(self.method, self.sigma, self.seed, self.draw)


def read(plan: Path) -> TablesConfig:
    """`nasir.config.tables.load`, with the spaces of the searches.

    Raises:
        ValueError: for what the file may not say, a space that there is not, or a modification that a space does not have.
    """
    config = load(plan)
    found = {}
    for search in config.searches:
        try:
            found[search.name] = spaces.find(search.space)
        except ValueError as error:
            raise ValueError(f"{plan}: the search {search.name!r}: {error}") from error
    for run in config.runs:
        if run.modify != "none" and not found[run.search].modifying:
            raise ValueError(
                f"{plan}: modify must be none in the space {found[run.search].name}, got {run.modify!r} for {list(run.methods)}."
            )
    return config


def choose(plan: Path, profile: str, out: Path) -> None:
    """Write the cells of a study into `out`, for DVC; an unknown study is refused."""
    text = CHOSEN + yaml.safe_dump({"study": cells(read(plan), profile)}, sort_keys=False, width=1000)
    if not out.is_file() or out.read_text() != text:
        write_text(out, text)


def trainings(config: TablesConfig, profile: str) -> Iterator[Training]:
    """Every training of a study."""
    for run in config.runs:
        if profile in run.studies:
            for method in run.methods:
                for sigma in run.sigmas:
                    for draw in run.draws:
                        for seed in config.seeds:
                            yield Training(run=run, method=method, sigma=sigma, draw=draw, seed=seed)


def cells(config: TablesConfig, profile: str) -> dict[str, Any]:
    """The cells of a study by their names in DVC, each with what its stage has to know."""
    config.study(profile)
    home = f"runs/{profile}"
    data = {task: {"task": task} for task in TASKS if task in _tasks(config, profile)}
    searches = {
        search.cell: {"task": search.task, "name": search.cell}
        for search in config.searches
        if profile in search.studies
    }
    runs = {}
    for training in trainings(config, profile):
        task = training.run.task
        found = training.run.search
        source = f"search/{config.search(found).cell}/genotype.json" if found else _split(task)
        runs[f"{task}-{training.name}"] = {"task": task, "name": training.name, "source": f"{home}/{source}"}
    scores = {}
    for score in config.scores:
        for seed in config.seeds if profile in score.studies else ():
            source = f"extras/{score.package}.json" if score.package else _split(score.task)
            name = f"{score.task}-{score.name}-{seed}"
            scores[name] = {"task": score.task, "name": name, "source": f"{home}/{source}"}
    claims = {
        claim.task: {
            "task": claim.task,
            "model": f"{claim.task}/{folder_name(claim.method, claim.sigma, config.seeds[0])}",
            "search": config.search(claim.search).cell,
        }
        for claim in config.claims
        if profile in claim.studies
    }
    kinds = {"data": data, "searches": searches, "runs": runs, "scores": scores, "claims": claims}
    named = {kind: {f"{profile}-{name}": cell for name, cell in one.items()} for kind, one in kinds.items()}
    return {"profile": profile} | named


def write_settings(plan: Path, profile: str, profiles: Path, out: Path) -> None:
    """Write the settings of each cell of a study into `out`, KIND-NAME.yaml."""
    config = read(plan)
    chosen = config.study(profile)
    base = {
        task: {"dataset": chosen.dataset(task), "task": task} | FIXED | {"profile": profile}
        for task in _tasks(config, profile)
    }

    code = Code()

    def write(
        kind: str, name: str, task: str, cell: dict[str, Any], changes: Sequence[str] = (), strategy: str | None = None,
        space: str = UNSAID,
    ) -> None:  # fmt: skip
        settings = change(resolve(base[task] | {"space": space}, profiles, strategy), changes, str(plan))
        parts = {section: settings.values[section] for section in ("params", *SECTIONS[kind])}
        parts["cell"] = cell
        parts["code"] = {kind: entries.digest(kind, Settings(parts, name), code=code)}
        text = RESOLVED + yaml.safe_dump(parts, sort_keys=False)
        write_text(out / f"{kind}-{name}.yaml", text)

    for task in base:
        write("data", task, task, {})
    for search in config.searches:
        if profile in search.studies:
            strategy = None if search.strategy == OWN else search.strategy
            write("search", search.cell, search.task, {}, strategy=strategy, space=search.space)
    for training in trainings(config, profile):
        run = training.run
        protocols = list(run.protocols)
        if (run.task, training.method, training.sigma) == ("denoise", "irnas", config.matrix_sigma):
            protocols += config.matrix_protocols
        cell = {"method": training.method, "draw": training.draw, "is_baseline": not run.search, "protocols": protocols}
        changes = [f"derive.modify={run.modify}", f"derive.modify_seed={training.draw}", *run.changes]
        changes += [f"sigma={training.sigma or FIXED['sigma']}", f"seed={training.seed}"]
        space = config.search(run.search).space if run.search else UNSAID
        write("train", f"{run.task}-{training.name}", run.task, cell, changes, space=space)
    for score in config.scores:
        for seed in config.seeds if profile in score.studies else ():
            cell = {"methods": list(score.methods), "sigmas": list(score.sigmas), "package": score.package}
            cell["protocols"] = list(score.protocols)
            write("score", f"{score.task}-{score.name}-{seed}", score.task, cell, [f"seed={seed}"])
    for claim in config.claims:
        if profile in claim.studies:
            cell = {"networks": list(claim.networks), "has_memory": claim.has_memory}
            write("claims", claim.task, claim.task, cell)
    write("page", "all", next(iter(base)), {})


def _tasks(config: TablesConfig, profile: str) -> list[str]:
    """The tasks of which a study has a cell."""
    return list(dict.fromkeys(entry.task for entry in config.entries if profile in entry.studies))


def _split(task: str) -> str:
    return f"data/{task}/split/split.json"
