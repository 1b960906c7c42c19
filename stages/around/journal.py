"""The journal of one stage: an append-only file of what happened, written without a tracking server or MLflow.

One JSON object a line, in the order of events, each with `event` and `time` (ms since 1970, UTC):

    {"event": "start", "journal": id, "stage": ..., "params": {...}, "pipeline": {...}, "host": ..., "pid": ..., ...}
    {"event": "metrics", "step": 40, "values": {"train_loss": 0.01}}
    {"event": "artifact", "path": file or folder below the journal's own folder, "folder": where it goes in the run}
    {"event": "picture", "path": PNG file below the journal's own folder, "key": what it shows, the same in every run}
    {"event": "tags", "values": {"nasir.device": ...}}
    {"event": "finish", "status": "FINISHED" | "FAILED" | "KILLED"}

`stages/around/sending` sends journals to MLflow, in another process, now or later.
"""

import json
import math
import os
import re
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

STATUSES = ("FINISHED", "FAILED", "KILLED")


def _now() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The pipeline run that a stage belongs to; equal keys mean the same run."""

    key: str
    started: int  # ms since 1970, UTC
    params: dict[str, Any]  # what params.yaml held


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file; an error of the system, a full disk, say, names the copy, where shutil names what it reads."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


class Journal:
    """The events of one stage, appended to `path` and flushed one by one (some ten microseconds each)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8")  # one process, one journal: never continue another's

    def _append(self, event: str, **fields: object) -> None:
        line = json.dumps({"event": event, "time": _now(), **fields}, allow_nan=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            error.filename = str(self.path)  # of a full disk nothing else says where
            raise

    def start(self, stage: str, params: Mapping[str, Any], pipeline: Pipeline) -> None:
        """Say which stage runs, with which flat parameters, in which pipeline run and process."""
        plain = {key: value if isinstance(value, (int, str)) else str(value) for key, value in params.items()}
        process = {"host": socket.gethostname(), "pid": os.getpid(), "created": _created(os.getpid())}
        record = asdict(pipeline) | {"params": {key: str(value) for key, value in pipeline.params.items()}}
        self._append("start", journal=uuid.uuid4().hex, stage=stage, params=plain, pipeline=record, **process)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Add numbers at a step; the type is `nasir.files.Log`."""
        plain = {key: _plain(float(value)) for key, value in values.items()}
        self._append("metrics", step=int(step), values=plain)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a copy of a file or folder as it is now, to be sent into `folder` of the run.

        A copy, because the pipeline deletes and rewrites its outputs before a server may be there to take them.
        """
        self._append("artifact", path=self._copy(path), folder=folder)

    def picture(self, path: Path, key: str) -> None:
        """Keep a copy of a PNG file, to be shown under a key beside those of other runs."""
        self._append("picture", path=self._copy(path), key=key)

    def tags(self, values: Mapping[str, str]) -> None:
        """Say what the run is to be found by, or is to say of itself."""
        self._append("tags", values=dict(values))

    def _copy(self, path: Path) -> str:
        """Copy a file or folder; the copy's path below the folder of copies."""
        if not path.exists():
            raise ValueError(f"an artifact must be a file or a folder, got {path}, which does not exist.")
        number = sum(1 for _ in self.copies.iterdir()) if self.copies.exists() else 0
        copy = self.copies / str(number) / path.name
        (copy if path.is_dir() else copy.parent).mkdir(parents=True)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                _copy_file(file, copy / file.relative_to(path))
        return copy.relative_to(self.copies).as_posix()

    def finish(self, status: str) -> None:
        """Say how the stage ended and close the file."""
        if status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}.")
        self._append("finish", status=status)
        self._file.close()

    @property
    def copies(self) -> Path:
        """The folder of the artifacts' copies."""
        return copies_of(self.path)


def copies_of(journal: Path) -> Path:
    """The folder beside a journal that holds the copies of its artifacts."""
    return journal.with_suffix("")


def new_path(folder: Path, stage: str) -> Path:
    """A fresh name in `folder`: the UTC time to the microsecond, the process, the stage; names sort by time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return folder / f"{stamp}-{os.getpid()}-{stage}.jsonl"


def read_events(path: Path, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Read at most `limit` whole lines of a journal from a byte offset on.

    Returns:
        The events, and the offset behind the last line that was read: a line without its end is left, since it is
        still being written or was torn when the process was killed. A whole line that is no event is said on stderr.
    """
    events = []
    with path.open("rb") as file:
        file.seek(offset)
        for line in islice(file, limit):
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict) and "event" in event:
                events.append(event)
            else:
                print(f"{path}: passed over a damaged line: {line[:80]!r}", file=sys.stderr)
    return events, offset


def find_pipeline(params: Mapping[str, Any]) -> Pipeline:
    """Tell which pipeline run this process belongs to.

    It is the run of the nearest ancestor process that is DVC, known by host, process id and time of creation. Without
    such an ancestor, or without psutil, this process is a pipeline run of its own. NASIR_PIPELINE overrides the key.
    """
    named = os.environ.get("NASIR_PIPELINE")
    if named is not None and not re.fullmatch(r"[\w.:-]{1,200}", named):
        raise ValueError(f"NASIR_PIPELINE must be 1 to 200 letters, digits, '.', ':', '_' or '-', got {named!r}.")
    pid, created = dvc_ancestor() or (os.getpid(), _created(os.getpid()) or time.time())
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    key = named or f"{host}-{pid}-{int(created)}"
    return Pipeline(key=key, started=int(created * 1000), params=dict(params))


def is_alive(host: str, pid: int, created: float | None, silent_since: float) -> bool:
    """Tell whether the process that wrote a journal may still add to it.

    Args:
        host: name of the machine it ran on; on another one, a journal untouched for an hour counts as left.
        pid: its process id there.
        created: when it was created, in seconds since 1970 (ids are used again), or None if that is not known.
        silent_since: when the journal was last written, in seconds since 1970.
    """
    if host != socket.gethostname():
        return time.time() - silent_since < 3600.0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and belongs to somebody else
    try:
        import psutil
    except ImportError:
        return True
    try:
        process = psutil.Process(pid)
        is_same = created is None or abs(process.create_time() - created) < 2.0
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _plain(value: float) -> float | str:
    """JSON has no NaN and no infinity; `float()` reads the strings back."""
    return value if math.isfinite(value) else str(value)


def _created(pid: int) -> float | None:
    """When a process was created, in seconds since 1970; None without psutil."""
    try:
        import psutil
    except ImportError:
        return None
    return float(psutil.Process(pid).create_time())


def dvc_ancestor() -> tuple[int, float] | None:
    """Process id and creation time of the nearest ancestor that is DVC."""
    try:
        import psutil
    except ImportError:
        return None
    for process in psutil.Process().parents():
        try:
            if _is_dvc(process.cmdline()):
                return process.pid, process.create_time()
        except psutil.Error:
            continue  # gone, or not ours to look at: then it did not start us through DVC
    return None


def _is_dvc(command: Sequence[str]) -> bool:
    """Whether a command line is `dvc ...`, `python [-u] /some/bin/dvc ...` or `python -m dvc ...`."""
    if not command:
        return False
    program = Path(command[0]).stem.lower()
    if program.startswith(("python", "pypy")):
        words = [word for word in command[1:] if not word.startswith("-")]
        return bool(words) and Path(words[0]).stem == "dvc"
    return program == "dvc"
