"""The process's memory."""

import subprocess
import sys

import pytest

from nasir import memory

ALLOCATE = """
import resource
from nasir import memory
{first}
for _ in range(10):
    blocks = [bytearray(8 * 2**20) for _ in range(8)]
    for block in blocks:
        block[::4096] = b"x" * 2048
    del block, blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(first: str) -> int:
    """Page faults of a process that asks for and frees eight times 8 MiB, 16,384 pages, ten times."""
    run = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(first=first)], check=True, capture_output=True, text=True
    )
    return int(run.stdout)


def test_the_peak_is_at_least_what_is_held():
    held = bytearray(32 * 2**20)
    assert memory.peak_mib() > 32
    assert len(held) == 32 * 2**20


def test_the_peak_is_not_that_of_the_process_that_started_this_one():
    held = bytearray(300 * 2**20)
    command = "from nasir import memory; print(memory.peak_mib())"
    run = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert len(held) == 300 * 2**20
    assert float(run.stdout) < 150


@pytest.mark.skipif(sys.platform != "linux" or not sys.version.count("GCC"), reason="a matter of glibc")
def test_freed_memory_is_kept():
    assert faults("memory.keep_freed()") < faults("") / 2


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            True,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_an_exhausted_memory_is_told_from_other_errors(error, is_so):
    assert memory.is_exhausted(error) is is_so
