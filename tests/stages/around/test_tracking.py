"""Tracking: everything arrives once, whatever happens to the server, the stage or the sender."""

import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import psutil
import pytest
from PIL import Image

from nasir.files import read_json
from stages.around import serving, tracking
from stages.around.journal import Journal, Pipeline, copies_of
from stages.around.shown import gallery

mlflow = pytest.importorskip("mlflow")

# MLflow and what it stands on warn about themselves; stages never load them.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[3]
PARAMS = {"profile": "demo", "dataset": "sample", "sigma": 50}
PIPELINE = Pipeline(key="host-1-2", started=1_795_000_000_000, params=PARAMS)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    """A database that was made ready once; addresses in it are relative, so that copies of it work."""
    folder = tmp_path_factory.mktemp("database")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASIR_TRACKING", str(folder / "tracking"))
        tracking.prepare(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_database, tmp_path, monkeypatch) -> str:
    """A tracking database of the test's own."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        connections: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in connections:
            connection.close()


def begin(folder: Path, stage: str, steps: int = 3, pipeline: Pipeline = PIPELINE) -> Journal:
    """A journal with a start and `steps` metric events."""
    record = Journal(folder / f"{len(list(folder.glob('*.jsonl')))}-{stage}.jsonl")
    record.start(stage, {"steps": steps, "xi": 0.5}, pipeline)
    for step in range(steps):
        record.metrics(step, {"train_loss": 1.0 / (step + 1)})
    return record


def runs(uri: str) -> dict[str, Any]:
    """All runs, those of stages by the stage, those of pipelines by name; no two may have the same."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("nasir")
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name if is_pipeline(run) else run.data.tags["nasir.stage"]: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def is_pipeline(run: Any) -> bool:
    return run.data.tags["nasir.stage"] == "pipeline"


def history(uri: str, run: Any, metric: str = "train_loss") -> list[tuple[int, float]]:
    """Steps and values of a metric."""
    values = mlflow.MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)
    return sorted((value.step, value.value) for value in values)


def test_a_pipeline_run_is_a_parent_with_a_child_for_each_stage(uri, tmp_path):
    for stage, status in (("search", "FINISHED"), ("derive", "FINISHED")):
        begin(tmp_path / "tracking", stage).finish(status)
    other = Pipeline(key="host-3-4", started=1_795_000_060_000, params=PARAMS | {"sigma": 70})
    begin(tmp_path / "tracking", "evaluate", pipeline=other).finish("FAILED")

    delivery = tracking.sync(tmp_path / "tracking", uri)

    assert (len(delivery.sent), delivery.waiting) == (3, ())
    found = runs(uri)
    parents = {name: run for name, run in found.items() if is_pipeline(run)}
    [first] = [run for name, run in parents.items() if name.startswith("sigma=50 demo sample 2026-11-")]
    [second] = [run for name, run in parents.items() if name.startswith("sigma=70 demo sample 2026-11-")]
    assert first.data.params == {"profile": "demo", "dataset": "sample", "sigma": "50"}
    assert found["evaluate"].info.run_name == "evaluate sigma=70 demo sample"
    assert first.info.start_time == 1_795_000_000_000
    assert (first.info.status, second.info.status) == ("FINISHED", "FAILED")
    for stage, parent in (("search", first), ("derive", first), ("evaluate", second)):
        assert found[stage].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert found[stage].data.params == {"steps": "3", "xi": "0.5"}
        assert history(uri, found[stage]) == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert found["evaluate"].info.status == "FAILED"


def test_a_pipeline_run_has_the_mean_scores_of_its_evaluation_to_compare_by(uri, tmp_path):
    record = begin(tmp_path / "tracking", "evaluate")
    record.metrics(3, {"mean_nasir_whole_psnr_db": 27.5, "nasir_whole_psnr_db": 24.0})
    record.finish("FINISHED")
    begin(tmp_path / "tracking", "report").finish("FINISHED")

    tracking.sync(tmp_path / "tracking", uri)

    [parent] = filter(is_pipeline, runs(uri).values())
    assert parent.data.metrics == {"mean_nasir_whole_psnr_db": 27.5}
    assert history(uri, parent, "mean_nasir_whole_psnr_db") == [(0, 27.5)]


