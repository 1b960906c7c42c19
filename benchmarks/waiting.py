"""How long a thread waits for the others before it sleeps: training in two threads, alone and beside a busy core.

    python -m benchmarks.waiting

Steps a second of models/irnas-bsd500-50 with 8 patches of 48x48 in bfloat16, each run a process of its own: the best of the
rounds, in which the ways take turns. Beside: one other process computes all the time. `nasir.commands.threads` sets 10,000.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import torch

import nasir
from benchmarks.table import to_markdown
from nasir.commands import threads

SPINS = {
    "300,000 (the library's)": {},
    "10,000 (ours)": {"GOMP_SPINCOUNT": threads.SPIN},
    "none": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BATCH, PATCH, ROUNDS, SECONDS = 8, 48, 2, 4.0


def measure() -> list[dict[str, Any]]:
    """One row for each way to wait."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    rates: dict[tuple[str, bool], float] = {}
    for _ in range(ROUNDS):
        for name, own in SPINS.items():
            for is_beside in (False, True):
                rates[name, is_beside] = max(rates.get((name, is_beside), 0.0), _run(clean | own, is_beside))
    first = next(iter(SPINS))
    return [
        {"turns": name}
        | {
            key: value
            for is_beside, where in ((False, "alone"), (True, "beside"))
            for key, value in (
                (f"{where}_steps_per_s", rates[name, is_beside]),
                (f"{where}_ratio", rates[name, is_beside] / rates[first, is_beside]),
            )
        }
        for name in SPINS
    ]


def _run(environment: dict[str, str], is_beside: bool) -> float:
    """Steps a second of a fresh process."""
    busy = []
    try:
        if is_beside:
            busy.append(subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True))
        command = [sys.executable, "-m", "benchmarks.waiting", "train"]
        return float(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))
    finally:
        for one in busy:
            one.kill()
            one.wait()


def _train() -> float:
    """Steps a second of this process."""
    torch.set_num_threads(2)
    network = nasir.load("irnas-bsd500-50").network.train()
    weights = [weight.requires_grad_() for weight in network.parameters()]
    images = torch.rand(BATCH, 1, PATCH, PATCH)
    steps, start = -2, time.perf_counter()
    while steps < 1 or time.perf_counter() < start + SECONDS:
        with torch.autocast("cpu", torch.bfloat16):
            restored = network(images)
        torch.autograd.grad((restored.float() - images).square().mean(), weights)
        steps += 1
        if steps == 0:
            start = time.perf_counter()
    return steps / (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(_train()) if sys.argv[1:] == ["train"] else to_markdown(measure()))
