"""A journal on its way to a tracking server, from where an earlier sender ended; done is what is there whole, and once."""

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stages.around.journal import copies_of, read_events
from stages.around.sending.cursor import (
    Cursor,
    Event,
    finish_event,
    is_complete,
    is_running,
    locked,
    read_cursor,
    start_event,
    write_cursor,
)
from stages.around.sending.server import Server, limit, server_errors
from stages.around.shown import gallery, names, totals

BATCH = 1000  # metrics in one request; MLflow takes no more
LINES = 1000  # of a journal between two cursors
PIPELINE = "pipeline"
"""The tag `nasir.stage` of a pipeline's own run."""


class ForeignJournal(Exception):
    """A journal that holds what no stage writes."""


def errors() -> tuple[type[Exception], ...]:
    """What sending may raise because of the server, the network, the database, the disk or the journal."""
    return (*server_errors(), ForeignJournal)


def send(journal: Path, server: Server) -> bool:
    """Send what a journal holds beyond its cursor; True when nothing will follow. The caller holds its lock.

    Raises:
        ForeignJournal: whatever it stumbles over in a journal waits with that journal, not with those behind it.
    """
    try:
        return _send_events(journal, server)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, server_errors()):
            raise
        raise ForeignJournal(
            f"no stage writes such a journal ({type(error).__name__}: {error}); move it away"
        ) from error


def _send_events(journal: Path, server: Server) -> bool:
    """`send`, which takes what it raises apart."""
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
        cursor = _begin(journal, cursor, start, server)
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


def _begin(journal: Path, cursor: Cursor, start: Event, server: Server) -> Cursor:
    """The cursor with the run's id, and with the time of asking for it where another run may come of that yet."""
    is_doubtful = cursor.asked > 0  # a sender before this one got no answer, or was killed
    asked = time.time()
    write_cursor(journal, replace(cursor, asked=asked))
    run_id = _open_run(start, server)
    is_doubtful = is_doubtful or time.time() - asked >= limit()
    cursor = replace(cursor, run_id=run_id, asked=time.time() if is_doubtful else 0.0)
    write_cursor(journal, cursor)
    return cursor


def _open_run(start: Event, server: Server) -> str:
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


def _send_batch(events: list[Event], run_id: str, journal: Path, server: Server) -> None:
    """Send the metrics, tags, artifacts and pictures among some events."""
    server.log(
        run_id,
        [
            (key, float(value), event["time"], event["step"])
            for event in events
            if event["event"] == "metrics"
            for key, value in event["values"].items()
        ],
    )
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


def _send_picture(path: Path, event: Event, run_id: str, journal: Path, server: Server) -> None:
    """Store a picture with the run of its stage and with that of the pipeline, where runs are compared."""
    parent_id = server.client.get_run(run_id).data.tags["mlflow.parentRunId"]
    with gallery.files(path, event["key"], event["time"], journal.stem) as files:
        for one in (run_id, parent_id):
            for file in files:
                server.put(one, file, gallery.FOLDER)
            server.client.set_tag(one, gallery.TAG, "True")


def _update_parent(run_id: str, server: Server) -> None:
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


def _hash(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()
