"""`python -m benchmarks`: every benchmark, its table printed, all rows as JSON with machine, versions and commit.

    python -m benchmarks                         all
    python -m benchmarks supernet deformable     some

Each benchmark runs in a process of its own, so that none has another's memory or threads; ratios in a row were taken in one
run, in turn. What cannot be measured here is listed with the reason.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.table import to_markdown
from nasir.files import read_json, write_json
from stages.around.receipts import commit, device, processor, versions

NAMES = (
    "supernet",
    "deformable",
    "inference",
    "speed_of_use",
    "training_step",
    "waiting",
    "data_path",
    "metrics",
    "derived_parameters",
    "clearer_sizes",
    "resolutions",
    "no_op",
    "paper_size",
)
OUT = Path(__file__).parent / "results.json"


def main() -> None:
    """Run the benchmarks and write the JSON file, or run one and write its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; none = all")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file; other benchmarks' rows in it stay")
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"benchmarks are {', '.join(NAMES)}; got {', '.join(unknown)}")
    if given.rows:
        write_json(given.out, _measure(given.names[0]))
        return
    results: dict[str, Any] = read_json(given.out) if given.out.is_file() else {}
    for name in given.names or NAMES:
        results[name] = _run(name, given.out.with_name(f".{name}.json"))
        write_json(given.out, results)
        shown = results[name].get("rows")
        print(
            f"\n## {name}, {results[name]['seconds']:.0f} s\n\n{to_markdown(shown) if shown else results[name]['reason']}"
        )


def _run(name: str, path: Path) -> dict[str, Any]:
    """One benchmark in a fresh process: its rows, or why there are none, and where it ran."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks", name]
    ran = subprocess.run([*command, "--rows", "--out", str(path)], stderr=subprocess.PIPE, text=True, check=False)
    seconds = {"seconds": round(time.perf_counter() - start, 1)}
    if ran.returncode != 0:
        return {"reason": ran.stderr.strip().splitlines()[-1]} | seconds
    found: dict[str, Any] = read_json(path)
    path.unlink()
    return found | seconds


def _measure(name: str) -> dict[str, Any]:
    rows = import_module(f"benchmarks.{name}").measure()  # imports torch, which says how many threads there are
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": f"python -m benchmarks {name}",
        "commit": commit(),
        "machine": {"device": device(), "processor": processor(), "cores": cores, "load": os.getloadavg()[0]},
        "versions": {"python": platform.python_version()} | versions(),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
