"""Where the code of each step begins: its own module, and what was chosen by name."""

from nasir.code import Code
from nasir.data.datasets import catalogue as datasets
from nasir.networks import catalogue as baselines
from nasir.settings import Settings
from nasir.spaces import contract as spaces

STEPS = ("download", "pair", "synthesize", "split", "audit", "search", "derive", "retrain", "evaluate", "report")
"""All steps, in order."""

CHECKED = ("download", "pair", "synthesize", "split", "audit", "evaluate")
"""The steps whose results are checked."""

OF_TASK = ("download", "pair", "split", "audit")
"""The steps that the tables' cell `data` is made of."""

TABLES = ("data", "train", "score", "claims", "memory", "page")
"""The stages of the tables' cells."""


def module(step: str) -> str:
    """The dotted name of a stage's module."""
    return f"stages.tables.{step}" if step in TABLES else f"stages.{step}"


def entries(step: str, settings: Settings, network: str | None = None) -> list[str]:
    """The modules that a step's code is reached from.

    Args:
        step: its name.
        settings: of the run; they name data set, space and strategy.
        network: of a retraining, the baseline in place of a genotype's network.
    """
    if step == "data":  # whose own module only arranges them
        return [part for own in OF_TASK for part in entries(own, settings)]
    own = [module(step), "stages.around.binding"]
    if step in CHECKED:
        own.append("stages.around.checking")
    dataset, cell = settings.params.dataset, settings.values.get("cell", {})
    if step in ("download", "pair") and dataset != datasets.FOLDER:
        own.append(datasets.module(dataset))
    if step == "train" and cell["is_baseline"]:
        network = cell["method"]
    if network is not None:
        return [*own, baselines.module(network)]
    space = settings.space
    if step in ("search", "derive", "retrain", "evaluate", "report", "train", "claims"):
        own.append(f"nasir.spaces.{space.name}")
    if step == "search":
        own += [space.searching, f"nasir.search.{settings.strategy.name}"]
    if step == "derive":
        own += [part for part in (space.drawing, space.modifying) if part]
    if step == "train" and settings.values["derive"]["modify"] != "none":
        own.append(space.modifying)
    if step == "claims":
        own += [baselines.module(name) for name in cell["networks"]]
        own += ["stages.tables.memory", space.searching] if cell["has_memory"] else []
    return own


def of_checkpoint(step: str, settings: Settings, network: str | None, start: str | None = None) -> str:
    """The digest of the code that a step's checkpoint depends on.

    Of a cell that trains and scores it is that of its training alone, and of a network `start` that is trained further that of
    its own space or baseline.
    """
    if start is not None:
        return Code().digest([module(step), "stages.around.binding", _module_of(start)])
    if step != "train":
        return digest(step, settings, network)
    cell = settings.values["cell"]
    return digest("retrain", settings, cell["method"] if cell["is_baseline"] else None)


def _module_of(trained: str) -> str:
    """The module that builds a trained network."""
    from nasir.inference import model

    described = model.describe(model.find(trained))
    if "network" in described:
        return baselines.module(described["network"])
    return f"nasir.spaces.{spaces.of_json(described['genotype']).name}"


def digest(step: str, settings: Settings, network: str | None = None, code: Code | None = None) -> str:
    """The digest of one step's code; `code` spares parsing again what it has parsed."""
    return (code or Code()).digest(entries(step, settings, network))


def digests(settings: Settings) -> dict[str, str]:
    """The digest of each step's code."""
    code = Code()
    return {step: digest(step, settings, code=code) for step in STEPS}
