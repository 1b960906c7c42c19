"""A module imports only lower floors, or its own package; doors are used as doors; the slow packages stay where they belong."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    [
        "nasir.config",
        "nasir.files",
        "nasir.memory",
        "nasir.messages",
        "nasir.shapes",
        "nasir.cluster",
        "nasir.task",
        "nasir.canvas",
        "nasir.plugins",
        "nasir.code",
        "nasir.deadline",
        "nasir.stopping",
    ],
    ["nasir.data", "nasir.layers"],
    ["nasir.spaces", "nasir.networks"],
    ["nasir.evaluation"],
    ["nasir.inference"],
    ["nasir.training"],
    ["nasir.search"],
    ["nasir.reporting"],
    ["nasir.settings"],
    ["nasir.commands"],
    ["nasir.cli"],
]
ONLY = {
    "mlflow": "stages/around/sending/server.py",
    "great_expectations": "stages/around/checks.py",
    "dvc": None,
    "distributed": "nasir/cluster.py",
    "dask": "nasir/cluster.py",
}
DOORS = {"nasir.spaces": "nasir.spaces.contract", "nasir.search": "nasir.search.contract"}
"""What is chosen by name in params.yaml is known from outside by its contract alone."""

TOOLS = ("nasir.search.sampling", "nasir.search.policy")
"""Folders behind a door that are no choice of params.yaml, but tools that others may use, too."""

MODULES = sorted((ROOT / "nasir").rglob("*.py")) + sorted((ROOT / "stages").rglob("*.py"))
MOST = 14
"""Files of one folder besides its `__init__.py`."""


def floor(module: str) -> int:
    """The floor of the package or file of nasir/ that a module is in; `nasir` itself, which all may import, is on the lowest."""
    parts = module.split(".")
    for number, packages in enumerate(FLOORS):
        if ".".join(parts[:2]) in [*packages, "nasir"]:
            return number
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS")


def imports(path: Path) -> list[str]:
    """Every module that a file imports when it runs; `from package import module` counts as the module."""
    found = []
    for node in run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.append(name if is_module(name) else node.module)
    return found


def run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from run(child)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def package(module: str) -> str:
    """The package that a module shares a floor with; the single files of floor 0 are one package."""
    return "nasir" if floor(module) == 0 else ".".join(module.split(".")[:2])


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down(path):
    module = dotted(path)
    for name in imports(path):
        top = name.split(".")[0]
        if top in ONLY:
            assert ONLY[top] == str(path.relative_to(ROOT)), f"{module} imports {name}"
        if module.startswith("nasir"):
            assert top != "stages", f"{module} imports {name}"
        if top == "nasir" and module.startswith("nasir"):
            assert package(name) == package(module) or floor(name) < floor(module), f"{module} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_step_imports_no_other_step(path):
    module = dotted(path)
    below = {
        "around": ("stages.around", "stages.around.shown", "stages.around.sending"),
        "tables": ("stages.around", "stages.tables", "stages"),
        "searches": ("stages.around", "stages.searches"),
        "models": ("stages.around", "stages.models", "stages.tables"),
    }
    folder = module.split(".")[1] if module.count(".") > 1 else ""
    for name in imports(path):
        if name.split(".")[0] == "stages" and module.startswith("stages") and module != "stages.__main__":
            assert name.rpartition(".")[0] in below.get(folder, ("stages.around",)), f"{module} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_what_is_chosen_by_name_is_known_from_outside_by_its_contract_alone(path):
    module = dotted(path)
    for name in imports(path):
        for folder, contract in DOORS.items():
            is_tool = name.startswith(tuple(f"{tool}." for tool in TOOLS))
            if name.startswith(f"{folder}.") and not module.startswith(f"{folder}.") and not is_tool:
                assert name == contract, f"{module} imports {name}"
    if module in DOORS.values():
        own = [name for name in imports(path) if name.startswith(f"{module.rpartition('.')[0]}.")]
        assert own == [], f"{module} imports {own}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {dotted(path): {name for name in imports(path) if is_module(name)} for path in MODULES}

    assert list(TopologicalSorter(graph).static_order())  # a CycleError names the modules


def test_no_folder_holds_more_files_than_a_reader_takes_in():
    held = Counter(path.parent.relative_to(ROOT) for path in MODULES if path.name != "__init__.py")

    assert {str(folder): files for folder, files in held.items() if files > MOST} == {}
