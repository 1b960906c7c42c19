"""Spaces, strategies, data sets and baselines are found by name: each is one file in its folder."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from nasir.messages import shown


def names(package: ModuleType, others: tuple[str, ...] = ()) -> list[str]:
    """What a package's folders hold: the modules but for `others`; folders and names that begin with _ do not count."""
    files = [file for folder in package.__path__ for file in Path(folder).glob("*.py")]
    return sorted({file.stem for file in files if not file.stem.startswith("_")} - set(others))


def require(package: ModuleType, name: object, what: str, others: tuple[str, ...] = ()) -> None:
    """Refuse a name that is no module of a package.

    Raises:
        ValueError: saying what it should have been, with the known ones.
    """
    known = names(package, others)
    if name not in known:
        raise ValueError(f"{what} must be one of {known}, got {shown(name)}; correct it, or add the file.")


def find(package: ModuleType, name: object, attribute: str, what: str, others: tuple[str, ...] = ()) -> Any:
    """What the module of a name in a package holds under `attribute`.

    Raises:
        ValueError: if there is no such module, or nothing in it; `what` says what it should have been, and the known ones are
            named.
    """
    require(package, name, what, others)
    module = import_module(f"{package.__name__}.{name}")
    if not hasattr(module, attribute):
        raise ValueError(f"{module.__file__} must hold {attribute}, got a module without it; add it, or move the file.")
    return getattr(module, attribute)
