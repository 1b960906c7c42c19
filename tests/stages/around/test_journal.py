"""The journal: whole lines, in order, readable while it is written and after its process was killed."""

import errno
import io
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.around import journal
from stages.around.journal import Journal, Pipeline, find_pipeline, is_alive, new_path, read_events

PIPELINE = Pipeline(key="host-1-2", started=1_700_000_000_000, params={"sigma": 50})


def test_events_come_back_in_order_with_their_times(tmp_path):
    before = time.time_ns() // 1_000_000
    record = Journal(tmp_path / "deep" / "a.jsonl")
    record.start("search", {"search.steps": 10, "search.xi": 0.5, "search.widths": (1, 2)}, PIPELINE)
    record.metrics(3, {"train_loss": 0.25, "psnr_db": float("inf"), "ssim": float("nan")})
    record.finish("FINISHED")
    after = time.time_ns() // 1_000_000

    events, end = read_events(record.path, 0, 1000)

    assert [event["event"] for event in events] == ["start", "metrics", "finish"]
    assert all(before <= event["time"] <= after for event in events)
    start, metrics, finish = events
    assert start["params"] == {"search.steps": 10, "search.xi": "0.5", "search.widths": "(1, 2)"}
    assert start["pipeline"] == {"key": "host-1-2", "started": 1_700_000_000_000, "params": {"sigma": "50"}}
    assert (start["host"], start["pid"]) == (socket.gethostname(), os.getpid())
    assert metrics["step"] == 3
    assert [float(value) for value in metrics["values"].values()][:2] == [0.25, float("inf")]
    assert finish["status"] == "FINISHED"
    assert end == record.path.stat().st_size


def test_events_are_on_disk_before_the_journal_is_closed(tmp_path):
    record = Journal(tmp_path / "a.jsonl")
    record.metrics(1, {"loss": 1.0})

    assert json.loads((tmp_path / "a.jsonl").read_text())["values"] == {"loss": 1.0}
    record.finish("FAILED")


def test_a_torn_last_line_is_left_until_it_is_whole_and_a_damaged_one_is_said(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"event": "metrics"}\n\x00\x00\n{"event": "fin')

    events, end = read_events(path, 0, 1000)
    assert [event["event"] for event in events] == ["metrics"]
    assert end == 24  # 21 bytes and 3 bytes
    assert "damaged line" in capsys.readouterr().err

    with path.open("ab") as file:
        file.write(b'ish"}\n')
    assert read_events(path, end, 1000) == ([{"event": "finish"}], path.stat().st_size)


def test_a_limit_of_lines_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"event": "metrics"}\n' * 5)

    events, end = read_events(path, 21, 3)
    assert (len(events), end) == (3, 84)


def test_ten_thousand_metric_events_cost_less_than_two_seconds(tmp_path):
    record = Journal(tmp_path / "a.jsonl")
    start = time.perf_counter()
    for step in range(10_000):
        record.metrics(step, {"train_loss": 0.1, "learning_rate": 0.01})
    assert time.perf_counter() - start < 2.0
    record.finish("FINISHED")


def test_artifacts_are_kept_as_they_were(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"first")
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    record = Journal(tmp_path / "runs" / "a.jsonl")
    record.artifact(picture, "pictures")
    record.artifact(folder)
    picture.write_bytes(b"second")
    record.artifact(picture, "pictures")
    record.finish("FINISHED")

    events, _ = read_events(record.path, 0, 1000)
    copies = [record.copies / event["path"] for event in events[:3]]
    assert [event["folder"] for event in events[:3]] == ["pictures", "", "pictures"]
    assert copies[0].read_bytes() == b"first"
    assert (copies[1] / "a.txt").read_text() == "a"
    assert copies[2].read_bytes() == b"second"


def test_a_missing_artifact_and_an_unknown_status_are_refused(tmp_path):
    record = Journal(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="does not exist"):
        record.artifact(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="FINISHED, FAILED, KILLED, got 'DONE'"):
        record.finish("DONE")
    record.finish("FAILED")


def test_a_full_disk_is_an_error_that_says_where(tmp_path, monkeypatch):
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    record = Journal(tmp_path / "a.jsonl")
    record._file.close()
    monkeypatch.setattr(record, "_file", Full())
    with pytest.raises(OSError, match="No space left") as caught:
        record.metrics(1, {"train_loss": 0.5})
    assert caught.value.filename == str(tmp_path / "a.jsonl")


