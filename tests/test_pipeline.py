"""dvc.yaml and that of tables/: each stage is called as its `run` asks, and DVC sees all that the stage is made with."""

import dataclasses
import inspect
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from nasir.config import reading, tables
from nasir.config.params import Params
from nasir.config.training import SafetyConfig
from nasir.files import read_csv
from nasir.reporting.paper import claims, page
from nasir.settings import SECTIONS, Settings, resolve
from stages import __main__ as command_line
from stages import settings as settings_stage
from stages.around import binding, entries, runner
from stages.tables import page as page_stage
from stages.tables import study

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TABLES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "tables/dvc.yaml").read_text())["stages"].items()
}
SETTINGS = "reports/settings.yaml"
PLAN = tables.load(ROOT / "tables/params.yaml")
PROFILES = [one.profile for one in PLAN.studies]
MOST_LINES = 150

OF_CHECK = {
    "download": {"params.dataset"},
    "pair": {"params.task"},
    "synthesize": {"params.task", "params.sigma"},
    "split": set(),
    "audit": {"params.dataset"},
    "evaluate": set(),
}
"""What the check of a step reads of params.yaml (`stages.around.checking`)."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """The settings file that the first stage writes."""
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    settings_stage.write(ROOT / "params.yaml", ROOT / "profiles", path)
    return Settings(reading.read(path), str(path))


def read_by(stage: dict[str, Any]) -> list[str]:
    """The keys of the settings that DVC compares for a stage."""
    return [key for params in stage["params"] if isinstance(params, dict) for key in params[SETTINGS]]


def outputs(stage: dict[str, Any]) -> list[str]:
    found = [out for kind in ("outs", "metrics") for out in stage.get(kind, [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in found]


def command(stage: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The word behind `python -m stages` in a stage's command, and its options."""
    words = stage["cmd"].removeprefix("cd .. && ").split()
    assert words[:3] == ["python", "-m", "stages"]
    return words[3], dict(zip(words[4::2], words[5::2], strict=True))


@pytest.mark.parametrize("path", ["dvc.yaml", "tables/dvc.yaml"])
def test_a_pipeline_is_short_enough_to_be_read(path):
    assert len((ROOT / path).read_text().splitlines()) <= MOST_LINES


def test_the_stages_stand_in_order():
    assert list(STAGES) == ["settings", *entries.STEPS]
    assert list(TABLES) == ["settings", "extras", "data", "search", "train", "score", "claims", "page"]


@pytest.mark.parametrize("name", list(STAGES))
def test_a_stage_calls_the_step_of_its_name(name):
    assert command(STAGES[name])[0] == name


def test_every_command_of_the_pipelines_is_one_that_the_command_line_has():
    known = {*command_line.STAGES, *(function.__name__ for function in command_line.OTHERS)}
    assert {command(stage)[0] for stage in [*STAGES.values(), *TABLES.values()]} <= known
    assert set(command_line.STAGES) == {*entries.STEPS, *entries.TABLES} - {"data"}


@pytest.mark.parametrize("name", list(entries.STEPS))
def test_every_key_that_dvc_compares_is_in_the_settings(name, settings):
    for key in read_by(STAGES[name]):
        value: Any = settings.values
        for part in key.split("."):
            assert part in value, f"{name}: {key}"
            value = value[part]


def test_the_settings_stage_reads_all_params_and_all_code():
    stage = STAGES["settings"]
    assert set(stage["params"]) == {field.name for field in dataclasses.fields(Params)}
    assert {"profiles", "nasir", "stages"} == set(stage["deps"])


CLOCK = "safety.checkpoint_seconds"
"""No result depends on it."""


def needed(step: str) -> set[str]:
    """Every key of the settings that a step is given, by the names and types of its parameters (`runner.bind`)."""
    fields = {field.name for field in dataclasses.fields(Params)}
    found = {f"code.{step}"}  # whether or not the step is told, its code is part of what it is made with
    for parameter in binding.parameters(import_module(entries.module(step))):
        if parameter.annotation in runner.SECTIONS:
            section = runner.SECTIONS[parameter.annotation]
            keys = {f"safety.{field.name}" for field in dataclasses.fields(SafetyConfig)} - {CLOCK}
            found |= keys if section == "safety" else {section}
        elif parameter.name == "sigma":
            found |= {"params.sigma", "params.task"}  # the noise of the task
        elif parameter.name == "strategy":
            found.add("search")
        elif parameter.name.startswith("of_"):
            found.add(parameter.name.removeprefix("of_"))
        elif parameter.name == "params":
            found.add("params")
        elif parameter.name in fields - {"space"}:
            found.add(f"params.{parameter.name}")
    return found


