"""Deformable convolution: in strips against all rows at once, and as a multiple of a plain convolution.

    python -m benchmarks.deformable

Prints milliseconds of one call (median of five) and ratios, for training (forward and backward) and for a whole photograph.
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from nasir.spaces import deformable

CASES = {
    "training, 8 patches of 48x48, 8 channels": (8, 8, 48, 48),
    "training, 8 patches of 48x48, 32 channels": (8, 32, 48, 48),
    "inference, 481x321, 32 channels": (1, 32, 481, 321),
}


def milliseconds(call: Callable[[], object]) -> float:
    """Median of five calls after one that does not count."""
    call()
    found = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - start))
    return statistics.median(found)


def main() -> None:
    """Measure and print a table."""
    strip_values = deformable.STRIP_VALUES
    print("| case | strips, ms | all rows at once, ms | ratio | plain convolution, ms | multiple of plain |")
    print("|---|---|---|---|---|---|")
    for name, (n, c, h, w) in CASES.items():
        is_training = name.startswith("training")
        g = torch.Generator().manual_seed(0)
        x = torch.randn(n, c, h, w, generator=g, requires_grad=is_training)
        offset = (0.3 * torch.randn(n, 18, h, w, generator=g)).requires_grad_(is_training)
        mask = torch.rand(n, 9, h, w, generator=g).requires_grad_(is_training)
        weight = torch.randn(c, c, 3, 3, generator=g, requires_grad=is_training)

        def run(operation: Callable[[], torch.Tensor], is_training: bool = is_training) -> None:
            result = operation()
            if is_training:
                result.sum().backward()

        def deformed(x=x, offset=offset, mask=mask, weight=weight) -> torch.Tensor:
            return deformable.deformable_conv(x, offset, mask, weight)

        def plain(x=x, weight=weight) -> torch.Tensor:
            return F.conv2d(x, weight, padding=1)

        times = []
        for limit in (strip_values, 2**60):
            deformable.STRIP_VALUES = limit
            times.append(milliseconds(lambda call=deformed: run(call)))
        times.append(milliseconds(lambda call=plain: run(call)))
        ratios = times[1] / times[0], times[0] / times[2]
        print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} | {ratios[0]:.2f} | {times[2]:.1f} | {ratios[1]:.1f} |")
    deformable.STRIP_VALUES = strip_values


if __name__ == "__main__":
    main()
