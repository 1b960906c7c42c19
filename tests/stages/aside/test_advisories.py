"""Known vulnerabilities are told with their remedy; that none could be looked for is told, too, and is no all-clear."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages import __main__ as commands
from stages.aside import advisories

CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}
BAD = {"name": "pillow", "version": "9.0.0"} | {
    "vulns": [
        {"id": "PYSEC-1", "aliases": ["CVE-2"], "fix_versions": ["9.0.1"]},
        {"id": "PYSEC-3", "aliases": [], "fix_versions": []},
    ]
}
PASSED = {"name": "odd", "skip_reason": "odd 1 is not there"}


@pytest.fixture
def pins(tmp_path):
    path = tmp_path / "pins.txt"
    path.write_text("# that ran together\nsix==1.17.0\ntorch==2.13.0+cpu\n")
    return path


def ask(pins, code: str, seconds: float = 60) -> tuple[list[str], int]:
    """`advisories.run` with Python code in pip-audit's place."""
    return advisories.run(pins, [sys.executable, "-c", code], seconds)


def answer(*packages: object) -> str:
    return f"print({json.dumps({'dependencies': packages})!r}); raise SystemExit(1)"


def test_each_vulnerability_is_a_line_with_what_mends_it(pins):
    lines, known = ask(pins, answer(CLEAN, BAD, PASSED))
    assert known == 2 and lines == [
        "pillow 9.0.0: PYSEC-1, CVE-2; mended in 9.0.1",
        "pillow 9.0.0: PYSEC-3; not mended yet",
        f"advisories: 2 known vulnerabilities of 2 packages in {pins}; 1 more could not be looked up.",
    ]
    assert ask(pins, answer(CLEAN)) == ([f"advisories: 0 known vulnerabilities of 1 packages in {pins}."], 0)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ConnectionError('no such host')", "ConnectionError: no such host"),
        ("raise SystemExit('No module named pip_audit')", "No module named pip_audit"),
        (answer(PASSED), "odd 1 is not there"),  # a service that knows nothing
        (answer(), "pins no package"),
        ("print('<html>')", "no answer"),
        ("print('[]')", "no answer"),
        ("import time; time.sleep(60)", "no answer within 0.5 s"),
    ],
)
def test_where_nothing_can_be_asked_one_line_says_why(pins, code, why):
    [line], known = ask(pins, code, 0.5 if "sleep" in code else 60)
    assert line.startswith("advisories: skipped, no vulnerability was looked for: ") and why in line
    assert known == 0


@pytest.mark.parametrize("line", ["six", "six>=1", "--index-url x", "six==1.0 ; python_version < '3'"])
def test_what_is_no_pin_is_refused(pins, line):
    pins.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"line 1 of .*pins\.txt must be NAME==VERSION, got .*; pin one version"):
        ask(pins, answer(CLEAN))
    with pytest.raises(ValueError, match="expected a file of pins at nowhere, got none"):
        advisories.run(Path("nowhere"))


@pytest.mark.parametrize(("known", "status"), [(0, 0), (2, 1)])
def test_the_status_says_whether_any_is_known(monkeypatch, known, status):
    monkeypatch.setattr(advisories, "run", lambda pins: ([f"advisories: {known}"], known))
    called = CliRunner().invoke(commands.build("advisories"), ["advisories"])
    assert (called.exit_code, called.output) == (status, f"advisories: {known}\n")


def test_pip_audit_asks_the_service_for_each_pin(pins, monkeypatch):
    pytest.importorskip("pip_audit", reason="`make audit` installs it")
    told = {"id": "PYSEC-1", "summary": "x", "aliases": ["CVE-2"], "published": "2020-01-01T00:00:00Z"}
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.18.0"}]}]
    told |= {"affected": [{"package": {"name": "six", "ecosystem": "PyPI"}, "ranges": ranges}]}
    asked = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            found = {"vulns": [told]} if asked[-1]["package"]["name"] == "six" else {}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        lines, known = advisories.run(pins)
    finally:
        server.shutdown()
        server.server_close()
    assert {(one["package"]["name"], one["version"]) for one in asked} == {("six", "1.17.0"), ("torch", "2.13.0+cpu")}
    assert known == 1 and lines[0] == "six 1.17.0: PYSEC-1, CVE-2; mended in 1.18.0", lines