@pytest.mark.parametrize("name", list(entries.STEPS))
def test_dvc_compares_everything_that_a_step_is_given(name):
    keys = read_by(STAGES[name])
    for key in needed(name) | OF_CHECK.get(name, set()):
        assert key in keys or key.partition(".")[0] in keys, f"{name} is given {key}"
    assert len(keys) == len(set(keys))


def test_every_parameter_of_a_step_is_given_by_the_settings_or_the_command_line(settings):
    for name in entries.STEPS:
        module = import_module(entries.module(name))
        asked = [p for p in binding.parameters(module) if binding.is_option(p)]
        options = {p.name: None if p.annotation == str | None else Path("x") for p in asked}
        bound = runner.bind(name, module, settings, options)
        assert set(bound) == {p.name for p in binding.parameters(module)} - {"log"}
        for parameter in binding.parameters(module):
            if parameter.annotation in (int, float, str) and parameter.name in bound:
                assert type(bound[parameter.name]) is parameter.annotation, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", ["search", "derive", "retrain", "report"])
def test_another_space_or_strategy_is_other_code(name):
    """So that DVC need not compare the name of what was chosen beside the code of what was chosen."""
    params = reading.read(ROOT / "params.yaml")
    one, other = (Settings(resolve(params | {"space": s}, ROOT / "profiles"), s) for s in ("irnas", "hinas"))
    assert entries.digest(name, one) != entries.digest(name, other)


@pytest.mark.parametrize("name", list(entries.STEPS))
def test_the_options_of_a_command_are_those_of_its_run(name):
    _, given = command(STAGES[name])
    parameters = inspect.signature(runner.command(name)).parameters.values()
    known = {f"--{p.name}": p for p in parameters if p.name != "changes"}
    optional = {option for option, p in known.items() if type(None) in typing.get_args(option_type(p))}

    assert set(given) <= set(known)
    assert set(known) - optional - {"--settings"} <= set(given)
    assert "--receipt" in given
    assert ("--check" in given) == (name in entries.CHECKED)


def option_type(parameter: inspect.Parameter) -> Any:
    """The type of an option, without what typer is told of it."""
    return typing.get_args(parameter.annotation)[0]


@pytest.mark.parametrize("name", list(TABLES))
def test_the_options_of_a_command_of_the_tables_are_those_of_its_stage(name):
    word, given = command(TABLES[name])
    others = {function.__name__: function for function in command_line.OTHERS}
    function = others.get(word if name != "settings" else "study") or runner.command(word)
    known = {f"--{p.name}": p for p in inspect.signature(function).parameters.values() if p.name != "changes"}
    required = {option for option, p in known.items() if p.default is inspect.Parameter.empty}

    assert set(given) <= set(known)
    assert required <= set(given)
    if word in command_line.STAGES:
        assert "--settings" in given  # each cell has its own


def lies_in(path: str, known: list[str]) -> bool:
    """Whether a path is one of these, in one of them, or the folder of one."""
    return any(one == path or one.startswith(f"{path}/") or path.startswith(f"{one}/") for one in known)


@pytest.mark.parametrize("name", list(STAGES))
def test_paths_in_a_command_are_dependencies_or_outputs(name):
    stage = STAGES[name]
    known = [dep.replace("${folder}", "data") for dep in [*stage.get("deps", []), *outputs(stage)]]
    for option, path in command(stage)[1].items():
        if option == "--params":
            assert path == "params.yaml"  # compared key by key
        elif option != "--checkpoint":  # which is gone when the stage is done
            assert lies_in(path, known), f"{name}: {option} {path} is no dependency or output"


@pytest.mark.parametrize("name", list(TABLES))
def test_paths_in_a_command_of_the_tables_are_dependencies_or_outputs(name):
    stage = TABLES[name]
    known = [str(Path("tables") / one).replace("tables/../", "") for one in [*stage.get("deps", []), *outputs(stage)]]
    for option, path in command(stage)[1].items():
        if option not in ("--checkpoint", "--profile", "--package"):
            assert lies_in(path, known), f"{name}: {option} {path} is no dependency or output"