def test_a_pipeline_run_says_what_its_stages_cost_and_with_what_code_and_device(uri, tmp_path):
    for stage, seconds, peak, device in (
        ("search", 60.5, 900.0, "CPU x86_64, 2 threads"),
        ("derive", 2, 300.0, "CPU x86_64"),
    ):
        record = begin(tmp_path / "tracking", stage)
        record.metrics(0, {"seconds": seconds, "peak_memory_mib": peak})
        record.tags({"mlflow.source.git.commit": "abc123", "nasir.device": device})
        record.finish("FINISHED")

    tracking.sync(tmp_path / "tracking", uri)

    found = runs(uri)
    [parent] = filter(is_pipeline, found.values())
    spent = {"seconds": 62.5, "seconds_search": 60.5, "seconds_derive": 2.0, "peak_memory_mib": 900.0}
    assert parent.data.metrics == spent
    assert parent.data.tags["nasir.device"] == "CPU x86_64, 2 threads"
    assert parent.data.tags["mlflow.source.git.commit"] == "abc123"
    assert found["derive"].data.tags["nasir.device"] == "CPU x86_64"


def test_a_picture_lies_where_charts_look_for_it_in_the_runs_of_its_stage_and_pipeline(uri, tmp_path):
    Image.new("L", (128, 64), 90).save(tmp_path / "1 brick restored.png")
    record = begin(tmp_path / "tracking", "evaluate")
    record.picture(tmp_path / "1 brick restored.png", "1 brick restored")
    record.finish("FINISHED")
    tracking.sync(tmp_path / "tracking", uri)
    record.path.with_suffix(".cursor.json").unlink()  # as if the sender had died before it wrote this
    record.copies.joinpath("0").mkdir(parents=True)
    Image.new("L", (128, 64), 90).save(record.copies / "0/1 brick restored.png")
    tracking.sync(tmp_path / "tracking", uri)

    found = runs(uri)
    assert len(found) == 2
    for run in found.values():
        assert run.data.tags["mlflow.loggedImages"] == "True"
        images = tmp_path / "mlartifacts" / run.info.artifact_uri.removeprefix("mlflow-artifacts:/") / "images"
        small, whole = sorted(images.iterdir())  # sent twice, and there once
        # as MlflowClient.log_image names them: key, step, time, identity
        pattern = r"1 brick restored\+step\+0\+timestamp\+\d{13}\+[0-9a-f-]{36}"
        assert re.fullmatch(rf"{pattern}\+compressed\.webp", small.name) and re.fullmatch(
            rf"{pattern}\.png", whole.name
        )
        assert Image.open(small).size == (256, 128) and Image.open(whole).size == (128, 64)


def test_the_client_of_mlflow_names_pictures_alike(uri, tmp_path, monkeypatch):
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("other", artifact_location=str(tmp_path / "other")))
    picture = Image.new("L", (100, 50), 90)
    client.log_image(run.info.run_id, picture, key="1 brick", step=0, timestamp=1_795_000_000_000)
    picture.save(tmp_path / "brick.png")

    with gallery.files(tmp_path / "brick.png", "1 brick", 1_795_000_000_000, "a") as files:
        ours = {plain(path): Image.open(path).size for path in files}

    theirs = (Path(run.info.artifact_uri.removeprefix("file://")) / gallery.FOLDER).iterdir()
    assert ours == {plain(path): Image.open(path).size for path in theirs}


def plain(path: Path) -> str:
    """The name of a file without its identity."""
    return re.sub(r"\+[0-9a-f-]{36}", "", path.name)


def test_artifacts_arrive_beside_the_database_and_their_copies_go(uri, tmp_path):
    picture, figures = tmp_path / "worst.png", tmp_path / "figures"
    picture.write_bytes(b"picture")
    figures.mkdir()
    (figures / "curve.png").write_bytes(b"curve")
    record = begin(tmp_path / "tracking", "report")
    record.artifact(picture, "pictures")
    record.artifact(figures)
    record.finish("FINISHED")
    picture.unlink()

    tracking.sync(tmp_path / "tracking", uri)

    address = runs(uri)["report"].info.artifact_uri
    folder = tmp_path / "mlartifacts" / address.removeprefix("mlflow-artifacts:/")
    assert (folder / "pictures" / "worst.png").read_bytes() == b"picture"
    assert (folder / "figures" / "curve.png").read_bytes() == b"curve"
    assert not copies_of(record.path).exists()


