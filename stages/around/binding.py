"""What reaches a stage: a value for each parameter of its `run`. Results depend on it, so it is part of every stage's code."""

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nasir.config.params import Params

if TYPE_CHECKING:
    from nasir.settings import Settings

CHOSEN = {field.name for field in dataclasses.fields(Params)}
"""The keys of params.yaml."""


def parameters(module: ModuleType) -> list[inspect.Parameter]:
    """The parameters of a stage's `run`; one that may be None is left out by default."""
    found = inspect.signature(module.run).parameters.values()
    return [p.replace(default=None) if type(None) in typing.get_args(p.annotation) else p for p in found]


def is_option(parameter: inspect.Parameter) -> bool:
    """Whether the command line gives it."""
    is_given = parameter.name in CHOSEN or parameter.name == "settings_file"
    return parameter.annotation in (Path, Path | None, str | None) and not is_given


def bind(module: ModuleType, settings: "Settings", options: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter of a stage's `run` but `log` and `code`.

    Args:
        module: of the stage.
        settings: of the run.
        options: what the command line gave.
    """
    values: dict[str, Any] = {}
    for p in parameters(module):
        if p.name in ("log", "code"):
            continue
        if p.name == "sigma":
            values[p.name] = settings.params.noise
        elif p.name in ("space", "strategy", "params") or p.name.startswith("of_"):
            values[p.name] = getattr(settings, p.name)
        elif p.name in CHOSEN:
            values[p.name] = p.annotation(getattr(settings.params, p.name))
        elif p.name == "cell":
            values[p.name] = settings.values["cell"]
        elif p.name == "settings_file":
            values[p.name] = Path(settings.where)
        elif dataclasses.is_dataclass(p.annotation):
            values[p.name] = settings.of_class(typing.cast(type, p.annotation))
        else:
            values[p.name] = options[p.name]
    return values
