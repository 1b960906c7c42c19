"""How the threads of a command wait for each other."""

import subprocess
import sys

import pytest

from nasir.commands import threads

CALLED = """
import sys
from nasir.commands import threads
from {module} import main
threads.wait_briefly = lambda: print("torch" in sys.modules)
sys.argv[1:] = ["--help"]
main()
"""


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, threads.SPIN), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_a_thread_waits_briefly_unless_the_environment_says_how(monkeypatch, given, spins):
    environment = dict(given)
    monkeypatch.setattr(threads.os, "environ", environment)

    threads.wait_briefly()

    assert environment.get("GOMP_SPINCOUNT") == spins


@pytest.mark.parametrize("module", ["nasir.cli", "stages.__main__"])
def test_a_command_says_so_before_torch_is_there_to_read_it(module):
    run = subprocess.run(
        [sys.executable, "-c", CALLED.format(module=module)], check=True, capture_output=True, text=True
    )

    assert run.stdout.splitlines()[0] == "False"
