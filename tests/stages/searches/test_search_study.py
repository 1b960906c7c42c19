"""The study as a whole: what is missing is run in an order that works, and the page is written from what is there."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import little_run
import psutil
import pytest
from typer.testing import CliRunner

from nasir.files import write_json, write_text
from stages import __main__ as commands
from stages.searches import jobs, study
from stages.searches.plan import Job, Plan
from tests.stages.searches.little_study import ROOT, bring, read, write

NAMES = [
    "random-00", "random-01", "random-02",
    "search-one-shot-fair-0", "found-one-shot-fair-0", "search-darts-0", "found-darts-0",
    "search-one-shot-fair-1", "found-one-shot-fair-1", "search-darts-1", "found-darts-1",
]  # fmt: skip


class Pool:
    """Workers in this process: a job is done when it is submitted, and seen as done at the next look."""

    def __init__(self, workers: int, context: Any, **options: Any) -> None:
        self.options = options | {"workers": workers, "start": context.get_start_method()}
        POOLS.append(self)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, function: Callable[..., None], *given: Any) -> Future[None]:
        future: Future[None] = Future()
        try:
            future.set_result(function(*given))
        except Exception as error:
            future.set_exception(error)
        return future


POOLS: list[Pool] = []


@pytest.fixture
def done(monkeypatch, tmp_path) -> list[str]:
    """The jobs that were done, in their order; each leaves an invented result, with nothing run."""
    names: list[str] = []

    def work(plan: Plan, job: Job, data: Path, results: Path, checkpoint: Path) -> None:
        assert data == tmp_path / "work/sample" and (data / "made_with.json").is_file()
        assert checkpoint == tmp_path / f"work/checkpoints/results-{job.name}.pt"
        needed = job.name.replace("found-", "search-", 1)
        assert (results / f"{needed}.json").is_file() or needed == job.name
        names.append(job.name)
        genotype = plan.settings(None).space.to_json(
            plan.settings(None).space.from_tokens(plan.settings(None).of_space, jobs.randoms(plan)[0])
        )
        trained = {
            "genotype": genotype,
            "tokens": [],
            "sizes": {"width": 4},
            "parameters": 1500,
            "flops_per_pixel": 9,
            "steps": 5,
        }
        trained |= {"seconds": 0.5, "v_psnr_db": 21.0, "psnr_db": {"a": 20.0 + len(names), "b": 21.0 + len(names)}}
        searched = {"genotype": genotype, "seconds": 60.0, "peak_memory_mib": 100.0, "ranking": [1.0, 2.0, 3.0]}
        result = trained if job.is_training else searched
        write_json(results / f"{job.name}.json", result | {"made_with": plan.made_with(job)})

    POOLS.clear()
    monkeypatch.setattr(jobs, "work", work)
    monkeypatch.setattr(study, "ProcessPoolExecutor", Pool)
    bring(tmp_path)
    return names


@pytest.fixture
def _blank(monkeypatch):
    """No page but an empty one."""
    monkeypatch.setattr(study.pages, "write", lambda page, *given: write_text(page, "\n"))


def run(folder: Path, workers: int = 1, hours: float = 0, **changes: Any) -> str:
    study.run(
        plan=write(folder / "plan.yaml", **changes), profiles=ROOT / "profiles", shipped=ROOT / "data",
        known=ROOT / "known.csv", work=folder / "work", results=folder / "results", page=folder / "reports/search.md",
        workers=workers, hours=hours,
    )  # fmt: skip
    return (folder / "reports/search.md").read_text()


def test_all_jobs_are_done_one_after_the_other_and_the_page_has_them(tmp_path, done, capsys):
    page = run(tmp_path)
    assert done == NAMES
    assert "Unfinished" not in page and "## Can a search tell good networks" in page
    shown = capsys.readouterr()
    assert shown.out == f"11 of 11 jobs of the study are done; the page: {tmp_path / 'reports/search.md'}\n"
    assert [line.partition(":")[0] for line in shown.err.splitlines()] == NAMES
    assert shown.err.splitlines()[0] == "random-00: done, 10 to go" and "done, 0 to go" in shown.err.splitlines()[-1]
    assert POOLS[0].options["workers"] == 1 and POOLS[0].options["start"] == "spawn"
    assert POOLS[0].options["max_tasks_per_child"] == 1


def test_of_several_workers_none_trains_what_is_not_found_yet(tmp_path, done, _blank):
    run(tmp_path, workers=4)
    # the fourth is a search: its training waits, and what stands behind it goes first
    assert done[:4] == NAMES[:4]
    assert sorted(done) == sorted(NAMES)


def test_a_process_that_was_ended_from_outside_is_one_line_that_says_what_to_do(tmp_path, done, monkeypatch, _blank):
    def end(*given: Any) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(jobs, "work", end)
    with pytest.raises(
        ConnectionError, match=r"random-00 must end by itself, got .* --workers 1\?\); call again to carry on"
    ):
        run(tmp_path)


def test_a_training_is_ready_when_its_search_neither_waits_nor_runs(tmp_path):
    by_name = {job.name: job for job in read(tmp_path).jobs()}
    found, search, other = (by_name[name] for name in ("found-darts-0", "search-darts-0", "search-darts-1"))
    assert not study._is_ready(found, [search, found], [])
    assert not study._is_ready(found, [found], [search])
    assert study._is_ready(found, [found, other], [other])
    assert study._is_ready(search, [search, found], [found])
    assert study._is_ready(by_name["random-00"], [search], [search])


def test_what_is_there_is_not_done_again(tmp_path, done, _blank):
    run(tmp_path)
    done.clear()
    run(tmp_path)
    assert done == [] and len(POOLS) == 1

    (tmp_path / "results/found-darts-1.json").unlink()
    run(tmp_path)
    assert done == ["found-darts-1"]


def test_what_was_made_with_another_plan_is_done_again(tmp_path, done, _blank):
    run(tmp_path)
    done.clear()
    run(tmp_path, changes_of={"one_shot": ["strategy.candidates=2", "strategy.population=2", "strategy.tournament=1"],
                              "darts": ["strategy.keep_from=2", "search.patch=14"]})  # fmt: skip
    assert done == [name for name in NAMES if "one-shot" in name]


def test_no_job_is_begun_after_the_hours_and_the_page_says_what_is_wanting(tmp_path, done, monkeypatch):
    times = iter([0.0, 0.0, 3599.0, 3601.0, 3602.0, 3603.0])  # the start, then before each job
    monkeypatch.setattr(study.time, "monotonic", lambda: next(times))
    page = run(tmp_path, hours=1)
    assert done == NAMES[:2]
    assert "**Unfinished: 2 of 11 jobs are done.** `make study PLAN=plan` goes on." in page


def test_a_failure_ends_the_study_with_its_error_and_what_was_done_is_kept(tmp_path, done, monkeypatch, _blank):
    work = jobs.work

    def fail(plan: Plan, job: Job, data: Path, results: Path, checkpoint: Path) -> None:
        if job.name == "random-01":
            raise FloatingPointError("the loss must be finite")
        work(plan, job, data, results, checkpoint)

    monkeypatch.setattr(jobs, "work", fail)
    with pytest.raises(FloatingPointError, match="the loss must be finite"):
        run(tmp_path)
    monkeypatch.setattr(jobs, "work", work)
    run(tmp_path)
    assert done == NAMES  # the first one once


def test_the_pictures_are_made_once(tmp_path, done, monkeypatch, _blank):
    made = []
    stage = study.import_module("stages.tables.data")
    monkeypatch.setattr(stage, "run", lambda **given: made.append(given))
    run(tmp_path)
    assert made == []
    (tmp_path / "work/sample/made_with.json").unlink()
    run(tmp_path, seconds=2)
    run(tmp_path, seconds=3)
    [given] = made
    assert given["images"] == tmp_path / "work/sample-images" and given["out"] == tmp_path / "work/sample"
    assert given["settings"].params.dataset == "sample"


def test_the_command_takes_the_folders_and_limits(tmp_path, done, _blank):
    words = {
        "plan": write(tmp_path / "plan.yaml"), "profiles": ROOT / "profiles", "work": tmp_path / "work",
        "results": tmp_path / "results", "page": tmp_path / "page.md", "workers": 2,
    }  # fmt: skip
    shown = CliRunner().invoke(
        commands.build("searches"),
        ["searches", *(word for key, value in words.items() for word in (f"--{key}", str(value)))],
    )
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "page.md").is_file() and sorted(done) == sorted(NAMES)
    assert POOLS[0].options["workers"] == 2


def test_a_worker_ends_soon_after_its_study_was_killed(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import os, time\nfrom stages.searches import study\n\n"
        "def job():\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n\n"
        "if __name__ == '__main__':\n"
        "    with study._near(None, None, None, 1) as near:\n        near._pool.submit(job).result()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True) as driver:
        worker = psutil.Process(int(driver.stdout.readline()))
        assert worker.nice() == study.NICE
        driver.kill()
    with suppress(psutil.NoSuchProcess):
        worker.wait(30)  # raises where it lives on


@pytest.mark.slow
def test_jobs_run_in_processes_of_their_own(tmp_path):
    little_run.write_pictures(tmp_path / "work/sample", tests=5)
    bring(tmp_path)
    page = run(tmp_path, workers=2)
    assert "Unfinished" not in page and "## Strategies" in page