def test_thousands_of_metrics_arrive_once_however_often_they_are_sent(uri, tmp_path):
    record = begin(tmp_path / "tracking", "search", steps=2500)
    record.metrics(2500, {"train_loss": float("nan"), "a (b)": 2.0})  # a name that MLflow does not take
    record.finish("FINISHED")
    first = tracking.sync(tmp_path / "tracking", uri)
    second = tracking.sync(tmp_path / "tracking", uri)
    record.path.with_suffix(".cursor.json").unlink()  # as if the sender had died before it wrote this
    third = tracking.sync(tmp_path / "tracking", uri)

    assert [len(delivery.sent) for delivery in (first, second, third)] == [1, 0, 1]
    found = runs(uri)  # no twins of parent or child
    assert len(found) == 2
    values = history(uri, found["search"])
    assert [step for step, _ in values] == list(range(2501))
    assert values[2499] == (2499, 1 / 2500)
    assert history(uri, found["search"], "a _b_") == [(2500, 2.0)]


def test_a_run_goes_on_where_its_journal_was_cut(uri, tmp_path):
    record = begin(tmp_path / "tracking", "search", steps=2)
    assert tracking.sync(tmp_path / "tracking", uri).waiting == ((record.path, "its stage is still running"),)
    assert {run.info.status for run in runs(uri).values()} == {"RUNNING"}

    record.metrics(2, {"train_loss": 0.25})
    record.finish("FINISHED")
    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 1

    found = runs(uri)
    assert history(uri, found["search"]) == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert {run.info.status for run in found.values()} == {"FINISHED"}


def test_a_finish_that_the_server_did_not_take_is_sent_again(uri, tmp_path, monkeypatch):
    record = begin(tmp_path / "tracking", "search")
    record.finish("FAILED")
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise mlflow.exceptions.MlflowException("gone\nwith more")

        patch.setattr(mlflow.MlflowClient, "set_terminated", refuse)
        delivery = tracking.sync(tmp_path / "tracking", uri)
    assert delivery.waiting == ((record.path, "MlflowException: gone"),)

    tracking.sync(tmp_path / "tracking", uri)

    assert {run.info.status for run in runs(uri).values()} == {"FAILED"}


def test_a_stage_that_was_killed_is_sent_and_marked(uri, tmp_path):
    script = (
        "import os, sys, pathlib\n"
        "from stages.around.journal import Journal, Pipeline\n"
        "record = Journal(pathlib.Path(sys.argv[1]))\n"
        "record.start('retrain', {}, Pipeline(key='k', started=1795000000000, params={}))\n"
        "record.metrics(0, {'train_loss': 1.0})\n"
        'record._file.write(\'{"event": "metr\'); record._file.flush()\n'
        "os.kill(os.getpid(), 9)\n"
    )
    journal = tmp_path / "tracking" / "0-retrain.jsonl"
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script, str(journal)], env=environment, check=False)

    assert tracking.follow(journal, uri)

    found = runs(uri)
    assert history(uri, found["retrain"]) == [(0, 1.0)]
    assert [run.info.status for run in found.values()] == ["KILLED", "KILLED"]
    assert tracking.sync(tmp_path / "tracking", uri).sent == ()


def test_a_journal_that_another_process_sends_is_left_to_it(uri, tmp_path):
    record = begin(tmp_path / "tracking", "search")
    record.finish("FINISHED")
    with record.path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        delivery = tracking.sync(tmp_path / "tracking", uri)
        assert not tracking.follow(record.path, uri)

    assert delivery.waiting == ((record.path, "another process is sending it"),)
    assert "1 waiting" in delivery.summary()
    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 1


def test_a_journal_that_never_got_a_line_is_waited_for_a_minute_and_then_removed(uri, tmp_path):
    empty = Journal(tmp_path / "tracking/0-search.jsonl").path
    assert [path for path, _ in tracking.sync(tmp_path / "tracking", uri).waiting] == [empty]
    os.utime(empty, (time.time() - 100, time.time() - 100))
    assert tracking.sync(tmp_path / "tracking", uri) == tracking.Delivery(sent=(), waiting=())
    assert not empty.exists()


