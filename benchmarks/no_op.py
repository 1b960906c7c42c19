"""A pipeline in which nothing has changed: seconds of `dvc repro`, where `make repro` has been run."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.table import to_markdown

ROOT = Path(__file__).parents[1]
ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """One row: the least seconds of `dvc repro` and of `dvc --version`, which is what starting DVC takes.

    Raises:
        ValueError: if the pipeline is not up to date.
    """
    dvc = [sys.executable, "-m", "dvc"]
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    # a comment in the code changes what `settings` reads, though no stage behind it
    subprocess.run([*dvc, "repro", "-q", "settings"], cwd=ROOT, env=environment, capture_output=True, check=False)
    status = subprocess.run(
        [*dvc, "status", "-q", "dvc.yaml"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    if status.returncode != 0:
        raise ValueError("the pipeline must be up to date, got stages that would run; call make repro first.")
    least = {}
    for name, command in {"repro_seconds": [*dvc, "repro", "dvc.yaml"], "start_seconds": [*dvc, "--version"]}.items():
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        least[name] = min(times)
    return [{"what": "dvc repro, nothing changed"} | least]


if __name__ == "__main__":
    print(to_markdown(measure()))
