"""A stage's journal goes to MLflow: what a stage calls for that, and what the process does that sends.

A stage appends to its journal. A second process, `python -m stages sync --follow JOURNAL`, reads along and sends; a
server that is down or hangs can delay only that process.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.around.sending.cursor import has_ended, is_abandoned, is_complete, locked
from stages.around.sending.delivery import errors, send
from stages.around.sending.server import Server, first_line

SEND_SECONDS = 2.0  # between two requests of a follower
POLL_SECONDS = 0.25  # between two looks whether the stage has ended
SENDERS = (
    8  # followers of one folder at a time; each takes some 150 MB, and hundreds of short stages would fill a machine
)
SENT = "sent"
LAST_TRIES = 3  # of a follower, once its stage has ended


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
            f"tracking: {first_line(error)}; the events are kept, and `python -m stages sync` sends them",
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
        expected = errors()
        server = None
        failures, last_failures = 0, 0
        while last_failures < LAST_TRIES:
            is_over = has_ended(journal)
            try:
                server = server or Server.connect(uri, journal.parent)
                if send(journal, server):
                    return True
                failures = 0
            except expected as error:
                print(f"{journal.name}: not sent, {first_line(error)}", file=sys.stderr, flush=True)
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
    expected = errors()
    try:
        server = Server.connect(uri, journals)
    except expected as error:
        return Delivery(sent=(), waiting=tuple((path, first_line(error)) for path in unsent))
    fault = ""
    for path in unsent:
        reason = fault or _send_now(path, server)
        if reason == SENT:
            sent.append(path)
        elif reason:
            waiting.append((path, reason))
            fault = fault or server.fault()
    return Delivery(sent=tuple(sent), waiting=tuple(waiting))


def _send_now(journal: Path, server: Server) -> str:
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
            return SENT if send(journal, server) else "its stage is still running"
        except errors() as error:
            return first_line(error)


def prepare(uri: str | None = None) -> str:
    """Create the database (3 to 10 s the first time) and the experiment; returns the tracking URI."""
    uri = uri or tracking_uri()
    folder().mkdir(parents=True, exist_ok=True)
    Server.connect(uri, folder())
    return uri
