"""dvc.yaml lists exactly the code that each stage imports, and reads parameters that exist."""

from pathlib import Path

import pytest
import yaml
from test_floors import imports, is_module

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ORDER = ["download", "synthesize", "split", "search", "derive", "retrain", "evaluate", "report"]


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def code_of(entry: Path) -> set[str]:
    """A file and all that it imports from this repository; packages' docstrings do not count as code."""
    seen, waiting = {entry}, [entry]
    while waiting:
        for name in imports(waiting.pop()):
            if name.split(".")[0] not in ("nasir", "stages"):
                continue
            parts = name.split(".")
            for length in range(1, len(parts) + 1):  # importing a module runs its packages
                module = ".".join(parts[:length])
                if is_module(module) and (path := file_of(module)) not in seen:
                    seen.add(path)
                    waiting.append(path)
    return {str(p.relative_to(ROOT)) for p in seen if p.name != "__init__.py" or imports(p)}


def commands(stage: dict) -> list[str]:
    return stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]


def test_the_stages_stand_in_order():
    assert list(STAGES) == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_code_dependencies_are_the_imported_files(name):
    expected = code_of(ROOT / f"stages/{name}.py")
    if any(" check " in command for command in commands(STAGES[name])):
        expected |= code_of(ROOT / "stages/checks.py")
    assert {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")} == expected


@pytest.mark.parametrize("name", ORDER)
def test_paths_in_the_command_are_dependencies_or_outputs(name):
    stage = STAGES[name]
    outputs = [next(iter(o)) if isinstance(o, dict) else o for kind in ("outs", "metrics") for o in stage.get(kind, [])]
    known = [*stage["deps"], *outputs]
    for command in commands(stage):
        for word in command.split():
            if word.startswith(("runs/", "reports", "tables/", "data")) and "checkpoints" not in word:
                related = [k for k in known if k == word or k.startswith(word + "/") or word.startswith(k + "/")]
                assert related, f"{name}: {word} is no dependency or output"


def test_only_what_depends_on_the_test_noise_reads_sigma():
    readers = [name for name, stage in STAGES.items() if "sigma" in stage.get("params", [])]
    assert readers == ["synthesize", "retrain", "evaluate", "report"]
    for name in ("download", "split", "search", "derive"):
        assert not any("synthesize" in dep or "retrain" in dep for dep in STAGES[name]["deps"] if "runs/" in dep)
