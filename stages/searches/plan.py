"""What the study runs: its plan as settings and jobs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from nasir import settings as resolving
from nasir.config import reading
from nasir.config.reading import require
from nasir.settings import Settings
from nasir.shapes import hold
from nasir.shapes import read as read_shape
from nasir.shapes import require as must

KEYS = (
    "dataset",
    "space",
    "profile",
    "sigma",
    "images",
    "window",
    "random",
    "seeds",
    "changes",
    "changes_of",
    "searches",
)
"""Of the plan, beside one of `BUDGETS`."""

BUDGETS = ("seconds", "steps")
"""What every training may have: processor time in one thread, or steps."""

OPTIONAL = ("networks", "again")
"""Of the plan: networks given by hand, by name their `genotype` as its space writes it in a line, and `changes` to settings; and
how many of the random networks are trained a second time, from another seed."""

SECOND = 1000
"""What the second training of a random network adds to its seed."""

REFERENCES = 5
"""Random networks by which a machine's pace is compared with that on which the study began."""

PACED = ("steps", "warmup_steps", "val_period", "log_period", "checkpoint_period")
"""Of `retrain`: set by what the plan gives each training."""


class Made(TypedDict):
    """Any result."""

    made_with: dict[str, Any]


class Searched(Made):
    """A search's result, of which others have more."""

    genotype: dict[str, Any]
    seconds: float
    peak_memory_mib: float
    ranking: NotRequired[list[float] | None]


class Trained(Made):
    """A training's result, of which others have more."""

    genotype: dict[str, Any]
    tokens: list[int]
    sizes: dict[str, Any]
    parameters: int
    flops_per_pixel: float
    steps: int
    seconds: float
    v_psnr_db: float
    psnr_db: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A search, or the training and scoring of one network. Its result is the file `NAME.json` of the results."""

    name: str
    search: str | None  # its name in the plan; None: a random network, or one given by hand
    seed: int  # of the search; of a random network its number
    is_training: bool
    is_second: bool = False  # the second training of a random network
    network: str | None = None  # its name in the plan, of one given by hand

    @property
    def follows(self) -> str | None:
        """The name of the search whose network this trains; None for other jobs."""
        is_found = self.search is not None and self.is_training
        return self.name.replace("found-", "search-", 1) if is_found else None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan, resolved."""

    values: dict[str, Any]  # as the file has them
    profiles: Path
    where: str  # what to call it in messages
    _resolved: dict[tuple[str | None, str | None], Settings] = field(default_factory=dict, repr=False, compare=False)

    def settings(self, search: str | None, network: str | None = None) -> Settings:
        """The settings of a search, of a network given by hand, or those that all trainings have; resolved once."""
        if (search, network) not in self._resolved:
            self._resolved[search, network] = self._resolve(search, network)
        return self._resolved[search, network]

    @property
    def networks(self) -> dict[str, Any]:
        """Those given by hand, as the file has them."""
        found: dict[str, Any] = self.values.get("networks", {})
        return found

    @property
    def again(self) -> int:
        """How many random networks, from the first on, are trained a second time."""
        return int(self.values.get("again", 0))

    def _resolve(self, search: str | None, network: str | None) -> Settings:
        of = self.values["searches"][search] if search is not None else {"strategy": None, "changes": []}
        if network is not None:
            of = {"strategy": None, "changes": self.networks[network]["changes"]}
        params = {
            "dataset": self.values["dataset"],
            "task": "denoise",
            "folder": "data",
            "layout": "clean",
            "sigma": self.values["sigma"],
            "space": self.values["space"],
            "seed": 0,
            "profile": self.values["profile"],
        }
        resolved = resolving.resolve(params, self.profiles, of["strategy"])
        if "window" in resolved["strategy"]:
            resolved["strategy"]["window"] = list(self.values["window"])
        own = [*self.values["changes_of"].get(of["strategy"], []), *of["changes"]]
        return resolving.change(resolved, [*self.values["changes"], *own], self.where)

    def jobs(self) -> Iterator[Job]:
        """All jobs, each behind those whose results it needs; seed by seed, so that a part of the study is a study."""
        for number in range(self.values["random"]):
            yield Job(name=f"random-{number:02d}", search=None, seed=number, is_training=True)
        for number in range(self.again):
            yield Job(name=f"again-{number:02d}", search=None, seed=number, is_training=True, is_second=True)
        for network in self.networks:
            yield Job(name=f"given-{slug(network)}", search=None, seed=0, is_training=True, network=network)
        for seed in self.values["seeds"]:
            for search, of in self.values["searches"].items():
                if seed not in of.get("seeds", self.values["seeds"]):
                    continue
                name = f"{slug(search)}-{seed}"
                yield Job(name=f"search-{name}", search=search, seed=seed, is_training=False)
                yield Job(name=f"found-{name}", search=search, seed=seed, is_training=True)

    def references(self) -> list[Job]:
        """The trainings by which a machine's pace is known; none where a plan counts steps."""
        return [] if "steps" in self.values else list(islice(self.jobs(), min(REFERENCES, self.values["random"])))

    def made_with(self, job: Job) -> dict[str, Any]:
        """The settings that a job's result depends on."""
        found = self.settings(job.search, job.network)
        parts = ["params", "network", "retrain", "space", "search", "strategy"]
        if job.search is None:
            parts = parts[:4]
        shared = {key: self.values[key] for key in ("images", *BUDGETS, "window", "random") if key in self.values}
        retrain = {key: value for key, value in found.values["retrain"].items() if key not in PACED}
        given = {} if job.network is None else {"genotype": self.networks[job.network]["genotype"]}
        return {name: found.values[name] for name in parts} | {"retrain": retrain} | shared | given


