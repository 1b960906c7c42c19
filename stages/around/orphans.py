"""A stage ends with the pipeline that started it.

SIGKILL of `make` or of `dvc` leaves the stage running, where it would hold the machine, and DVC its lock, against the next
call. A stage therefore watches the processes above it and ends, as if killed, when one of them is gone: its checkpoint
stays, and the next call carries on from there. A training has some seconds to leave one of the step that it is at.
"""

import os
import socket
import sys
import threading
import time

from nasir import stopping
from stages.around.journal import dvc_ancestor, is_alive

PERIOD = 0.5  # seconds between two looks

GRACE = 8  # seconds for a last checkpoint: schedulers give ten or more


def owners() -> list[int]:
    """Process ids that this process should not outlive: the DVC above it, and the make that the Makefile names."""
    found = [ancestor[0]] if (ancestor := dvc_ancestor()) else []
    named = os.environ.get("NASIR_OWNER", "")
    return found + ([int(named)] if named.isdecimal() else [])


def watch(*more: int) -> None:
    """Start looking at the owners and at `more` process ids, in the background; does nothing where there is none."""
    if pids := owners() + list(more):
        threading.Thread(target=_look, args=(pids,), daemon=True).start()


def _look(pids: list[int]) -> None:
    host = socket.gethostname()
    while all(is_alive(host, pid, None, 0.0) for pid in pids):
        time.sleep(PERIOD)
    print(
        "stopped: the process that started this stage is gone; call it again to carry on", file=sys.stderr, flush=True
    )
    if stopping.is_listening():
        stopping.ask()
        time.sleep(GRACE)
    os._exit(1)  # every file is written whole or not at all, so there is nothing to put away
