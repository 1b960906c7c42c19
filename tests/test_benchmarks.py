"""What no other test runs: a benchmark that starts from settings which the configuration has come to refuse is found here."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("__"))


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_starts(name):
    assert import_module(f"benchmarks.{name}").__doc__


def test_every_benchmark_of_the_command_is_a_module():
    assert set(import_module("benchmarks.__main__").NAMES) <= set(MODULES)
