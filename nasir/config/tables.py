"""`tables/params.yaml`: the paper's tables as one list of runs, and what is scored without training."""

from dataclasses import dataclass, fields
from pathlib import Path

from nasir import task as tasks
from nasir.config import reading
from nasir.config.derive import MODIFICATIONS
from nasir.config.reading import require

UNSAID = "irnas"
"""The space of a search whose name says none, and that of baselines, which have none."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One entry of `studies:`: a profile with a data set for each task."""

    profile: str
    denoise: str
    derain: str
    camera: str

    def dataset(self, task: str) -> str:
        """The data set of a task."""
        name: str = getattr(self, task)
        return name


TASKS = tuple(field.name for field in fields(StudyConfig) if field.name != "profile")
"""The paper's tasks, which is all that its tables are of."""


@dataclass(frozen=True, kw_only=True)
class StudySearchConfig:
    """One entry of `searches:`."""

    task: str
    strategy: str  # `profile`: the one that the study's profile has
    space: str  # a file of nasir/spaces
    studies: tuple[str, ...]

    @property
    def name(self) -> str:
        """As runs and claims refer to it: "profile of denoise", in another space "profile of denoise in clearer"."""
        return f"{self.strategy} of {self.task}" + ("" if self.space == UNSAID else f" in {self.space}")

    @property
    def cell(self) -> str:
        """The name of its cell and folder: denoise-profile, in another space denoise-profile-clearer."""
        return f"{self.task}-{self.strategy}" + ("" if self.space == UNSAID else f"-{self.space}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One entry of `runs:`: trainings, each scored; one for each method, noise level, draw and seed."""

    task: str
    methods: tuple[str, ...]  # whose rows they fill; of baselines also the networks' names
    search: str  # what found the network, by its name, as in "profile of denoise"; empty: the methods are baselines
    modify: str  # as derive.modify
    draws: tuple[int, ...]  # of one method, which are averaged; of r2 also the seed
    changes: tuple[str, ...]  # of settings, as on a command line
    sigmas: tuple[float, ...]  # 0 where images come in pairs
    protocols: tuple[str, ...]  # that they are scored under
    studies: tuple[str, ...]

    def __post_init__(self) -> None:
        require(len(self.methods) > 0, "methods must be at least one", self.methods)
        require(self.modify in MODIFICATIONS, f"modify must be one of {list(MODIFICATIONS)}", self.modify)
        require(len(self.draws) > 0 and min(self.draws) >= 0, "draws must be 0 or more", self.draws)
        require(self.modify == "none" or self.search != "", "a baseline cannot be modified", self.modify)


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """One entry of `scores:`: rows without training, one cell for each seed."""

    name: str  # of the cell
    task: str
    methods: tuple[str, ...]
    package: str  # that they need; empty: none
    sigmas: tuple[float, ...]
    protocols: tuple[str, ...]
    studies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimsConfig:
    """One entry of `claims:`: what the text says of one task, measured."""

    task: str
    method: str  # the found network
    sigma: float
    search: str  # as in a run; what found it
    networks: tuple[str, ...]  # baselines that are timed and counted beside it
    has_memory: bool  # whether the memory of the search is measured
    studies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TablesConfig:
    """The whole file."""

    studies: tuple[StudyConfig, ...]
    seeds: tuple[int, ...]
    matrix_sigma: float  # noise level of the protocol matrix
    matrix_protocols: tuple[str, ...]  # further ones of the found network at that level
    searches: tuple[StudySearchConfig, ...]
    runs: tuple[RunConfig, ...]
    scores: tuple[ScoreConfig, ...]
    claims: tuple[ClaimsConfig, ...]

    def __post_init__(self) -> None:
        require(len(self.seeds) > 0 and min(self.seeds) >= 0, "seeds must be 0 or more", self.seeds)
        studies = [study.profile for study in self.studies]
        searches = sorted(search.name for search in self.searches)
        twice = sorted({name for name in searches if searches.count(name) > 1})
        require(not twice, "searches must differ in task, strategy or space", twice)
        for entry in self.entries:
            require(entry.task in TASKS, f"a task must be one of {list(TASKS)}", entry.task)
            unknown = sorted(set(entry.studies) - set(studies))
            require(not unknown, f"studies must be some of {studies}", unknown)
            found_by = getattr(entry, "search", "")
            require(not found_by or found_by in searches, f"a search must be one of {searches}", found_by)
        claimed = sorted(search.name for search in self.searches if search.space == UNSAID)
        for claim in self.claims:
            require(claim.search in claimed, f"the search of a claim must be one of {claimed}", claim.search)
        for scored in self.rows:
            is_paired = tasks.find(scored.task).is_paired
            is_fitting = [level == 0 if is_paired else level > 0 for level in scored.sigmas]
            require(
                len(is_fitting) > 0 and all(is_fitting),
                f"sigmas of the task {scored.task} must be {'0' if is_paired else 'above 0'}",
                scored.sigmas,
            )
        cells = self.cells
        doubled = sorted({cell for cell in cells if cells.count(cell) > 1})
        require(not doubled, "runs and scores must differ in task, method, sigma or draw", doubled)

    @property
    def rows(self) -> "list[RunConfig | ScoreConfig]":
        """What is scored."""
        return [*self.scores, *self.runs]

    @property
    def entries(self) -> "list[StudySearchConfig | RunConfig | ScoreConfig | ClaimsConfig]":
        """Everything that a study may have."""
        return [*self.searches, *self.runs, *self.scores, *self.claims]

    @property
    def cells(self) -> list[tuple[str, str, float, int]]:
        """Task, method, sigma and draw of everything that is scored."""
        trained = [(r.task, m, s, d) for r in self.runs for m in r.methods for s in r.sigmas for d in r.draws]
        return trained + [(c.task, m, s, 0) for c in self.scores for m in c.methods for s in c.sigmas]

    def search(self, name: str) -> StudySearchConfig:
        """The search of this name; there is one, which is checked when the file is read."""
        [found] = [search for search in self.searches if search.name == name]
        return found

    def study(self, profile: str) -> StudyConfig:
        """The study of a profile; one that there is not is refused with those that there are."""
        found = {study.profile: study for study in self.studies}
        require(profile in found, f"PROFILE must be one of {list(found)}", profile)
        return found[profile]


def load(path: Path) -> TablesConfig:
    """Read `tables/params.yaml`."""
    return reading.build(reading.read(path), TablesConfig, str(path))