def read(path: Path, profiles: Path) -> Plan:
    """Read a plan; a key that is missing or unknown is refused and named."""
    values = reading.read(path)
    budgets = sorted(set(values) & set(BUDGETS))
    require(
        set(values) - set(OPTIONAL) == {*KEYS, *budgets} and len(budgets) == 1,
        f"{path} must have exactly the keys {sorted(KEYS)}, one of {list(BUDGETS)} and possibly {list(OPTIONAL)}",
        sorted(values),
    )
    require(values["random"] >= 2, f"{path}: random must be 2 or more", values["random"])
    again = values.get("again", 0)
    require(again in range(values["random"] + 1), f"{path}: again must be a number from 0 to random", again)
    slugs = [slug(search) for search in values["searches"]]
    twice = sorted({one for one in slugs if slugs.count(one) > 1})
    require(not twice, f"{path}: searches must differ in more than commas, spaces and underscores", twice)
    plan = Plan(values=values, profiles=profiles, where=str(path))
    for search, of in values["searches"].items():
        plan.settings(search)
        seeds = of.get("seeds", values["seeds"])
        require(
            isinstance(seeds, list) and all(seed in values["seeds"] for seed in seeds) and seeds != [],
            f"{path}: searches.{search}.seeds must be a list of some of {values['seeds']}",
            seeds,
        )
    for network, given in plan.networks.items():
        require(
            isinstance(given, dict) and set(given) == {"genotype", "changes"} and isinstance(given["genotype"], str),
            f"{path}: networks.{network} must have exactly the keys ['changes', 'genotype'], the genotype as text",
            given,
        )
        found = plan.settings(None, network)
        found.space.from_line(found.of_space, given["genotype"])
    return plan


def result(results: Path, plan: Plan, job: Job) -> dict[str, Any] | None:
    """A job's result; None if there is none that was made with the plan as it is."""
    path = results / f"{job.name}.json"
    if not path.is_file():
        return None
    again = f"remove it and run the study again for {job.name}"
    found: Any = read_shape(path, Made, again)
    if found["made_with"] != plan.made_with(job):
        return None
    search = results / f"{job.follows}.json"
    if job.follows is None or not search.is_file():
        return dict(found)
    is_of_it = read_shape(search, dict[str, Any], again).get("genotype") == found.get("genotype")
    return dict(found) if is_of_it else None  # else the search was made again since, and found another network


def results_of(folder: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """All results that were made with the plan as it is, by the job's name."""
    found = {job.name: result(folder, plan, job) for job in plan.jobs()}
    return {name: one for name, one in found.items() if one is not None}


def held(folder: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """The same, each result held against what a page needs of it."""
    found = results_of(folder, plan)
    for job in plan.jobs():
        if job.name in found:
            _hold(found[job.name], folder / f"{job.name}.json", plan, job)
    return found


def _hold(found: dict[str, Any], path: Path, plan: Plan, job: Job) -> None:
    again = f"remove it and run the study again for {job.name}"
    hold(found, Trained if job.is_training else Searched, path, again)
    if job.is_training:
        must(bool(found["psnr_db"]), f"{path}: psnr_db", "have test images", found["psnr_db"], again)
    elif ranking := found.get("ranking"):
        most = plan.values["random"]
        must(len(ranking) == most, f"{path}: ranking", f"have {most} scores", len(ranking), again)


def slug(text: str) -> str:
    """A name of the plan as part of a file's name."""
    return "-".join(text.replace(",", " ").replace("_", "-").split())