@pytest.mark.parametrize("lines", ['{"event": "start", "stage": "search"}', 'BEGIN\n{"event": "metrics"}'])
def test_a_journal_that_no_stage_wrote_waits_and_those_behind_it_are_sent(uri, tmp_path, lines):
    strange = begin(tmp_path / "tracking", "search").path
    strange.write_text(lines.replace("BEGIN", strange.read_text().splitlines()[0]) + "\n")
    begin(tmp_path / "tracking", "derive").finish("FINISHED")
    delivery = tracking.sync(tmp_path / "tracking", uri)
    assert [path.name for path in delivery.sent] == ["1-derive.jsonl"]
    [(path, reason)] = delivery.waiting
    assert path == strange and "ForeignJournal: no stage writes such a journal (KeyError" in reason


def test_a_server_that_is_down_keeps_the_journals_until_another_sync(uri, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for stage in ("search", "derive"):
        begin(tmp_path / "tracking", stage).finish("FINISHED")
    start = time.monotonic()
    delivery = tracking.sync(tmp_path / "tracking", dead)
    assert time.monotonic() - start < 12

    assert [path.name for path, _ in delivery.waiting] == ["0-search.jsonl", "1-derive.jsonl"]
    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 2
    assert len(history(uri, runs(uri)["derive"])) == 3


def test_a_hanging_server_delays_a_stage_no_longer_than_it_was_told(uri, hanging_server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hanging_server)
    start = time.monotonic()
    record = begin(tmp_path / "tracking", "search", steps=0)
    follower = tracking.start_follower(record.path)
    assert follower is not None
    for step in range(2000):
        record.metrics(step, {"train_loss": 1.0})
    record.finish("FINISHED")
    is_sent = tracking.wait_for(follower, 2.0)
    elapsed = time.monotonic() - start

    os.killpg(follower.pid, signal.SIGKILL)
    os.waitpid(follower.pid, 0)
    assert not is_sent
    assert elapsed < 3.0
    assert "`python -m stages sync` sends" in capsys.readouterr().err
    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 1
    assert len(history(uri, runs(uri)["search"])) == 2000


def test_of_many_followers_those_beyond_the_places_leave_their_journals_to_sync(uri, tmp_path, capsys):
    record = begin(tmp_path / "tracking", "search")
    record.finish("FINISHED")
    with ExitStack() as held:
        for _ in range(tracking.SENDERS):
            assert held.enter_context(tracking._seat(tmp_path / "tracking"))
        assert not tracking.follow(record.path, uri)
        assert f"not sent, {tracking.SENDERS} processes are sending others" in capsys.readouterr().err
    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 1
    assert tracking.follow(record.path, uri)  # a place is free again


def test_a_follower_gives_up_some_time_after_its_stage_has_ended(uri, hanging_server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0.1)
    record = begin(tmp_path / "tracking", "search")
    record.finish("FINISHED")

    assert not tracking.follow(record.path, hanging_server)

    assert capsys.readouterr().err.count("not sent") == tracking.LAST_TRIES


def test_a_follower_sends_while_the_stage_runs_and_what_it_left_when_killed_is_sent_later(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    record = begin(tmp_path / "tracking", "search", steps=5)
    cursor = record.path.with_suffix(".cursor.json")
    follower = tracking.start_follower(record.path)
    assert follower is not None
    deadline = time.monotonic() + 30
    while not (cursor.exists() and read_json(cursor)["offset"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_json(cursor)["offset"] > 0
    follower.kill()
    follower.wait()
    record.metrics(5, {"train_loss": 0.125})
    record.finish("FINISHED")

    assert len(tracking.sync(tmp_path / "tracking", uri).sent) == 1

    found = runs(uri)
    assert history(uri, found["search"]) == [*((step, 1 / (step + 1)) for step in range(5)), (5, 0.125)]
    assert found["search"].info.status == "FINISHED"


def test_a_follower_ends_soon_after_its_stage(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    record = begin(tmp_path / "tracking", "search")
    follower = tracking.start_follower(record.path)
    record.finish("FINISHED")

    assert tracking.wait_for(follower, 600.0)
    assert read_json(record.path.with_suffix(".cursor.json"))["size"] == record.path.stat().st_size
    assert runs(uri)["search"].info.status == "FINISHED"


def test_where_mlflow_is_not_installed_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)

    follower = tracking.start_follower(tmp_path / "a.jsonl")

    assert follower is None
    assert tracking.wait_for(follower, 5.0)


def test_where_no_process_can_be_started_the_stage_goes_on(tmp_path, monkeypatch, capsys):
    def popen(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.delenv("NASIR_SEND", raising=False)
    monkeypatch.setattr(tracking.subprocess, "Popen", popen)
    assert tracking.start_follower(tmp_path / "a.jsonl") is None
    assert "temporarily unavailable; the events are kept, and `python -m stages sync` sends" in capsys.readouterr().err


def test_tracking_goes_to_the_checkout_unless_the_environment_says_otherwise(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "NASIR_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    # DVC runs `exp run --temp` in a copy that it deletes afterwards.
    monkeypatch.setattr(
        tracking, "__file__", str(tmp_path / ".dvc/tmp/exps/standalone/tmpab/stages/around/tracking.py")
    )

    assert tracking.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking.folder() == tmp_path / "runs" / "tracking"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    monkeypatch.setenv("NASIR_TRACKING", "/elsewhere")
    assert tracking.tracking_uri() == "http://server:5000"
    assert tracking.folder() == Path("/elsewhere")


def test_a_user_interface_on_a_port_in_use_is_refused(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ValueError, match="must be free for the MLflow UI"),
    ):
        serving.serve(listener.getsockname()[1])


def test_a_user_interface_opens_on_the_runs_of_pipelines_and_tells_nobody(uri, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    environments = []

    def popen(command, cwd, env, start_new_session):
        environments.append(env)
        return subprocess.Popen([sys.executable, "-c", ""], start_new_session=start_new_session)

    monkeypatch.setattr(serving, "subprocess", SimpleNamespace(Popen=popen))
    monkeypatch.setattr(serving.signal, "signal", lambda number, does: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    shown = []
    assert serving.serve(port, lambda *given: shown.append(given)) == 0

    [address] = re.findall("^MLflow: (.*)$", capsys.readouterr().out, re.M)
    experiment = mlflow.MlflowClient(tracking_uri=uri).get_experiment_by_name("nasir")
    assert address.startswith(f"http://127.0.0.1:{port}/#/experiments/{experiment.experiment_id}/runs?")
    assert parse_qs(address.partition("?")[2])["searchFilter"] == ["tags.`nasir.stage` = 'pipeline'"]
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert environments[0]["MLFLOW_DISABLE_TELEMETRY"] == environments[0]["DO_NOT_TRACK"] == "true"
    assert shown[-1] == (address, port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_user_interface_that_is_asked_to_end_leaves_no_server(tmp_path, number):
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\nsleep 60 &\necho up $! $$\nwait\n")
    server.chmod(0o755)
    code = (
        "import sys; from types import SimpleNamespace; from stages.around import serving\n"
        "serving.Server.connect = lambda *given: SimpleNamespace(experiment_id='1')\n"
        f"sys.executable = {str(server)!r}\n"
        "sys.exit(serving.serve(0))"
    )
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "NASIR_TRACKING": str(tmp_path),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, **pipes, text=True) as ui:
        pids = next(line.split()[1:] for line in ui.stdout if line.startswith("up "))
        ui.send_signal(number)
        assert (ui.wait(timeout=30), ui.stderr.read()) == (0, "")
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).wait(10)  # raises where it lives on


@pytest.mark.parametrize("is_made", [True, False])
def test_a_user_interface_tells_both_addresses(tmp_path, monkeypatch, capsys, is_made):
    monkeypatch.setattr(tracking, "checkout", lambda: tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")  # a server of its own: nothing is started
    if is_made:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports/index.html").write_text("page")

    shown = []
    assert serving.serve(1, lambda *given: shown.append(given)) == 0

    page = f"file://{tmp_path}/reports/index.html" if is_made else "none yet; dvc repro makes reports/index.html"
    assert capsys.readouterr().out.splitlines() == [f"Report: {page}", "MLflow: http://server:5000"]
    assert shown == [(page, None)] * is_made + [("http://server:5000", None)]


def test_importing_the_module_does_not_load_mlflow():
    code = "import sys, stages.around.tracking, stages.around.journal; sys.exit('mlflow' in sys.modules)"
    root = Path(tracking.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
