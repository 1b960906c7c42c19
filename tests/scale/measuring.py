"""Stages as processes of their own: the memory and the time that each has needed."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

MEASURED = """
import atexit, sys
from nasir import memory
atexit.register(lambda: print(f"peak {memory.peak_mib():.0f}", flush=True))
"""
"""In front of what a process does: at its end it says what memory it has needed, MiB."""

STAGE = MEASURED + "from stages.__main__ import main\nmain()"


def run(place: Path, code: str, *words: str, out: str | None = None) -> tuple[int, float]:
    """Run a stage with its check, or other code, in a process of its own there; its peak memory in MiB, and its seconds."""
    done, peak, seconds = call(place, code, *words, out=out)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stdout + done.stderr
    return peak, seconds


def call(
    place: Path, code: str, *words: str, out: str | None = None
) -> tuple[subprocess.CompletedProcess[str], int, float]:
    """`run`, however the process ends."""
    if out is not None:
        words = (*words, "--settings", "settings.yaml", "--out", out, "--check", f"{words[0]}.json")
    environment: Mapping[str, str] = os.environ | {
        "NASIR_SEND": "later", "NASIR_TRACKING": str(place / "tracking"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    [peak] = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("peak ")]
    return done, int(peak), round(time.monotonic() - start, 1)
