"""What a stage's `run` takes becomes options of the command line and values from the settings."""

import errno
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import little_run
import pytest
import yaml
from typer.testing import CliRunner, Result

from nasir import files
from nasir.code import Code
from nasir.config.derive import DeriveConfig
from nasir.config.evaluate import EvaluateConfig
from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.training import SafetyConfig
from nasir.files import read_json, write_text
from nasir.networks import catalogue
from nasir.search import one_shot
from nasir.settings import Settings, resolve
from nasir.spaces import irnas
from nasir.training import precision
from stages import __main__ as commands
from stages import retrain, search, split
from stages.around import entries, runner
from stages.tables import train

ROOT = Path(__file__).parents[3]
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "space": "irnas"}
PARAMS |= {"seed": 3, "profile": "demo"}
AROUND = ["settings", "receipt", "changes"]
"""Parameters that every command has."""


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Journals of this test are its own, and nothing is sent."""
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    monkeypatch.setenv("NASIR_SEND", "later")
    monkeypatch.delenv("NASIR_OWNER", raising=False)


def settings_of(**params: object) -> Settings:
    """The demo's settings."""
    return Settings(resolve(PARAMS | params, ROOT / "profiles"), "settings.yaml")


@pytest.fixture
def place(little: Path) -> Path:
    """Little pictures, and the settings of the demo."""
    write_text(little / "settings.yaml", yaml.safe_dump(settings_of().values))
    return little


def call(place: Path, *words: str, settings: str = "settings.yaml") -> Result:
    """A command line, with the settings in `place`."""
    app = commands.build(words[0])
    return CliRunner().invoke(app, [*words, "--settings", str(place / settings)])


def options(command: Callable[..., None]) -> dict[str, Any]:
    """Each option's name and default."""
    return {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}


REQUIRED = inspect.Parameter.empty


def test_options_are_the_paths_of_run_and_what_every_stage_has():
    found = options(runner.command("retrain"))

    own = ["pictures", "split", "genotype", "network", "start", "checkpoint", "out"]
    assert list(found) == [*own, *AROUND]  # not task, sigma, space, seed, ... which come from the settings
    assert [name for name in own if found[name] is REQUIRED] == ["pictures", "split", "checkpoint", "out"]
    assert [found[name] for name in ("genotype", "network", "start")] == [None, None, None]
    assert found["settings"] == Path("reports/settings.yaml")


@pytest.mark.parametrize(
    ("step", "is_checked"), [("split", True), ("evaluate", True), ("derive", False), ("page", False)]
)
def test_stages_whose_results_are_checked_have_the_option_check(step, is_checked):
    assert ("check" in options(runner.command(step))) is is_checked


@pytest.mark.parametrize("step", commands.STAGES)
def test_every_stage_can_be_called_and_says_what_it_does(step):
    shown = CliRunner().invoke(commands.build(step), [step, "--help"])

    assert shown.exit_code == 0
    assert "--settings" in shown.output and "--set" in shown.output and "--receipt" in shown.output


def test_values_are_bound_by_name_and_by_config_class():
    settings = settings_of()
    given = {"pictures": Path("p"), "split": Path("s"), "genotype": Path("g"), "network": None, "start": None}
    given |= {"checkpoint": Path("c"), "out": Path("o")}

    values = runner.bind("retrain", retrain, settings, given)

    assert {name: values.pop(name) for name in given} == given
    assert values.pop("config") == settings.section("retrain", RetrainConfig)
    assert values.pop("safety") == settings.section("safety", SafetyConfig)
    assert values.pop("tone") == settings.section("tone", ToneConfig)
    assert values.pop("of_network") == settings.of_network
    assert values.pop("space") is irnas.SPACE
    assert values.pop("code") == Code().digest(["stages.retrain", "stages.around.binding", "nasir.spaces.irnas"])
    assert values == {"task": "denoise", "sigma": 50.0, "seed": 3}  # and no log: that is made around the stage


def test_several_config_classes_each_get_their_section():
    cell = {"method": "irnas", "draw": 0, "is_baseline": False, "protocols": ["whole"]}
    settings = Settings(settings_of().values | {"cell": cell}, "settings.yaml")
    paths = dict.fromkeys(("pictures", "split", "source", "checkpoint", "out"), Path("p"))

    values = runner.bind("train", train, settings, paths)

    assert (values["deriving"], values["retraining"], values["config"]) == (
        settings.section("derive", DeriveConfig),
        settings.section("retrain", RetrainConfig),
        settings.section("evaluate", EvaluateConfig),
    )
    assert values["cell"] == cell