@pytest.mark.parametrize("name", list(STAGES))
def test_what_a_stage_depends_on_is_made_before_it_or_in_the_repository(name):
    before = [out for other in list(STAGES)[: list(STAGES).index(name)] for out in outputs(STAGES[other])]
    for dep in STAGES[name].get("deps", []):
        assert dep == "${folder}" or lies_in(dep, before) or (ROOT / dep).exists(), f"{name}: {dep}"


def test_nothing_is_trained_before_the_audit():
    for name in ("search", "retrain"):
        assert "runs/checks/audit.json" in STAGES[name]["deps"]
    assert entries.OF_TASK[-1] == "audit"  # of the tables' stage data, which fails with it
    for name in ("search", "train"):
        assert "runs/${study.profile}/data/${item.task}" in TABLES[name]["deps"]


def test_only_what_depends_on_the_test_noise_reads_sigma():
    readers = [name for name in entries.STEPS if {"params", "params.sigma"} & set(read_by(STAGES[name]))]
    assert readers == ["synthesize", "retrain", "evaluate", "report"]
    for name in ("download", "pair", "split", "audit", "search", "derive"):
        assert not any("synthesize" in dep or "retrain" in dep for dep in STAGES[name]["deps"])


def test_checkpoints_of_runs_with_other_params_do_not_meet():
    named = {
        "search": ["dataset", "task", "profile", "seed"],
        "retrain": ["dataset", "task", "profile", "sigma", "seed"],
    }
    for name, params in named.items():
        path = command(STAGES[name])[1]["--checkpoint"]
        assert [param for param in params if f"${{{param}}}" not in path] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_of_the_paper_has_its_cells_in_the_plan(profile, tmp_path):
    # rows and plan name the same methods: refused while they are read, before the first cell is missed
    with pytest.raises(ValueError, match=r"cell\.json"):
        page.read(tmp_path, ROOT / "tables/published.csv", ROOT / "tables/rows.csv", page_stage.plan_of(PLAN, profile))


def test_the_plan_has_every_noise_level_that_is_printed():
    printed = {
        row["sigma"] for row in read_csv(ROOT / "tables/published.csv") if row["table"] in ("1", "5", "clearer-1")
    }
    assert {float(sigma) for sigma in printed} == set(page_stage.plan_of(PLAN, "paper").sigmas)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_cells_of_a_study_are_what_its_plan_says(profile):
    cells, plan = study.cells(PLAN, profile), page_stage.plan_of(PLAN, profile)
    runs = {
        (task, name)
        for task, part in plan.parts.items()
        for name, method in part.methods.items()
        if method.reason is None
    }
    assert set(plan.parts) == set(tables.TASKS)
    trained = {(run.task, name) for run in PLAN.runs if profile in run.studies for name in run.methods}
    scored = {(one.task, name) for one in PLAN.scores if profile in one.studies for name in one.methods}
    assert trained | scored == runs
    assert {cell["task"] for cell in cells["runs"].values()} == {task for task, _ in trained}
    assert {cell["task"] for cell in cells["data"].values()} >= {task for task, _ in runs}
    named = {cell["name"] for cell in cells["searches"].values()}
    assert {cell["search"] for cell in cells["claims"].values()} <= named
    for cell in cells["runs"].values():
        folder = cell["source"].removeprefix(f"runs/{profile}/")
        assert folder.split("/")[0] == "data" or folder.split("/")[1] in named


@pytest.mark.parametrize("profile", [profile for profile in PROFILES if profile != "overnight"])
def test_the_search_that_a_claim_on_clearer_is_about_is_one_of_every_study_that_has_clearer(profile):
    assert claims.CLEARER_SEARCH in {cell["name"] for cell in study.cells(PLAN, profile)["searches"].values()}


def test_each_kind_of_cell_keeps_the_sections_that_its_stage_is_given():
    for kind in ("search", "train", "score", "claims", "page"):
        given = {key.partition(".")[0] for key in needed(kind)} & {*SECTIONS, "space", "network", "strategy"}
        if kind == "claims":
            given |= {"search", "space", "strategy"}  # of the memory, which processes of its own measure
        assert given <= set(study.SECTIONS[kind]), kind
    assert set(study.SECTIONS["data"]) == set(entries.OF_TASK)
