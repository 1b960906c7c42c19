"""A bound on the time that a library's call takes, which may wait for something that never ends."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Expired(BaseException):
    """What no `except Exception` of a library takes for a failure that it should try again."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Around such a call: end it where it takes longer, in the main thread of a system with interval timers; elsewhere nothing.

    >>> with within(0.01):
    ...     time.sleep(60)
    Traceback (most recent call last):
    TimeoutError: no answer within 0.01 s

    A timer that would go off sooner is left alone; one that is set for later is set again, for what is left of it.

    Raises:
        TimeoutError: once `seconds` are over.
    """
    is_possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    left, every = signal.getitimer(signal.ITIMER_REAL) if is_possible else (0.0, 0.0)
    if not is_possible or 0 < left <= seconds:
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise _Expired

    start = time.monotonic()
    handler = signal.signal(signal.SIGALRM, expire)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Expired:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    finally:
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - start)), every)
