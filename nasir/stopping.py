"""A request to end: SIGTERM of a scheduler that needs the machine, or Ctrl-C.

A training looks for it behind every step, so that it ends with a checkpoint of that step.
"""

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_asked = threading.Event()


class Stopped(SystemExit):
    """Raised by a training that keeps no state of its own, such as that of one candidate; whoever keeps it has the last."""


def listen() -> None:
    """Take the signals as requests from now on; a second one ends the process at once. Does nothing outside the main thread."""
    if threading.current_thread() is threading.main_thread():
        for one in SIGNALS:
            signal.signal(one, _note)


def is_listening() -> bool:
    """Whether something in this process ends on request."""
    return all(signal.getsignal(one) is _note for one in SIGNALS)


def _note(number: int, frame: FrameType | None) -> None:
    if _asked.is_set():
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    ask()


def ask() -> None:
    """Request the end."""
    _asked.set()


def is_asked() -> bool:
    """Whether the end was requested."""
    return _asked.is_set()


def end_if_asked() -> None:
    """Leave a training whose state nobody keeps.

    Raises:
        Stopped: if the end was requested.
    """
    if is_asked():
        raise Stopped
