"""How the threads of a command wait for each other."""

import os

SPIN = "10000"
"""Turns that a thread of GNU's OpenMP waits for the others before it sleeps; the library's own 300,000 are some milliseconds."""


def wait_briefly() -> None:
    """Let a thread that waits for another give its core away soon; to be called before torch is imported.

    The threads of a layer meet at its end. Where another process holds a core, one of them comes late each time, and the others
    would spend whole slices of time on waiting: a training beside one busy core takes twice as long without
    (benchmarks/README.md). Alone it is as fast as before, and no number changes. What the environment says stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