def test_a_search_gets_strategy_and_space_with_their_sections():
    settings = settings_of()

    values = runner.bind(
        "search", search, settings, dict.fromkeys(("pictures", "split", "checkpoint", "out"), Path("p"))
    )

    demo = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    assert (values["strategy"], values["space"]) == (one_shot.STRATEGY, irnas.SPACE)
    assert values["of_strategy"].candidates == demo["strategy"]["one_shot"]["candidates"]
    assert values["of_space"].layers == demo["space"]["cells"]["layers"]


@pytest.mark.parametrize(("task", "sigma"), [("denoise", 50.0), ("derain", 0.0)])
def test_the_noise_of_a_task_of_pairs_is_zero(task, sigma):
    given = dict.fromkeys(("pictures", "split", "genotype", "checkpoint", "out"), Path("p"))
    given |= {"network": None, "start": None}

    assert runner.bind("retrain", retrain, settings_of(task=task), given)["sigma"] == sigma


def test_a_baseline_on_the_command_line_is_part_of_the_code_and_brings_its_rate():
    given = dict.fromkeys(("pictures", "split", "checkpoint", "out"), Path("p")) | {"genotype": None, "start": None}

    values = runner.bind("retrain", retrain, settings_of(), given | {"network": "memnet-shared"})

    assert values["code"] == Code().digest(["stages.retrain", "stages.around.binding", "nasir.networks.memnet"])
    usual = settings_of().of_class(RetrainConfig)
    rates = {"lr_max": catalogue.find("memnet-shared").lr_max, "lr_min": usual.lr_min}
    assert usual.lr_max != rates["lr_max"] and values["config"] == replace(usual, **rates)


@pytest.mark.parametrize(
    ("start", "module"), [("clearer-bsd500-30", "nasir.spaces.clearer"), ("dncnn-bsd500-50", "nasir.networks.dncnn")]
)
def test_of_a_network_that_is_trained_further_the_code_is_its_own(start, module):
    given = dict.fromkeys(("pictures", "split", "checkpoint", "out"), Path("p")) | {"genotype": None, "network": None}

    values = runner.bind("retrain", retrain, settings_of(), given | {"start": start})

    assert values["code"] == Code().digest(["stages.retrain", "stages.around.binding", module])
    assert values["config"] == settings_of().of_class(RetrainConfig)


def test_a_missing_option_is_named_by_the_command_line(place):
    refused = call(place, "split", "--pictures", str(place / "pictures"))

    assert refused.exit_code == 2
    assert "Missing option '--out'" in refused.output


def test_a_stage_runs_from_its_options_and_leaves_a_receipt_and_a_journal(place):
    out, receipt = place / "made", place / "receipt.json"
    done = call(place, "split", "--pictures", str(place / "pictures"), "--out", str(out), "--receipt", str(receipt))

    assert done.exit_code == 0, done.output
    assert read_json(out / "split.json")["seed"] == 3  # of the settings
    assert (read_json(receipt)["stage"], read_json(receipt)["profile"]) == ("split", "demo")
    start, *events, finish = journal_of(place)
    assert (start["stage"], finish["status"]) == ("split", "FINISHED")
    assert [sorted(event["values"]) for event in events if event["event"] == "tags"] == [
        ["mlflow.source.git.commit"],
        ["nasir.device"],
    ]
    [cost] = [event["values"] for event in events if "seconds" in event.get("values", {})]
    assert 0 < cost["seconds"] <= read_json(receipt)["seconds"] < 600 and cost["peak_memory_mib"] > 10
    assert start["params"]["seed"] == 3 and start["params"]["split.w"] == "0.49"
    assert "retrain.steps" not in start["params"]
    whole = start["pipeline"]["params"]  # whatever of it DVC has kept from an earlier run
    assert whole["retrain.steps"] == str(settings_of().values["retrain"]["steps"]) and whole["sigma"] == "50.0"


def test_the_pipeline_of_a_cell_of_the_tables_has_no_settings_of_one_of_its_many(place):
    write_text(place / "cell.yaml", yaml.safe_dump(settings_of().values | {"cell": {"method": "tv"}}))
    words = ["--pictures", str(place / "pictures"), "--out", str(place / "made")]

    assert call(place, "split", *words, settings="cell.yaml").exit_code == 0

    start = journal_of(place)[0]
    assert (start["params"]["cell.method"], sorted(start["pipeline"]["params"])) == ("tv", sorted(PARAMS))


def test_pictures_of_a_stage_are_kept_by_the_names_of_their_files(place, monkeypatch):
    monkeypatch.setattr(split, "PICTURES", "crops", raising=False)
    crops = place / "made/crops"
    crops.mkdir(parents=True)
    for name in ("2 wall.png", "1 brick.png", "list.json"):
        (crops / name).write_bytes(b"picture")

    done = call(place, "split", "--pictures", str(place / "pictures"), "--out", str(place / "made"))

    assert done.exit_code == 0, done.output
    assert [event["key"] for event in journal_of(place) if event["event"] == "picture"] == ["1 brick", "2 wall"]


LITTLE = [
    "search.steps=2", "search.warmup_steps=0", "search.patch=12", "search.batch=2", "search.val_crop=16",
    "search.device=cpu", "search.precision=32-true", "space.layers=1", "space.nodes=1", "space.width=2",
    "strategy.candidates=2", "strategy.selection=random", "strategy.window=[0, 1.0e+12]",
]  # fmt: skip
"""The demo's search as small as can be."""


def test_a_receipt_says_in_which_numbers_a_stage_has_trained(place):
    paths = {name: place / name for name in ("pictures", "split", "checkpoint", "out")}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    changes = [word for change in LITTLE for word in ("--set", change)]
    done = call(place, "search", *options, *changes, "--receipt", str(place / "search.json"))
    words = ["--pictures", str(place / "pictures"), "--out", str(place / "made")]
    call(place, "split", *words, "--receipt", str(place / "split.json"))

    assert done.exit_code == 0, done.output
    assert (
        read_json(place / "search.json")["precision"] == "32-true" == read_json(place / "out/search.json")["precision"]
    )
    assert read_json(place / "split.json")["precision"] is None  # it trains nothing


def test_a_receipt_has_the_steps_that_a_training_went_back_from_and_to(place, monkeypatch):
    run = split.run

    @functools.wraps(run)
    def rewound(**values):
        values["log"](4, {"rewound_from": 9.0})
        values["log"](4, {"rewound_from": 6.0})
        run(**values)

    monkeypatch.setattr(split, "run", rewound)
    words = ["--pictures", str(place / "pictures"), "--out", str(place / "made")]
    done = call(place, "split", *words, "--receipt", str(place / "receipt.json"))

    assert done.exit_code == 0, done.output
    assert read_json(place / "receipt.json")["rewound"] == [{"from": 9, "to": 4}, {"from": 6, "to": 4}]


@pytest.mark.parametrize(("is_fast", "found"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_receipt_has_what_auto_comes_to_on_the_device(monkeypatch, is_fast, found):
    monkeypatch.setattr(precision, "is_bfloat16_fast", lambda device: is_fast)

    assert runner._precision(search, {"config": replace(little_run.SEARCH, precision="auto")}) == found
    assert runner._precision(search, {"config": little_run.SEARCH}) == "32-true"


def test_set_reaches_params_and_sections(place):
    options = ["--pictures", str(place / "pictures"), "--out", str(place / "made")]
    done = call(place, "split", *options, "--set", "split.exclude_leaks=false", "--set", "seed=5")

    assert done.exit_code == 0, done.output
    made = read_json(place / "made/split.json")
    assert (made["exclude_leaks"], made["seed"]) == (False, 5)


def test_set_of_an_unknown_key_is_refused_with_the_known_ones(place):
    refused = call(place, "split", "--pictures", "p", "--out", str(place / "made"), "--set", "split.shares=1")

    assert refused.exit_code == 1
    with pytest.raises(
        ValueError, match=r"SECTION.KEY of the settings, got 'split.shares=1'; keys are dataset.* split.w"
    ):
        raise refused.exception
    assert not (place / "made").exists()


def test_without_settings_the_error_says_what_writes_them(place):
    write_text(place / "other.yaml", "split: {}\n")

    refused = call(place, "split", "--pictures", "p", "--out", "o", settings="other.yaml")

    with pytest.raises(ValueError, match=r"other.yaml must be what `python -m stages settings` wrote"):
        raise refused.exception


def test_a_stage_that_fails_says_so_in_its_journal_and_leaves_no_receipt(place):
    receipt = place / "receipt.json"
    failed = call(place, "split", "--pictures", str(place / "nowhere"), "--out", "o", "--receipt", str(receipt))

    assert failed.exit_code == 1
    assert journal_of(place)[-1]["status"] == "FAILED"
    assert not receipt.exists()


@pytest.mark.parametrize("option", ["--out", "--receipt", "--check"])
@pytest.mark.parametrize("is_full", [False, True], ids=["below a file", "full"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(place, monkeypatch, option, is_full):
    def full(**others):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (place / "file").write_text("")
    begun = []
    monkeypatch.setattr(split, "run", functools.wraps(split.run)(lambda **values: begun.append(values)))
    if is_full:
        monkeypatch.setattr(files.tempfile, "TemporaryFile", full)
    paths = {"--pictures": place / "pictures", "--out": place / "made"} | {option: place / "file/made"}
    refused = call(place, "split", *(str(word) for pair in paths.items() for word in pair))

    what = "cannot be written into" if option == "--out" else "cannot be written"
    words = r"No space left on device" if is_full else "Not a directory"
    with pytest.raises(ValueError, match=rf"{what} \({words}\); name another"):
        raise refused.exception
    assert not begun and not (place / "tracking").exists()


def test_check_runs_in_the_same_call_and_a_failure_is_raised(place):
    pytest.importorskip("great_expectations")
    out, result = place / "made", place / "check.json"
    words = ["--pictures", str(place / "pictures"), "--out", str(out), "--check", str(result)]

    failed = call(place, "split", *words)  # the little pictures have none for testing

    with pytest.raises(ValueError, match=r"the split check expected .* images fails for test \(0\)"):
        raise failed.exception
    assert read_json(result)["success"] is False
    assert (out / "split.json").exists()  # what was checked


@pytest.mark.filterwarnings("ignore")  # of what Great Expectations stands on
def test_check_passes_what_is_good(tmp_path):
    pytest.importorskip("great_expectations")
    little_run.write_pictures(tmp_path, tests=1)
    write_text(tmp_path / "settings.yaml", yaml.safe_dump(settings_of().values))

    out, result = tmp_path / "made", tmp_path / "check.json"
    done = call(tmp_path, "split", "--pictures", str(tmp_path / "pictures"), "--out", str(out), "--check", str(result))

    assert done.exit_code == 0, done.exception
    assert read_json(result)["success"] is True


@pytest.mark.parametrize("step", commands.STAGES)
def test_a_stage_tells_its_news_and_counts_them_from_what_it_takes(step):
    module = import_module(entries.module(step))
    taken = inspect.signature(module.run).parameters

    assert "log" in taken
    if hasattr(module, "count"):
        assert set(inspect.signature(module.count).parameters) <= set(taken)


def journal_of(place: Path) -> list[dict[str, Any]]:
    """The events of the one stage that ran."""
    [journal] = (place / "tracking").glob("*.jsonl")
    return [json.loads(line) for line in journal.read_text().splitlines()]


HEAVY = ("torch", "mlflow", "great_expectations", "pandas", "matplotlib")
HELP = f"""import runpy, sys
sys.argv = ["stages", "--help"]
try:
    runpy.run_module("stages", run_name="__main__")
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""


def test_help_lists_every_stage_and_imports_nothing_heavy():
    shown = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    *lines, imported = shown.strip().splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    assert listed >= {*commands.STAGES, *(function.__name__ for function in commands.OTHERS)}
    assert imported == "[]"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(13, "Permission denied", "runs/x"),
            r"^error: runs/x must be open to .*got: Permission denied; ",
        ),
        (MemoryError(), r"^error: memory must hold what a step needs, got: no memory; lower batch or patch"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory\nat y"),
            r"got: DefaultCPUAllocator: .* memory; lower",
        ),
        (ConnectionError("no server"), "^error: no server$"),
    ],
)
def test_an_error_of_the_system_is_told_in_one_line(monkeypatch, capsys, error, message):
    def fail():
        raise error

    monkeypatch.setattr(commands, "build", lambda called: fail)
    with pytest.raises(SystemExit, match=r"^1$"):
        commands.main()
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    argv = [sys.executable, "-m", "stages", "settings", "--out", str(tmp_path / "file/settings.yaml")]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/file/settings.yaml must be open to this command, got: ")
