"""The fast supernet against the plain one: seconds of a weight update in turn, and peak memory in a process each.

    python -m benchmarks.supernet                 all cases
    python -m benchmarks.supernet hinas-paper     one

A case is a space at a size; a way is a twin with what it recomputes. The plain twin runs as a user would write it: eager, one
module for each operation and edge, contiguous NCHW. Seconds are the least of `REPEATS` after one that does not count. Memory is
the peak above what the process had before the supernet was built, as `stages memory` measures it. Also counted are the
convolutions' operations, and at what rate a large channels_last convolution runs here, for comparison.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import settings
from benchmarks.table import to_markdown
from nasir import memory
from nasir.data.noise import add_noise
from nasir.settings import Settings
from nasir.spaces.cells.searching import relax
from nasir.training.device import choose
from nasir.training.losses import restoration_loss

REPEATS = 4
WAYS = {
    "plain": ("space.twin=plain", "space.recompute=none"),
    "fast": ("space.twin=fast", "space.recompute=none"),
    "fast, recompute edge": ("space.twin=fast", "space.recompute=edge"),
    "fast, recompute cell": ("space.twin=fast", "space.recompute=cell"),
}
HINAS = (
    "space.layers=3",
    "space.nodes=4",
    "space.width_factors=[1.0, 1.5, 2.0]",
    "search.batch=6",
    "search.patch=64",
    "space.share_alpha=false",
    "space.beta_norm=outgoing",
    "space.activation=leaky_relu",
    "space.sigmoid=true",
    "space.residual=true",
)
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "hinas-paper": ("hinas", "paper", HINAS),
    "irnas-paper": ("irnas", "paper", ("search.batch=2",)),
    "hinas-demo": ("hinas", "demo", ("space.width_factors=[1.0, 1.5, 2.0]", "space.beta_norm=outgoing")),
    "irnas-demo": ("irnas", "demo", ()),
}


def choose_settings(case: str, way: str) -> Settings:
    """The settings of a case worked in a way."""
    space, profile, changes = CASES[case]
    return settings.of(profile, space, (*changes, *WAYS[way]))


class Step:
    """One update's loss and gradients of the weights on random patches."""

    def __init__(self, case: str, way: str) -> None:
        chosen = choose_settings(case, way)
        self.config, device = chosen.search, choose("auto")
        relaxed = relax(chosen.space.name, chosen.of_space, channels=1, seed=0)
        self.network = relaxed.network.to(device)
        self.weights = relaxed.weights()
        generator = torch.Generator().manual_seed(0)
        shape = (self.config.batch, 1, self.config.patch, self.config.patch)
        self.clean = torch.rand(shape, generator=generator).to(device)
        self.noisy = add_noise(self.clean, 50.0, generator)

    def __call__(self) -> None:
        """Forward and backward."""
        loss = restoration_loss(self.network(self.noisy), self.clean, self.config.ssim_weight)
        torch.autograd.grad(loss, self.weights, allow_unused=True)
        if self.clean.is_cuda:
            torch.cuda.synchronize()


def seconds(steps: dict[str, Step]) -> dict[str, float]:
    """The least seconds of each way, all in turn."""
    least = dict.fromkeys(steps, float("inf"))
    for repeat in range(REPEATS + 1):
        for way, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat:
                least[way] = min(least[way], time.perf_counter() - start)
    return least


def peak_mib(case: str, way: str) -> float:
    """Peak memory above the start, of the stage `memory` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        chosen, out = Path(folder) / "settings.yaml", Path(folder) / "memory.json"
        chosen.write_text(yaml.safe_dump(choose_settings(case, way).values))
        command = [sys.executable, "-m", "stages", "memory", "--settings", str(chosen), "--out", str(out)]
        environment = os.environ | {"NASIR_TRACKING": folder, "NASIR_SEND": "later"}  # no run to keep
        subprocess.run(command, cwd=settings.ROOT, env=environment, check=True)
        peak: float = json.loads(out.read_text())["peak_mib"]
    return peak


def convolution_rate() -> float:
    """GFLOP/s of a channels_last 3x3 convolution, 64 channels, 6 patches of 64x64, forward."""
    x = torch.randn(6, 64, 64, 64).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3).to(memory_format=torch.channels_last)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return 2 * 6 * 64**2 * 64 * 64 * 9 / min(times) / 1e9


def measure(cases: Sequence[str] = tuple(CASES)) -> list[dict[str, object]]:
    """A row for each case and way; and the rate of a large convolution in the last one."""
    rows: list[dict[str, object]] = []
    # memory first: a process starts with the peak of the one that starts it
    peaks_of = {case: {way: peak_mib(case, way) for way in WAYS} for case in cases}
    for case in cases:
        peaks = peaks_of[case]
        steps = {way: Step(case, way) for way in WAYS}
        with FlopCounterMode(display=False) as counter:
            steps["plain"]()
        gflop = counter.get_total_flops() / 1e9
        taken = seconds(steps)
        del steps
        for way in WAYS:
            rows.append(
                {
                    "case": case,
                    "way": way,
                    "seconds": round(taken[way], 3),
                    "times as fast": round(taken["plain"] / taken[way], 2),
                    "peak, MiB": round(peaks[way]),
                    "share of plain's peak": round(peaks[way] / peaks["plain"], 2),
                    "GFLOP of convolutions": round(gflop, 1),
                    "GFLOP/s": round(gflop / taken[way]),
                }
            )
    alone = {"case": "a 64-channel 3x3 channels_last convolution alone", "GFLOP/s": round(convolution_rate())}
    return [*rows, dict.fromkeys(rows[0], "") | alone]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="which; none = all")
    given = parser.parse_args()
    memory.keep_freed()  # as every stage does
    print(to_markdown(measure(given.case or [*CASES])))


if __name__ == "__main__":
    main()
