"""A stage does not outlive the process that owns it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stages.around import orphans

ROOT = Path(__file__).parents[3]


def test_it_ends_soon_after_its_owner_was_killed(tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = "import time; from stages.around import orphans; orphans.watch(); print('up', flush=True); time.sleep(60)"
    stage = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"NASIR_OWNER": str(owner.pid)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stage.stdout.readline() == "up\n"
    time.sleep(2 * orphans.PERIOD)
    assert stage.poll() is None  # its owner lives, and so does it
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    _, errors = stage.communicate(timeout=30)
    assert stage.returncode == 1
    assert errors.startswith("stopped: the process that started this stage is gone")


def test_a_training_has_time_to_leave_a_checkpoint(tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = (
        "import time; from stages.around import orphans; from nasir import stopping; stopping.listen(); "
        "orphans.watch(); print('up', flush=True)\n"
        "while not stopping.is_asked(): time.sleep(0.01)\n"
        "print('kept', flush=True)"
    )
    stage = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"NASIR_OWNER": str(owner.pid)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stage.stdout.readline() == "up\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    said, _ = stage.communicate(timeout=30)
    assert (stage.returncode, said) == (0, "kept\n")


def test_without_an_owner_nothing_is_watched(monkeypatch):
    monkeypatch.delenv("NASIR_OWNER", raising=False)
    monkeypatch.setattr(orphans, "dvc_ancestor", lambda: None)
    assert orphans.owners() == []


def test_the_owners_are_dvc_and_make(monkeypatch):
    monkeypatch.setenv("NASIR_OWNER", "123")
    monkeypatch.setattr(orphans, "dvc_ancestor", lambda: (45, 0.0))
    assert orphans.owners() == [45, 123]
