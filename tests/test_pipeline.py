"""dvc.yaml and those of tables/ list exactly the code that each stage imports, and read parameters that exist."""

import itertools
from pathlib import Path

import pytest
import yaml
from test_floors import imports, is_module

from nasir.config import load_params, load_tables
from nasir.files import read_csv
from nasir.reporting import paper
from stages import tables

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TABLES = {
    name: stage
    for path in ("tables/training/dvc.yaml", "tables/dvc.yaml")
    for name, stage in yaml.safe_load((ROOT / path).read_text())["stages"].items()
}
ORDER = ["download", "pair", "synthesize", "split", "audit", "search", "derive", "retrain", "evaluate", "report"]


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


def called_by(stage: dict) -> set[str]:
    """The words after `python -m stages` in a stage's commands."""
    return {command.split()[3] for command in commands(stage)}


@pytest.mark.parametrize(("name", "stage"), [*STAGES.items(), *TABLES.items()])
def test_code_dependencies_are_the_imported_files(name, stage):
    called = called_by(stage)
    if called == {"extras"}:
        return  # reads the versions of packages, nothing of this repository
    files = {"memory": "search", "check": "checks"}
    expected = set.union(*(code_of(ROOT / f"stages/{files.get(command, command)}.py") for command in called))
    assert {dep for dep in stage["deps"] if dep.endswith(".py")} == expected


@pytest.mark.parametrize(("name", "stage"), [*STAGES.items(), *TABLES.items()])
def test_paths_in_the_command_are_dependencies_or_outputs(name, stage):
    outputs = [next(iter(o)) if isinstance(o, dict) else o for kind in ("outs", "metrics") for o in stage.get(kind, [])]
    known = [dep.replace("${folder}", "data") for dep in (*stage.get("deps", []), *outputs)]
    for command in commands(stage):
        for word in command.split():
            if word.startswith(("runs/", "reports", "tables/", "data")) and "checkpoints" not in word:
                if word.startswith("tables/studies"):
                    continue  # a params file
                related = [k for k in known if k == word or k.startswith(word + "/") or word.startswith(k + "/")]
                assert related, f"{name}: {word} is no dependency or output"


def test_a_study_of_the_tables_shares_one_search_of_each_kind_and_trains_after_the_audit():
    assert TABLES["search"]["matrix"] == {"profile": "${study.all}", "task": "${searched}"}
    assert TABLES["search-random"]["matrix"] == {"profile": "${study.with_controls}"}
    for name, stage in TABLES.items():
        if called_by(stage) & {"search", "retrain"}:
            folder = next(dep for dep in stage["deps"] if dep.endswith("/split")).removesuffix("/split")
            assert f"{folder}/checks/audit.json" in stage["deps"], name
    for name in ("search", "retrain"):
        assert "runs/checks/audit.json" in STAGES[name]["deps"]


def test_the_tables_plan_is_what_their_pipeline_runs(tmp_path):
    plan = load_tables(ROOT / "tables/params.yaml")
    for study, task in itertools.product(plan.all, plan.tasks):
        params = load_params(ROOT / f"tables/studies/{study}-{task}.yaml")
        assert (params.profile, params.task) == (study, task)
        datasets = {name: load_params(ROOT / f"tables/studies/{study}-{name}.yaml").dataset for name in plan.tasks}
        # every row has a method that the plan knows, every method of the plan a row: refused while it is read otherwise
        with pytest.raises(ValueError, match=r"cell\.json"):
            paper.read(
                tmp_path, ROOT / "tables/published.csv", ROOT / "tables/rows.csv", tables.plan_of(plan, datasets)
            )
    printed = {row["sigma"] for row in read_csv(ROOT / "tables/published.csv") if row["table"] in ("1", "5")}
    assert {float(sigma) for sigma in printed} == set(plan.sigmas)


def test_only_what_depends_on_the_test_noise_reads_sigma():
    readers = [name for name, stage in STAGES.items() if "sigma" in stage.get("params", [])]
    assert readers == ["synthesize", "retrain", "evaluate", "report"]
    for name in ("download", "split", "search", "derive"):
        assert not any("synthesize" in dep or "retrain" in dep for dep in STAGES[name]["deps"] if "runs/" in dep)
