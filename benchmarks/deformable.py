"""Deformable convolution as a multiple of a plain one.

    python -m benchmarks.deformable

Milliseconds of one call: medians of fifteen, the calls in turn. For training forward and backward, on contiguous tensors, and the
plain convolution in channels_last too. Offsets stay a quarter of a pixel away from whole pixels. In one thread
(`OMP_NUM_THREADS=1`) it is processor time, which other work on the machine changes little.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.table import to_markdown
from nasir.layers.deformable import deformable_conv

CASES = {
    "training, 6 patches of 64x64, 10 channels": (6, 10, 64, 64),
    "training, 12 patches of 64x64, 10 channels": (12, 10, 64, 64),
    "training, 6 patches of 64x64, 20 channels": (6, 20, 64, 64),
    "training, 6 patches of 64x64, 40 channels": (6, 40, 64, 64),
    "training, 8 patches of 48x48, 8 channels": (8, 8, 48, 48),
    "training, 8 patches of 48x48, 32 channels": (8, 32, 48, 48),
    "inference, 481x321, 32 channels": (1, 32, 481, 321),
}

ROUNDS = 15


def milliseconds(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median of each call after two that do not count; the calls take turns, so that other work slows all alike."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(2 + ROUNDS):
        for name, call in calls.items():
            start = clock()
            call()
            found[name].append(1000 * (clock() - start))
    return {name: statistics.median(times[2:]) for name, times in found.items()}


def trained(operation: Callable[..., Tensor], arguments: list[Tensor]) -> Callable[[], object]:
    """Forward and backward as one call, with a gradient in the memory format of the result."""
    arguments = [t.detach().requires_grad_() for t in arguments]
    gradient = torch.randn_like(operation(*arguments))
    return lambda: torch.autograd.grad(operation(*arguments), arguments, gradient)


def inferred(operation: Callable[..., Tensor], arguments: list[Tensor]) -> Callable[[], object]:
    def call() -> None:
        with torch.inference_mode():
            operation(*arguments)

    return call


def measure() -> list[dict[str, Any]]:
    """A row for each of `CASES`."""
    # once a large block has been freed, as early in any training, glibc keeps memory instead of handing it back after each call
    torch.empty(2**23 - 2**16)
    rows = []
    for case, (n, c, h, w) in CASES.items():
        g = torch.Generator().manual_seed(0)
        x, weight = torch.randn(n, c, h, w, generator=g), torch.randn(c, c, 3, 3, generator=g)
        whole, fraction = torch.randint(-1, 1, (n, 18, h, w), generator=g), torch.rand(n, 18, h, w, generator=g)
        offset, mask = whole + 0.25 + 0.5 * fraction, torch.rand(n, 9, h, w, generator=g)
        last = [t.contiguous(memory_format=torch.channels_last) for t in (x, weight)]
        run = trained if case.startswith("training") else inferred

        def plain(x: Tensor, weight: Tensor) -> Tensor:
            return F.conv2d(x, weight, padding=1)

        times = milliseconds(
            {
                "deformable_ms": run(deformable_conv, [x, offset, mask, weight]),
                "plain_ms": run(plain, [x, weight]),
                "plain_channels_last_ms": run(plain, last),
            }
        )
        multiple = times["deformable_ms"] / times["plain_ms"]
        rows.append({"case": case, "threads": torch.get_num_threads(), **times, "multiple_of_plain": multiple})
    return rows


if __name__ == "__main__":
    print(to_markdown(measure()))
