"""All stages of the pipeline again and again in one process: `python soaking.py ROUNDS`, in a checkout.

What grows in a process shows so: each round prints a JSON object of its memory, its open files, its threads and the files in the
folder for temporary ones. `dvc.yaml` says which stages there are and how each is called.
"""

import gc
import json
import os
import shlex
import sys
import tempfile
import threading
from pathlib import Path

import yaml

from nasir.config import reading
from stages.__main__ import main

STATUS = Path("/proc/self/status")


def commands() -> list[list[str]]:
    """The words of every stage behind `python -m stages`, in order."""
    params = reading.read(Path("params.yaml"))
    found = []
    for stage in yaml.safe_load(Path("dvc.yaml").read_text())["stages"].values():
        command = stage["cmd"]
        for key, value in params.items():
            command = command.replace(f"${{{key}}}", str(value))
        found.append(shlex.split(command)[3:])
    return found


def call(words: list[str]) -> None:
    """Run a stage here; an error ends all."""
    sys.argv = ["stages", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


def measure() -> dict[str, int]:
    """What may grow."""
    gc.collect()
    [memory] = [int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:")]
    return {
        "memory_mib": memory // 2**10,
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "temporary_files": sum(len(names) for _, _, names in os.walk(tempfile.gettempdir())),
    }


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        for words in commands():
            call(words)
        print(json.dumps(measure()), flush=True)
