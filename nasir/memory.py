"""How much memory this process has needed; without torch, which not every stage imports."""

import resource
import sys


def peak_mib() -> float:
    """The most resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere
