"""An error is one line; its trace comes where --debug or NASIR_DEBUG asks for it, and is kept where nobody foresaw the error."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from nasir import cli
from nasir.commands import failing
from stages import __main__ as stages

ROOT = Path(__file__).parents[2]
LINES = {"nasir": (cli, "app", "nasir show x", 2), "stages": (stages, "build", "stages split", 1)}
"""Command lines: module, what it calls, words, and the exit status after an error that says what to do."""


@pytest.fixture(params=LINES)
def fails(request, monkeypatch, capsys):
    """A command line that ends with the error that it is given: its status for such an error, its own one, and stderr."""
    module, name, words, usual = LINES[request.param]
    monkeypatch.delenv(failing.DEBUG, raising=False)

    def call(error: Exception, *more: str) -> tuple[int, int, str]:
        def run() -> None:
            raise error

        monkeypatch.setattr(sys, "argv", [*words.split(), *more])
        monkeypatch.setattr(module, name, run if name == "app" else lambda called: run)
        with pytest.raises(SystemExit) as ended:
            module.main()
        return usual, ended.value.code, capsys.readouterr().err

    return call


def test_an_error_that_says_what_to_do_is_one_line(fails):
    usual, status, told = fails(ValueError("sigma must be 0 or more, got -1."))
    assert (status, told) == (usual, "error: sigma must be 0 or more, got -1.\n")


def test_the_environment_asks_for_the_trace_and_0_does_not(fails, monkeypatch):
    monkeypatch.setenv(failing.DEBUG, "0")
    usual, status, told = fails(ValueError("wrong."))
    assert (status, told) == (usual, "error: wrong.\n")

    monkeypatch.setenv(failing.DEBUG, "1")
    usual, status, told = fails(ValueError("wrong."))
    assert status == usual
    assert told.startswith("Traceback (most recent call last):") and ", in run\n    raise error\n" in told
    assert told.endswith("\nValueError: wrong.\nerror: wrong.\n")


def test_an_error_that_nobody_foresaw_is_one_line_and_its_trace_is_kept(fails, monkeypatch, tmp_path):
    monkeypatch.setattr(failing.tempfile, "tempdir", str(tmp_path))
    _, status, told = fails(RuntimeError("shapes cannot be multiplied\nat some length"))

    [kept] = tmp_path.iterdir()
    expected = f"error: RuntimeError: shapes cannot be multiplied: nobody foresaw this error; its trace is in {kept}, "
    assert (status, told) == (70, expected + "report it with that.\n")
    assert ", in run\n    raise error\nRuntimeError: shapes cannot be multiplied\nat some length\n" in kept.read_text()


def test_a_trace_that_cannot_be_kept_is_left_to_debug(fails, monkeypatch, tmp_path):
    monkeypatch.setattr(failing.tempfile, "tempdir", str(tmp_path / "nosuch"))
    _, status, told = fails(KeyError("x"))
    assert status == 70
    assert told.startswith("error: KeyError: 'x': nobody foresaw this error; --debug shows its trace, ")


def test_a_memory_that_is_too_small_is_told_from_a_fault(fails):
    usual, status, told = fails(RuntimeError("DefaultCPUAllocator: can't allocate memory\nat y"))
    assert status == usual
    assert re.fullmatch(r"error: memory must hold what .*, got: DefaultCPUAllocator: can't allocate memory; .*\n", told)


@pytest.mark.parametrize(
    ("module", "extra"), [("mlflow", "pipeline"), ("great_expectations.core", "pipeline"), ("onnx", "export")]
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(fails, monkeypatch, module, extra):
    # as pyproject.toml comes to in an installed package
    required = ["torch>=2", 'great-expectations>=1.4; extra == "pipeline"', "mlflow>=3; extra == 'pipeline'"]
    required += ['onnxruntime>=1; extra == "other"', 'onnx>=1.17; extra == "export"']
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    usual, status, told = fails(ModuleNotFoundError(f"No module named {module!r}", name=module))
    package = module.partition(".")[0]
    message = f"error: this needs the package {package}, got none of that name; pip install 'nasir[{extra}]'.\n"
    assert (status, told) == (usual, message)


def test_a_module_that_no_extra_has_is_an_error_that_nobody_foresaw(fails, monkeypatch, tmp_path):
    monkeypatch.setattr(failing.tempfile, "tempdir", str(tmp_path))
    _, status, told = fails(ModuleNotFoundError("No module named 'nasir.nosuch'", name="nasir.nosuch"))
    assert status == 70 and "nobody foresaw" in told


def test_debug_may_stand_anywhere_before_two_dashes():
    assert failing.debug_first(["show", "x", "--debug", "--json"]) == ["--debug", "show", "x", "--json"]
    assert failing.debug_first(["show", "--", "--debug"]) == ["show", "--", "--debug"]
    assert failing.debug_first(["--debug", "show", "--debug"]) == ["--debug", "show"]
    assert failing.debug_first([]) == []


@pytest.mark.parametrize(
    ("program", "words", "status"),
    [
        ("from nasir.cli import main", ["show", "nosuch", "--debug"], 2),
        ("from nasir.cli import main", ["--debug", "audit", "nosuch"], 2),
        ("from stages.__main__ import main", ["split", "--settings", "nosuch", "--pictures", "p", "--out", "o"], 1),
    ],
)
def test_a_command_shows_its_trace_with_debug_alone(program, words, status, tmp_path):
    def run(arguments: list[str]) -> subprocess.CompletedProcess:
        code = f"{program}; main()"
        environment = {key: value for key, value in os.environ.items() if key != failing.DEBUG}
        environment |= {"PYTHONPATH": str(ROOT), "NASIR_TRACKING": str(tmp_path / "tracking"), "NASIR_SEND": "later"}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    plain = [word for word in words if word != "--debug"]
    quiet, loud = run(plain), run([*plain, "--debug"] if words == plain else words)

    assert (quiet.returncode, loud.returncode) == (status, status)
    [line] = quiet.stderr.splitlines()
    assert line.startswith("error: ") and "nosuch" in line
    assert loud.stderr.startswith("Traceback (most recent call last):")
    assert loud.stderr.splitlines()[-1] == line
