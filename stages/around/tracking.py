"""Journals go to MLflow: the only module that imports it, and never in the process of a stage.

A stage appends to its journal. A second process, `python -m stages sync --follow JOURNAL`, reads along and sends; a
server that is down or hangs can delay only that process.

Nothing is sent twice: runs are found again by their tags, and a metric with the same key, time, step and value is one
row in MLflow. A run whose making was not answered may be made twice: the one that nothing was sent to is deleted, and
a journal is not done before such a run would have come.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from nasir.deadline import within
from stages.around.cursor import (
    Cursor,
    Event,
    finish_event,
    has_ended,
    is_abandoned,
    is_complete,
    is_running,
    locked,
    read_cursor,
    start_event,
    write_cursor,
)
from stages.around.journal import copies_of, read_events
from stages.around.shown import gallery, names, totals

EXPERIMENT = "nasir"
BATCH = 1000  # metrics in one request; MLflow takes no more
PIPELINE = "pipeline"  # the tag `nasir.stage` of a pipeline's own run
KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens its runs, and not the pages on prompts and traces
PIPELINES = f"tags.`nasir.stage` = '{PIPELINE}'"  # the filter that `ui` begins with
SEND_SECONDS = 2.0  # between two requests of a follower
POLL_SECONDS = 0.25  # between two looks whether the stage has ended
LINES = 1000  # of a journal between two cursors
SENDERS = (
    8  # followers of one folder at a time; each takes some 150 MB, and hundreds of short stages would fill a machine
)
SENT = "sent"
LAST_TRIES = 3  # of a follower, once its stage has ended
PATIENCE = 10  # for a call, times MLflow's limit for a read, which a server that answers byte by byte never passes
LATE = 3  # times that limit, behind which a server makes no run any more whose asker has gone
BYTES = 100_000  # of an artifact in a second, at least


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a sync did: journals sent to their end, journals that wait, and why."""

    sent: tuple[Path, ...]
    waiting: tuple[tuple[Path, str], ...]

    def summary(self) -> str:
        """A line for what was sent and one for each journal that waits."""
        lines = [f"{len(self.sent)} sent, {len(self.waiting)} waiting"]
        return "\n".join(lines + [f"{journal}: {reason}" for journal, reason in self.waiting])


# What a stage calls: no MLflow in here.


def checkout() -> Path:
    """The checkout that outlives the run: DVC's temporary workspaces lie in `.dvc/tmp/exps` of the real one."""
    here = Path(__file__).resolve().parents[2]
    for parent in here.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2]
    return here


def folder() -> Path:
    """Where journals are kept: NASIR_TRACKING, else `runs/tracking` in the checkout."""
    return Path(os.environ.get("NASIR_TRACKING") or checkout() / "runs" / "tracking").absolute()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else the database `mlflow.db` in the checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{checkout() / 'mlflow.db'}"


