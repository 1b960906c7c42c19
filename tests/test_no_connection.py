"""No part of the project reaches out of its machine unasked: telemetry and updates of all that it stands on are off.

Every process, children too, has a `connect` and a `getaddrinfo` that note what is not loopback, and refuse it.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from nasir.config import reading
from nasir.files import write_text
from nasir.settings import resolve
from tests.stages import little_run

ROOT = Path(__file__).parents[1]
HOOK = """
import ipaddress, os, socket

def note(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return
    try:
        if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass  # a name
    with open(os.environ["ATTEMPTS"], "a") as file:
        file.write(host + chr(10))
    raise OSError(f"no connection to {host} in this test")

def guarded(method):
    def call(self, *values):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            note(values[-1][0])
        return method(self, *values)
    return call

def looked_up(host, *others, getaddrinfo=socket.getaddrinfo, **named):
    note(host)
    return getaddrinfo(host, *others, **named)

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
socket.getaddrinfo = looked_up
"""
"""The sitecustomize.py of every process."""

SWITCHES = (
    "CI", "DVC_TEST", "DVC_NO_ANALYTICS", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "GX_ANALYTICS_ENABLED",
    "MLFLOW_TRACKING_URI",
)  # fmt: skip
"""Of a person's or a server's environment; the project is not to need them."""


class Watched:
    """Runs commands whose attempts to connect are noted."""

    def __init__(self, place: Path) -> None:
        write_text(place / "hook/sitecustomize.py", HOOK)
        self.place, self.attempts = place, place / "attempts"
        paths = (str(place / "hook"), str(ROOT), str(ROOT / "tests/stages"), str(ROOT / "tests"))
        self.environment = {name: value for name, value in os.environ.items() if name not in SWITCHES} | {
            "PYTHONPATH": os.pathsep.join(paths),
            "ATTEMPTS": str(self.attempts),
            "NASIR_TRACKING": str(place / "tracking"),
            "NASIR_SEND": "later",
            "HOME": str(place),
        }

    def run(self, *words: object, cwd: Path = ROOT, **environment: str) -> None:
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=cwd, env=self.environment | environment, capture_output=True,
            text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def noted(self) -> list[str]:
        return self.attempts.read_text().splitlines() if self.attempts.exists() else []


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('192.0.2.1', 9), 1)",
        "socket.socket().connect(('192.0.2.1', 9))",
        "socket.getaddrinfo('name.invalid', 80)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    ],
)
def test_an_attempt_is_noted(watched, attempt):
    watched.run("-c", f"import socket\ntry:\n    {attempt}\nexcept OSError: pass")
    assert watched.noted() in (["192.0.2.1"], ["name.invalid"])


def test_loopback_is_allowed(watched):
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname(), 5)"
    watched.run("-c", code)
    assert watched.noted() == []


def test_nasir_connects_to_nothing(watched):
    watched.run("-m", "nasir.cli", "show", "irnas-bsd500-50")
    watched.run("-m", "nasir.cli", "datasets")
    assert watched.noted() == []


def test_a_stage_and_its_checks_connect_to_nothing(watched, tmp_path):
    pytest.importorskip("great_expectations")
    little_run.write_pictures(tmp_path, tests=1)
    values = resolve(reading.read(ROOT / "params.yaml"), ROOT / "profiles")
    write_text(tmp_path / "settings.yaml", yaml.safe_dump(values))
    paths = {"--settings": "settings.yaml", "--pictures": "pictures", "--out": "made", "--check": "check.json"}
    watched.run("-m", "stages", "split", *(word for name, path in paths.items() for word in (name, tmp_path / path)))
    assert (tmp_path / "check.json").exists()
    assert watched.noted() == []


def test_what_sends_to_mlflow_connects_to_nothing_but_the_database(watched, tmp_path):
    pytest.importorskip("mlflow")
    watched.run("-m", "stages", "prepare", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert (tmp_path / "mlflow.db").exists()
    assert watched.noted() == []


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that stands for those of DVC's makers, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_dvc_with_the_project_s_own_configuration_connects_to_nothing(watched, endpoint):
    # DVC sends from a process of its own, without the hook above, to an address that may be set
    pytest.importorskip("dvc")
    address, asked = endpoint
    configurations = {name: (ROOT / name / ".dvc/config").read_text() for name in (".", "tables")}
    for number, lines in enumerate(
        [*configurations.values(), ""]
    ):  # the last, without its switches, shows that one is heard
        folder = watched.place / f"project-{number}"
        write_text(folder / "dvc.yaml", "stages:\n  one: {cmd: echo x > y, outs: [y]}\n")
        write_text(folder / ".dvc/config", lines)
        write_text(folder / ".dvc/config.local", "[core]\n    no_scm = true\n[cache]\n    dir = cache\n")
        to = {
            "DVC_ANALYTICS_ENDPOINT": f"{address}/{number}",
            "DVC_UPDATER_ENDPOINT": f"{address}/{number}",
        }
        watched.run("-m", "dvc", "repro", "-q", cwd=folder, **to)
    deadline = time.monotonic() + 60
    while not asked and time.monotonic() < deadline:
        time.sleep(0.2)
    assert set(asked) == {"/2"}
    assert watched.noted() == []
