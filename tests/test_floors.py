"""A module imports only lower floors, or its own package; the slow packages stay where they belong."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    ["nasir", "nasir.config", "nasir.genotype", "nasir.files", "nasir.memory", "nasir.task"],
    ["nasir.data", "nasir.spaces", "nasir.networks"],
    ["nasir.evaluation"],
    ["nasir.training"],
    ["nasir.search"],
    ["nasir.reporting"],
    ["nasir.cli"],
]
ONLY = {"mlflow": "stages/tracking.py", "great_expectations": "stages/checks.py", "dvc": None}
MODULES = sorted((ROOT / "nasir").rglob("*.py")) + sorted((ROOT / "stages").glob("*.py"))


def floor(module: str) -> int:
    """The floor of the longest listed package that `module` is in."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        for number, packages in enumerate(FLOORS):
            if ".".join(parts[:length]) in packages:
                return number
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS")


def imports(path: Path) -> list[str]:
    """Every module that a file imports; `from package import module` counts as the module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.append(name if is_module(name) else node.module)
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down(path):
    module = dotted(path)
    for name in imports(path):
        top = name.split(".")[0]
        if top in ONLY:
            assert ONLY[top] == str(path.relative_to(ROOT)), f"{module} imports {name}"
        if top == "stages":
            assert module == "stages.__main__" or (module, name) in ALLOWED_AMONG_STAGES, f"{module} imports {name}"
        if top == "nasir" and module.startswith("nasir"):
            assert package(name) == package(module) or floor(name) < floor(module), f"{module} imports {name}"


ALLOWED_AMONG_STAGES = {
    ("stages.cursor", "stages.journal"),
    ("stages.derive", "stages.reasons"),
    ("stages.orphans", "stages.journal"),
    ("stages.retrain", "stages.reasons"),
    ("stages.score", "stages.reasons"),
    ("stages.tracking", "stages.cursor"),
    ("stages.tracking", "stages.journal"),
}


def package(module: str) -> str:
    """The package that a module shares a floor with; the single files of floor 0 are one package."""
    return "nasir" if floor(module) == 0 else ".".join(module.split(".")[:2])