def start_follower(journal: Path) -> subprocess.Popen[bytes] | None:
    """Start the process that sends a journal while it is written; None where MLflow is not installed.

    None, too, where NASIR_SEND is `later`: then all journals are sent at once by `sync`, which starts MLflow once and not for
    each of many short stages.

    It has its own session, so that it outlives the stage and an interrupt of it, and writes to `sync.log`. Where the machine
    takes no more processes, one line says so, and `sync` sends the journal.
    """
    if os.environ.get("NASIR_SEND") == "later" or importlib.util.find_spec("mlflow") is None:
        return None
    journal = journal.resolve()
    command = [sys.executable, "-m", "stages", "sync", "--follow", str(journal)]
    try:
        with (journal.parent / "sync.log").open("ab") as log:
            follower = subprocess.Popen(
                command, cwd=checkout(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        os.setpriority(os.PRIO_PROCESS, follower.pid, 10)  # the stage goes first
    except OSError as error:
        print(
            f"tracking: {_first_line(error)}; the events are kept, and `python -m stages sync` sends them",
            file=sys.stderr,
        )
        return None
    return follower


def wait_for(follower: subprocess.Popen[bytes] | None, seconds: float) -> bool:
    """Wait for a follower to end, at most `seconds`; one line says how it stands if not all is sent by then."""
    if follower is None:
        return True
    try:
        is_sent = follower.wait(timeout=seconds) == 0
        state = "not all was sent"
    except subprocess.TimeoutExpired:
        is_sent = False
        state = "sending goes on in the background"
        follower.returncode = 0  # it goes on without us: no warning about a child that still runs
    if not is_sent:
        print(
            f"tracking: {state}; the events are kept in {folder()}, and `python -m stages sync` sends what is missing",
            file=sys.stderr,
        )
    return is_sent


# What the sending process calls.


def follow(journal: Path, uri: str | None = None) -> bool:
    """Send a journal while it is written, until its end is sent or its stage has died.

    While the stage runs, a failed attempt is repeated for as long as it takes, less and less often; once it has ended,
    `LAST_TRIES` times.

    Returns:
        Whether all was sent. False too if another process is sending the same journal, or `SENDERS` are sending others: then its
        events wait for `sync`.
    """
    uri = uri or tracking_uri()
    with _seat(journal.parent) as is_free, locked(journal.with_suffix(".lock"), wait=False) as is_ours:
        if not is_free:
            print(f"{journal.name}: not sent, {SENDERS} processes are sending others", file=sys.stderr, flush=True)
        if not is_free or not is_ours:
            return False
        errors = _server_errors()
        server = None
        failures, last_failures = 0, 0
        while last_failures < LAST_TRIES:
            is_over = has_ended(journal)
            try:
                server = server or _Server.connect(uri, journal.parent)
                if _send(journal, server):
                    return True
                failures = 0
            except errors as error:
                print(f"{journal.name}: not sent, {_first_line(error)}", file=sys.stderr, flush=True)
                failures += 1
                last_failures += is_over
            pause = min(SEND_SECONDS * 2**failures, 4.0 if is_over else 60.0)
            deadline = time.monotonic() + pause
            while time.monotonic() < deadline and (is_over or not has_ended(journal)):
                time.sleep(POLL_SECONDS)
    return False


@contextmanager
def _seat(journals: Path) -> Iterator[bool]:
    """Hold one of a folder's places for followers; gives whether one was free."""
    paths = [journals / f"sender-{number}.lock" for number in range(SENDERS)]
    for path in paths:
        path.touch()
    with ExitStack() as held:
        yield any(held.enter_context(locked(path, wait=False)) for path in paths)


def sync(journals: Path, uri: str | None = None) -> Delivery:
    """Send every journal in a folder that was not completely sent, those of killed stages too.

    Journals that another process is sending are left to it. When the server cannot be reached all journals wait, and all that
    are left when it dies half way.
    """
    uri = uri or tracking_uri()
    sent: list[Path] = []
    waiting: list[tuple[Path, str]] = []
    unsent = [path for path in sorted(journals.glob("*.jsonl")) if not is_complete(path)]
    if not unsent:
        return Delivery(sent=(), waiting=())
    errors = _server_errors()
    try:
        server = _Server.connect(uri, journals)
    except errors as error:
        return Delivery(sent=(), waiting=tuple((path, _first_line(error)) for path in unsent))
    fault = ""
    for path in unsent:
        reason = fault or _send_now(path, server)
        if reason == SENT:
            sent.append(path)
        elif reason:
            waiting.append((path, reason))
            fault = fault or server.fault()
    return Delivery(sent=tuple(sent), waiting=tuple(waiting))


def _send_now(journal: Path, server: "_Server") -> str:
    """Send a journal that no other process is sending: SENT, why it waits, or "" where there is nothing to send."""
    with locked(journal.with_suffix(".lock"), wait=False) as is_ours:
        if not is_ours:
            return "another process is sending it"
        if is_complete(journal):  # sent by another process in the meantime
            return ""
        if is_abandoned(journal):
            journal.unlink()
            return ""
        try:
            return SENT if _send(journal, server) else "its stage is still running"
        except _server_errors() as error:
            return _first_line(error)


def prepare(uri: str | None = None) -> str:
    """Create the database (3 to 10 s the first time) and the experiment; returns the tracking URI."""
    uri = uri or tracking_uri()
    folder().mkdir(parents=True, exist_ok=True)
    _Server.connect(uri, folder())
    return uri


def ui(port: int, show: Callable[[str, int | None], None] | None = None) -> int:
    """Print the addresses of the report's page and of MLflow's, and serve the latter on loopback until interrupted.

    Args:
        port: to serve on.
        show: called with each address, and with the port where it does not answer yet.

    Returns:
        The exit status.
    """
    page, uri = checkout() / "reports" / "index.html", tracking_uri()
    print(f"Report: {page.as_uri()}" if page.is_file() else "Report: none yet; dvc repro makes reports/index.html")
    if show is not None and page.is_file():
        show(page.as_uri(), None)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow: {uri}")
        if show is not None:
            show(uri, None)
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"port {port} must be free for the MLflow UI, but it is in use; name another.") from error
    folder().mkdir(parents=True, exist_ok=True)
    experiment = _Server.connect(uri, folder()).experiment_id
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri]
    artifacts = _artifact_folder(uri)
    if artifacts is not None:
        command += ["--artifacts-destination", str(artifacts)]
    query = urlencode({"workflowType": "machine_learning", "searchFilter": PIPELINES}, quote_via=quote)
    address = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?{query}"
    print(f"MLflow: {address}")
    print("It answers after some 20 seconds; Ctrl-C ends it.", flush=True)
    quiet = {name: "true" for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
    environment = os.environ | quiet | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    servers: list[subprocess.Popen[bytes]] = []
    asked = threading.Event()

    def end(*_: object) -> None:
        """End the server's session whole: asked alone, it would leave its own children behind."""
        asked.set()
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    servers.append(subprocess.Popen(command, cwd=checkout(), env=environment, start_new_session=True))
    if asked.is_set():  # before there was a server
        end()
    elif show is not None:
        show(address, port)
    status = servers[0].wait()
    return 0 if asked.is_set() else status


# How it is sent.


@dataclass(frozen=True, kw_only=True)
class _Server:
    """A tracking server that answered, and our experiment there."""

    uri: str
    client: Any  # mlflow.MlflowClient
    experiment_id: str
    folder: Path  # of the journals and locks

    @classmethod
    def connect(cls, uri: str, folder: Path) -> "_Server":
        """Reach the server and find the experiment, or create it.

        With a sqlite database the artifacts are addressed as `mlflow-artifacts:/`, which MLflow's own server resolves
        to a folder beside the database: absolute paths would break when the checkout is moved.
        """
        with _quiet_mlflow() as mlflow, locked(folder / "server.lock", wait=True):
            client = mlflow.MlflowClient(tracking_uri=uri)
            if uri.startswith("http"):
                client = _Bounded(client)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                location = f"mlflow-artifacts:/{EXPERIMENT}" if _artifact_folder(uri) is not None else None
                try:
                    identity = client.create_experiment(EXPERIMENT, artifact_location=location, tags=KIND)
                except mlflow.exceptions.MlflowException:
                    experiment = client.get_experiment_by_name(EXPERIMENT)  # somebody was faster
                    if experiment is None:
                        raise
                    identity = experiment.experiment_id
            else:
                identity = experiment.experiment_id
        return cls(uri=uri, client=client, experiment_id=identity, folder=folder)

    def fault(self) -> str:
        """Why it answers no more, or "": a journal may wait for reasons of its own."""
        try:
            self.client.get_experiment(self.experiment_id)
        except _server_errors() as error:
            return _first_line(error)
        return ""

    def settle(self, asked: float) -> None:
        """Wait until a run that was asked for at that time is made or never will be; 0: none was."""
        if self.uri.startswith("http"):
            time.sleep(min(max(0.0, asked + LATE * _limit() - time.time()), LATE * _limit()))

    def find_or_create(self, tag: str, value: str, name: str, started: int, tags: Mapping[str, str]) -> Any:
        """The one run with this tag."""
        found = self.find(tag, value)
        if found is not None:
            return found
        return self.client.create_run(self.experiment_id, start_time=started, run_name=name, tags={**tags, tag: value})

    def find(self, tag: str, value: str) -> Any | None:
        """The one run with this tag, or None.

        A run is made again where the answer was lost or came too late: of several the one that something was sent to stays, and
        those without params and metrics are deleted.
        """
        found = self.client.search_runs([self.experiment_id], filter_string=f"tags.`{tag}` = '{value}'")
        found = sorted(found, key=lambda run: (not _has_data(run), run.info.run_id))
        for twin in found[1:]:
            if not _has_data(twin):
                self.client.delete_run(twin.info.run_id)
        return found[0] if found else None

    def set_params(self, run: Any, params: Mapping[str, Any]) -> None:
        """Log those parameters that the run does not have yet."""
        from mlflow.entities import Param

        new = [Param(_name(key), str(value)[:6000]) for key, value in params.items()]
        new = [param for param in new if param.key not in run.data.params]
        for first in range(0, len(new), 100):
            self.client.log_batch(run.info.run_id, params=new[first : first + 100])

    def set_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log those metrics that the run does not have with this value."""
        known = self.client.get_run(run_id).data.metrics
        for key, value in metrics.items():
            if known.get(key) != value:
                self.client.log_metric(run_id, key, value)

    def put(self, run_id: str, path: Path, folder: str) -> None:
        """Store a file or folder with a run."""
        address = self.client.get_run(run_id).info.artifact_uri
        store = _artifact_folder(self.uri)
        if store is not None and address.startswith("mlflow-artifacts:/"):
            target = store / address.removeprefix("mlflow-artifacts:/").strip("/") / folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, target)
        elif path.is_dir():
            self.client.log_artifacts(run_id, str(path), f"{folder}/{path.name}".lstrip("/"))
        else:
            self.client.log_artifact(run_id, str(path), folder or None)


class _Bounded:
    """A server's client, each call of which ends, however slowly it is answered; an artifact has time by its size."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def bounded(*given: Any, **named: Any) -> Any:
            count, size = _contents(Path(given[1])) if name in ("log_artifact", "log_artifacts") else (1, 0)
            with within(count * PATIENCE * _limit() + size / BYTES):
                return call(*given, **named)

        return bounded


def _contents(path: Path) -> tuple[int, int]:
    """Files of a folder, or one, and their bytes."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return max(1, len(files)), sum(one.stat().st_size for one in files)


class ForeignJournal(Exception):
    """A journal that holds what no stage writes."""


def _send(journal: Path, server: _Server) -> bool:
    """`_send_events`; whatever it stumbles over in a journal waits with that journal, not with those behind it."""
    try:
        return _send_events(journal, server)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, _server_errors()):
            raise
        raise ForeignJournal(
            f"no stage writes such a journal ({type(error).__name__}: {error}); move it away"
        ) from error


def _send_events(journal: Path, server: _Server) -> bool:
    """Send what a journal holds beyond its cursor; True when nothing will follow. The caller holds its lock."""
    if is_complete(journal):
        return True
    cursor = read_cursor(journal)
    if cursor.server != _hash(server.uri):
        cursor = Cursor(server=_hash(server.uri))
    start = start_event(journal)
    if start is None:
        return False
    is_live = is_running(journal, start)  # asked before reading, so that a dead stage's last words are read
    finish = finish_event(journal)
    if not cursor.run_id:
        is_doubtful = cursor.asked > 0  # a sender before this one got no answer, or was killed
        asked = time.time()
        write_cursor(journal, replace(cursor, asked=asked))
        run_id = _open_run(start, server)
        is_doubtful = is_doubtful or time.time() - asked >= _limit()
        cursor = replace(cursor, run_id=run_id, asked=time.time() if is_doubtful else 0.0)
        write_cursor(journal, cursor)
    events, end = read_events(journal, cursor.offset, LINES)
    while end > cursor.offset:
        for batch in _batches(events):
            _send_batch(batch, cursor.run_id, journal, server)
        cursor = replace(cursor, offset=end)
        write_cursor(journal, cursor)
        events, end = read_events(journal, cursor.offset, LINES)
    if finish is None and is_live:
        return False
    last = finish or {"status": "KILLED", "time": int(journal.stat().st_mtime * 1000)}
    server.client.set_terminated(cursor.run_id, last["status"], end_time=last["time"])
    server.settle(cursor.asked)
    server.find("nasir.journal", start["journal"])
    with locked(server.folder / "server.lock", wait=True):
        server.find("nasir.pipeline", start["pipeline"]["key"])
        _update_parent(cursor.run_id, server)
    write_cursor(journal, replace(cursor, size=journal.stat().st_size))
    shutil.rmtree(copies_of(journal), ignore_errors=True)
    return True


def _open_run(start: Event, server: _Server) -> str:
    """The run of a stage, a child of the run of its pipeline; both are found again if they exist."""
    pipeline = start["pipeline"]
    with locked(server.folder / "server.lock", wait=True):
        parent = server.find_or_create(
            "nasir.pipeline",
            pipeline["key"],
            names.of_pipeline(pipeline["params"], pipeline["started"]),
            pipeline["started"],
            {"nasir.stage": PIPELINE},
        )
        server.set_params(parent, pipeline["params"])  # before another process chooses among twins
    parent_id = parent.info.run_id
    tags = {"mlflow.parentRunId": parent_id, "nasir.stage": start["stage"], "nasir.host": start["host"]}
    name = names.of_stage(start["stage"], pipeline["params"] | start["params"])
    run = server.find_or_create("nasir.journal", start["journal"], name, start["time"], tags)
    server.set_params(run, start["params"])
    server.client.update_run(parent_id, status="RUNNING")
    return str(run.info.run_id)


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    """Cut events into lists that hold at most `BATCH` metrics each, in order."""
    batch: list[Event] = []
    count = 0
    for event in events:
        size = len(event["values"]) if event["event"] == "metrics" else 0
        if batch and count + size > BATCH:
            yield batch
            batch, count = [], 0
        batch.append(event)
        count += size
    if batch:
        yield batch


def _send_batch(events: list[Event], run_id: str, journal: Path, server: _Server) -> None:
    """Send the metrics, tags, artifacts and pictures among some events."""
    from mlflow.entities import Metric

    metrics = [
        Metric(_name(key), float(value), event["time"], event["step"])
        for event in events
        if event["event"] == "metrics"
        for key, value in event["values"].items()
    ]
    if metrics:
        server.client.log_batch(run_id, metrics=metrics)
    for event in events:
        if event["event"] == "tags":
            for key, value in event["values"].items():
                server.client.set_tag(run_id, key, value)
        if event["event"] in ("artifact", "picture"):
            path = copies_of(journal) / event["path"]
            if not path.exists():
                print(f"{journal.name}: {path} is gone and cannot be sent", file=sys.stderr, flush=True)
            elif event["event"] == "artifact":
                server.put(run_id, path, event["folder"])
            else:
                _send_picture(path, event, run_id, journal, server)


def _send_picture(path: Path, event: Event, run_id: str, journal: Path, server: _Server) -> None:
    """Store a picture with the run of its stage and with that of the pipeline, where runs are compared."""
    parent_id = server.client.get_run(run_id).data.tags["mlflow.parentRunId"]
    with gallery.files(path, event["key"], event["time"], journal.stem) as files:
        for one in (run_id, parent_id):
            for file in files:
                server.put(one, file, gallery.FOLDER)
            server.client.set_tag(one, gallery.TAG, "True")


def _update_parent(run_id: str, server: _Server) -> None:
    """Give the pipeline's run its scores and cost, and the status of its stages: one that failed, was killed or runs decides."""
    parent_id = server.client.get_run(run_id).data.tags["mlflow.parentRunId"]
    children = server.client.search_runs(
        [server.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{parent_id}'", max_results=1000
    )
    server.set_metrics(parent_id, totals.metrics(children))
    for tag, value in totals.tags(children).items():
        server.client.set_tag(parent_id, tag, value)
    statuses = {child.info.status for child in children}
    status = next((one for one in ("RUNNING", "FAILED", "KILLED") if one in statuses), "FINISHED")
    if status == "RUNNING":
        server.client.update_run(parent_id, status=status)
    else:
        server.client.set_terminated(parent_id, status, max(child.info.end_time for child in children))


# Small things.


def _has_data(run: Any) -> bool:
    return bool(run.data.params or run.data.metrics)


def _limit() -> float:
    """Seconds that MLflow waits for an answer."""
    return float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])


def _hash(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()


def _name(key: str) -> str:
    """A name as MLflow takes it: letters, digits, and `_ - . : /` and space."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]


def _artifact_folder(uri: str) -> Path | None:
    """Where artifacts lie when the tracking URI is a sqlite file: in `mlartifacts` beside it."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve().parent / "mlartifacts"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


@contextmanager
def _quiet_mlflow() -> Iterator[Any]:
    """MLflow with short timeouts, without telemetry and without other people's deprecation warnings."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        yield mlflow


def _server_errors() -> tuple[type[Exception], ...]:
    """What sending may raise because of the server, the network, the database, the disk or the journal."""
    with _quiet_mlflow() as mlflow:
        import requests
        import sqlalchemy.exc

        of_database = sqlalchemy.exc.SQLAlchemyError
        return (mlflow.exceptions.MlflowException, requests.RequestException, of_database, OSError, ForeignJournal)