def test_a_journal_is_never_continued_by_another_process(tmp_path):
    Journal(tmp_path / "a.jsonl").finish("FINISHED")

    with pytest.raises(FileExistsError, match=r"a\.jsonl"):
        Journal(tmp_path / "a.jsonl")


def test_names_of_journals_sort_by_time(tmp_path):
    names = [new_path(tmp_path, stage).name for stage in ("split", "search", "derive")]

    assert names == sorted(names)
    assert names[0].endswith("-split.jsonl")


def test_processes_that_start_a_stage_in_the_same_microsecond_have_journals_of_their_own(tmp_path, monkeypatch):
    moment = datetime(2026, 11, 28, 12, 30, 0, 5, UTC)
    monkeypatch.setattr(journal, "datetime", SimpleNamespace(now=lambda zone: moment))
    names = []
    for pid in (11, 12):
        monkeypatch.setattr(journal.os, "getpid", lambda pid=pid: pid)
        names.append(new_path(tmp_path, "split").name)
    assert names == ["20261128T123000.000005Z-11-split.jsonl", "20261128T123000.000005Z-12-split.jsonl"]


def test_stages_of_one_dvc_process_belong_to_one_pipeline_run(tmp_path, monkeypatch):
    # A program called dvc starts a shell for each stage, which starts the stage's process, as DVC does.
    pytest.importorskip("psutil")
    monkeypatch.delenv("NASIR_PIPELINE", raising=False)
    stage = "from stages.around.journal import find_pipeline; print(find_pipeline({}).key)"
    (tmp_path / "stage.py").write_text(stage)
    (tmp_path / "dvc").write_text(
        "import os, subprocess, sys\n"
        "print(os.getpid())\n"
        "sys.stdout.flush()\n"
        f"for _ in range(2): subprocess.run('{sys.executable} {tmp_path}/stage.py; true', shell=True, check=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(journal.__file__).parents[2])}

    def repro() -> list[str]:
        command = [sys.executable, "-u", str(tmp_path / "dvc"), "repro"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    pid, first, second = repro()
    assert first == second
    assert f"-{pid}-" in first
    assert repro()[1] != first


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/venv/bin/python3.11", "/venv/bin/dvc", "repro"], True),
        (["python", "-m", "dvc", "exp", "exec-run"], True),
        (["/usr/bin/dvc", "repro"], True),
        (["/bin/sh", "-c", "dvc repro"], False),
        (["python", "-m", "stages", "search"], False),
        (["make", "dvc"], False),
        ([], False),
    ],
)
def test_dvc_is_known_by_its_command_line(command, expected):
    assert journal._is_dvc(command) is expected


def test_without_dvc_a_stage_is_a_pipeline_run_of_its_own(monkeypatch):
    monkeypatch.delenv("NASIR_PIPELINE", raising=False)
    monkeypatch.setattr(journal, "dvc_ancestor", lambda: None)

    pipeline = find_pipeline({"sigma": 50})

    assert f"-{os.getpid()}-" in pipeline.key
    assert abs(pipeline.started / 1000 - time.time()) < 3600
    assert pipeline.params == {"sigma": 50}


def test_without_psutil_a_stage_still_has_a_pipeline_run(monkeypatch):
    monkeypatch.delenv("NASIR_PIPELINE", raising=False)
    monkeypatch.setitem(sys.modules, "psutil", None)

    assert f"-{os.getpid()}-" in find_pipeline({}).key
    assert is_alive(socket.gethostname(), os.getpid(), None, 0.0)


def test_the_environment_names_the_pipeline_run(monkeypatch):
    monkeypatch.setenv("NASIR_PIPELINE", "table-3")
    assert find_pipeline({}).key == "table-3"

    monkeypatch.setenv("NASIR_PIPELINE", "a' or 'b")
    with pytest.raises(ValueError, match="NASIR_PIPELINE must be"):
        find_pipeline({})


def test_a_process_is_alive_until_it_ends_and_its_id_alone_does_not_count():
    psutil = pytest.importorskip("psutil")
    host = socket.gethostname()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    created = psutil.Process(child.pid).create_time()

    assert is_alive(host, child.pid, created, 0.0)
    assert not is_alive(host, child.pid, created - 100.0, 0.0)  # another process had this id before
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_alive(host, child.pid, created, 0.0)  # ended, though nobody has waited for it
    child.communicate()
    assert not is_alive(host, child.pid, created, 0.0)


def test_a_journal_of_another_machine_counts_as_left_after_an_hour():
    assert is_alive("elsewhere", 1, None, time.time() - 3000)
    assert not is_alive("elsewhere", 1, None, time.time() - 4000)
