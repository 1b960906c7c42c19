"""DVC's queue of runs, as docs/cluster.md has it: each in a copy of the project, with settings of its own."""

import re
import time
from pathlib import Path

import pytest
from checkout import TINY, call, make

pytest.importorskip("dvc", reason="needs DVC")
pytestmark = pytest.mark.slow

SECONDS = 600  # of a machine that has much else to do


def test_a_run_of_the_queue_has_its_own_settings_and_leaves_those_of_here(tmp_path):
    place = tmp_path / "project"
    environment = make(place, TINY, sigma=50)
    environment |= {"PYTHONPATH": str(place)}
    for words in (
        ("git", "config", "user.email", "someone@example.org"),
        ("git", "config", "user.name", "someone"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", "as it is"),
        ("dvc", "exp", "run", "--queue", "--name", "other", "-S", "sigma=70", "settings"),
        ("dvc", "queue", "start", "-j", "1"),
    ):
        call(place, environment, *words)
    deadline = time.monotonic() + SECONDS
    while "Success" not in (told := call(place, environment, "dvc", "queue", "status")):
        assert "Failed" not in told and time.monotonic() < deadline, told
        time.sleep(3)
    assert re.search(r"^\w{7} +other ", told, re.M)

    [kept] = call(place, environment, "git", "for-each-ref", "--format", "%(refname)", "refs/exps/*/*/other").split()
    resolved = call(place, environment, "git", "show", f"{kept}:reports/settings.yaml")
    assert re.search(r"^ +sigma: 70", resolved, re.M)
    assert "stages settings" in call(place, environment, "dvc", "queue", "logs", "other")
    assert sigma(place) == "50"


def sigma(place: Path) -> str:
    return re.search(r"^sigma: (\d+)", (place / "params.yaml").read_text(), re.M)[1]
