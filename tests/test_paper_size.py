"""The paper's own size runs: three iterations of each kind, with seconds and peak memory printed."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.derived_parameters import measure

ROOT = Path(__file__).parents[1]
BATCH = {"search": 3, "retrain": 12}  # the search's own 12 take minutes for each iteration on 2 cores


@pytest.mark.slow
@pytest.mark.parametrize("step", ["search", "retrain"])
def test_three_iterations_at_the_papers_size(step):
    command = [sys.executable, "-m", "benchmarks.paper_size", step, "--batch", str(BATCH[step])]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}  # all cores, unlike the other tests
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    found = json.loads(run.stdout)
    assert len(found["seconds_per_iteration"]) == 3
    assert len(found["losses"]) == (6 if step == "search" else 3)
    assert all(math.isfinite(loss) for loss in found["losses"])
    assert found["peak_memory_gib"] < 20


def test_a_typical_derived_network_has_the_printed_number_of_parameters():
    # 0.63 M printed (published.csv, table 1); the width is chosen so that the median of random genotypes is near
    [found] = measure(60, seed=0)
    assert found["genotypes"] == 60
    assert found["median"] == pytest.approx(0.63e6, rel=0.1)
