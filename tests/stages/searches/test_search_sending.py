"""The study's jobs on the workers of a scheduler: what is sent, what comes back, and errors on the way."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import little_run
import pytest

from nasir import cluster
from nasir.files import read_json, write_json, write_text
from stages.searches import plan as plans
from stages.searches import sending, study
from stages.searches.plan import Job, Plan
from tests.stages.searches.little_study import ROOT, bring, read, write

RESULT = {"psnr_db": {"a": 20.0}}


class Workers:
    """Two workers that do what they are told at once."""

    def __init__(self, bench: sending.Bench) -> None:
        self.bench, self.given = bench, list[tuple[Job, dict[str, Any]]]()

    def slots(self) -> int:
        return 2

    def submit(self, work: Any, job: Any) -> Future[Any]:
        self.given.append(job)
        future: Future[Any] = Future()
        future.set_result(work(self.bench, job))
        return future


@pytest.fixture
def workers(monkeypatch, tmp_path) -> list[Workers]:
    """Those that a study had; a scheduler is named, and no job does anything but give a result."""
    found: list[Workers] = []

    @contextmanager
    def far(make: Any, plan: Plan, files: dict[str, bytes]) -> Iterator[Workers]:
        found.append(Workers(make(plan, files)))
        yield found[-1]

    def work(bench: sending.Bench, given: tuple[Job, dict[str, Any]]) -> dict[str, Any]:
        return RESULT | {"made_with": bench.plan.made_with(given[0])}

    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "far", far)
    monkeypatch.setattr(sending, "work", work)
    monkeypatch.setattr(study.pages, "write", lambda page, *given: write_text(page, "\n"))
    little_run.write_pictures(tmp_path / "work/sample", tests=5)
    bring(tmp_path)
    return found


def run(folder: Path, **changes: Any) -> None:
    study.run(
        plan=write(folder / "plan.yaml", **changes), profiles=ROOT / "profiles", shipped=ROOT / "data",
        known=ROOT / "known.csv", work=folder / "work", results=folder / "results", page=folder / "page.md", workers=1,
        hours=0,
    )  # fmt: skip


def test_the_study_sends_every_job_with_what_it_needs_and_writes_what_comes_back(workers, tmp_path):
    run(tmp_path)
    [had] = workers
    plan = read(tmp_path)
    assert {job.name for job, _ in had.given} == {job.name for job in plan.jobs()}
    for job, needed in had.given:
        if job.name.startswith("found-"):  # the search that it follows, and networks by which a pace is known
            assert set(needed) == {job.name.replace("found-", "search-"), "random-00", "random-01", "random-02"}
        else:
            assert set(needed) == ({"random-00", "random-01"} if job.name == "random-02" else set())
        assert plans.result(tmp_path / "results", plan, job) == RESULT | {"made_with": plan.made_with(job)}


def test_a_worker_gets_the_pictures_and_the_split_and_needs_no_profiles(workers, tmp_path):
    run(tmp_path)
    bench, sent = workers[0].bench, tmp_path / "work/sample"
    there = bench.data
    names = {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    of_parts = [path for part in ("pictures", "split") for path in (sent / part).rglob("*") if path.is_file()]
    assert names == {path.relative_to(sent) for path in of_parts} and len(names) > 5
    assert all((there / name).read_bytes() == (sent / name).read_bytes() for name in names)
    resolved = {(None, None), *((search, None) for search in bench.plan.values["searches"])}
    assert set(bench.plan._resolved) == resolved
    del bench, workers[0].bench
    assert not there.exists()


@pytest.fixture
def bench(tmp_path) -> sending.Bench:
    return sending.unpack(read(tmp_path), {"split/split.json": b"{}"})


def test_a_job_has_a_process_and_the_results_that_it_needs(bench, monkeypatch):
    def start(command: list[str], *, input: bytes, cwd: Path, env: dict[str, str]) -> CompletedProcess[bytes]:
        plan, job, data, results, _ = sending.pickle.loads(input)
        assert command[1:] == ["-m", "stages.searches.sending"] and cwd == ROOT
        assert cluster.SCHEDULER not in env and env["OMP_NUM_THREADS"] == "1"
        assert (data / "split/split.json").is_file() and plan.values == bench.plan.values
        assert read_json(results / "search-darts-0.json") == {"genotype": 1}
        write_json(results / f"{job.name}.json", RESULT)
        return CompletedProcess(command, 0)

    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:9")
    monkeypatch.setattr(sending.subprocess, "run", start)
    [job] = [job for job in bench.plan.jobs() if job.name == "found-darts-0"]
    assert sending.work(bench, (job, {"search-darts-0": {"genotype": 1}})) == RESULT


@pytest.mark.parametrize(
    ("text", "status", "error", "message"),
    [
        (["FloatingPointError", "the loss must be finite"], 1, FloatingPointError, "the loss must be finite"),
        (["KeyError", "'psnr'"], 1, RuntimeError, "'psnr'"),
        (
            None,
            -9,
            ConnectionError,
            r"random-00 must end by itself, got status -9 of its process on .*; look at the log",
        ),
    ],
)
def test_a_job_s_error_comes_back_and_so_does_its_sudden_end(bench, monkeypatch, text, status, error, message):
    def start(command: list[str], *, input: bytes, **others: Any) -> CompletedProcess[bytes]:
        if text is not None:
            (sending.pickle.loads(input)[3] / sending.ERROR).write_text(json.dumps(text))
        return CompletedProcess(command, status)

    monkeypatch.setattr(sending.subprocess, "run", start)
    with pytest.raises(error, match=message):
        sending.work(bench, (next(bench.plan.jobs()), {}))


@pytest.mark.slow
def test_a_job_on_a_worker_gives_what_it_gives_here(tmp_path):
    from stages.searches import jobs

    little_run.write_pictures(tmp_path, tests=5)
    plan = read(tmp_path, seconds=None, steps=3)
    plan.settings(None)
    [job] = [job for job in plan.jobs() if job.name == "random-01"]
    jobs.work(plan, job, tmp_path, tmp_path / "results")
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    there, here = sending.work(sending.unpack(plan, files), (job, {})), read_json(tmp_path / "results/random-01.json")
    assert there | {"seconds": 0} == here | {"seconds": 0}
