"""This process's memory: what it has needed, whether it was too small, and keeping it; without torch, which few import."""

import ctypes
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")

TOO_LARGE = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says where the memory is too small."""


def peak_mib() -> float:
    """The most resident memory of this process so far, MiB.

    On Linux that is VmHWM of /proc: `ru_maxrss` starts at the peak of the process that started this one.
    """
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10  # KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere


def is_exhausted(error: Exception) -> bool:
    """Whether it says that the memory, of the processor or of a GPU, was too small."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in TOO_LARGE)


def keep_freed() -> None:
    """Let the C library keep freed memory for the next allocation, instead of giving it back and asking for it again.

    A training step frees and asks for gigabytes, and each new page costs a fault. With glibc this makes steps up to a tenth
    faster on a CPU (benchmarks/README.md); elsewhere it does nothing. It changes no number.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform == "linux" and mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # names of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 32 * 2**20)  # the most that it accepts; larger blocks are mapped one by one
