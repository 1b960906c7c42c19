"""How far a journal was sent, whether it has ended, and who may send it now.

Beside a journal `X.jsonl` lie `X.cursor.json` (how much of it was sent, and to which run), `X.lock` (held by whoever
sends it) and the folder `X` (copies of artifacts, until they are sent).
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasir.files import read_json, write_json
from stages.around.journal import is_alive, read_events

Event = dict[str, Any]

AT_ONCE = 60.0
"""Seconds in which a stage has written the first line of its journal."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How far a journal was sent."""

    server: str = ""  # hash of the tracking URI, which may hold a password
    run_id: str = ""
    asked: float = 0.0  # when its making was asked for, in seconds since 1970, and not answered soon; 0: it was
    offset: int = 0  # bytes sent
    size: int = -1  # of the journal when it was completely sent; -1 before


def start_event(journal: Path) -> Event | None:
    """The first event of a journal, or None as long as it is not there."""
    events, _ = read_events(journal, 0, 1)
    return events[0] if events and events[0]["event"] == "start" else None


def finish_event(journal: Path) -> Event | None:
    """The last event of a journal if it is a finish."""
    with journal.open("rb") as file:
        file.seek(max(journal.stat().st_size - 1000, 0))
        line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    return json.loads(line) if line.startswith(b'{"event": "finish"') and line.endswith(b"}") else None


def is_running(journal: Path, start: Event) -> bool:
    """Whether the stage's process may still add to its journal."""
    return is_alive(start["host"], start["pid"], start["created"], journal.stat().st_mtime)


def has_ended(journal: Path) -> bool:
    """Whether nothing more will be written: the last event is a finish, or the process is gone."""
    if finish_event(journal) is not None:
        return True
    start = start_event(journal)
    return start is not None and not is_running(journal, start)


def is_abandoned(journal: Path) -> bool:
    """Whether a journal never got its first line: a stage writes it in the moment in which it makes the file."""
    found = journal.stat()
    return found.st_size == 0 and time.time() - found.st_mtime > AT_ONCE


def read_cursor(journal: Path) -> Cursor:
    """How far a journal was sent; the beginning if nothing was."""
    path = _path(journal)
    return Cursor(**read_json(path)) if path.exists() else Cursor()


def write_cursor(journal: Path, cursor: Cursor) -> None:
    """Note how far a journal was sent."""
    write_json(_path(journal), asdict(cursor))


def is_complete(journal: Path) -> bool:
    """Whether a journal was sent to its end and nothing was added since."""
    return read_cursor(journal).size == journal.stat().st_size


def _path(journal: Path) -> Path:
    return journal.with_suffix(".cursor.json")


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file; gives whether it is ours, which is sure when `wait` is set. A dead holder's lock is free."""
    import fcntl  # not on Windows, where nothing is sent

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
