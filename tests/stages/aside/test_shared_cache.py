"""Several `dvc` at a time that share a cache or a checkout: each ends with what it has alone, and nothing is lost or mixed."""

import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from checkout import TINY, call, make
from crashes import digests

from nasir.config import reading

pytest.importorskip("dvc", reason="needs DVC")
pytestmark = pytest.mark.slow

LEVELS = (50, 70)
SECONDS = 600  # of a machine that has much else to do
LOCKED = "Unable to acquire lock"


def without_checks(place: Path, profile: Mapping[str, object], **params: object) -> dict[str, str]:
    """A checkout whose stages leave out their checks, which take seconds each and write nothing of a result."""
    environment = make(place, profile, **params)
    pipeline = (place / "dvc.yaml").read_text()
    for pattern in (r" --check \S+", r", runs/checks/\w+\.json", r"\n +- runs/checks/\w+\.json"):
        pipeline = re.sub(pattern, "", pipeline)
    (place / "dvc.yaml").write_text(pipeline)
    return environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(place)}


def start(place: Path, environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_checkouts_with_one_cache_end_with_the_bytes_of_each_alone(tmp_path):
    alone, expected = tmp_path / "alone", {}
    environment = without_checks(alone, TINY)
    for level in LEVELS:
        chosen = reading.read(alone / "params.yaml") | {"sigma": level}
        (alone / "params.yaml").write_text(yaml.safe_dump(chosen))
        call(alone, environment, "dvc", "repro", "synthesize")
        expected[level] = digests(alone)
    assert {name.split("/")[1] for name in expected[50]} == {"pair", "synthesize"} and expected[50] != expected[70]

    cache, running = tmp_path / "cache", {}
    environments = {level: without_checks(tmp_path / str(level), TINY, sigma=level) for level in LEVELS}
    for level in LEVELS:
        call(tmp_path / str(level), environments[level], "dvc", "cache", "dir", "--local", str(cache))
    for level in LEVELS:
        running[level] = start(tmp_path / str(level), environments[level], "dvc", "repro", "synthesize")
    for level, process in running.items():
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said
        assert digests(tmp_path / str(level)) == expected[level]

    objects = [path for path in (cache / "files").rglob("*") if path.is_file()]
    for path in objects:
        name = path.parent.name + path.name.removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == name
    assert len(objects) > 10
    for level in LEVELS:
        place = tmp_path / str(level)
        for folder in ("pair", "synthesize"):
            shutil.rmtree(place / "runs" / folder)
        call(place, environments[level], "dvc", "checkout", "-q", "runs/pair", "runs/synthesize")
        assert digests(place) == expected[level]


def test_two_runs_apart_in_one_checkout_have_each_its_own_settings(tmp_path):
    """One that comes while the other takes its copy of the project may be refused by DVC's lock, and runs when called again."""
    place = tmp_path / "project"
    environment = make(place, TINY) | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(place)}
    for words in (
        ("git", "config", "user.email", "someone@example.org"),
        ("git", "config", "user.name", "someone"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", "as it is"),
    ):
        call(place, environment, *words)
    before = call(place, environment, "git", "rev-parse", "HEAD")

    def run(level: int) -> subprocess.Popen[str]:
        words = ("dvc", "exp", "run", "--temp", "--name", f"at-{level}", "-S", f"sigma={level}", "settings")
        return start(place, environment, *words)

    deadline, waiting = time.monotonic() + SECONDS, {level: run(level) for level in LEVELS}
    while waiting:
        time.sleep(1)
        for level, process in list(waiting.items()):
            if process.poll() is None:
                assert time.monotonic() < deadline
                continue
            said = waiting.pop(level).communicate()[0]
            if process.returncode != 0:
                assert LOCKED in said, said
                waiting[level] = run(level)

    for level in LEVELS:
        [kept] = call(
            place, environment, "git", "for-each-ref", "--format", "%(refname)", f"refs/exps/*/*/at-{level}"
        ).split()
        resolved = call(place, environment, "git", "show", f"{kept}:reports/settings.yaml")
        assert re.search(rf"^ +sigma: {level}$", resolved, re.M)
    assert call(place, environment, "git", "status", "--porcelain", "--untracked-files=no") == ""
    assert call(place, environment, "git", "rev-parse", "HEAD") == before
    assert list((place / ".dvc/tmp/exps").glob("standalone/tmp*")) == []
