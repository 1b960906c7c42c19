"""All hostile inputs, each class in a process of its own with little memory, disk and time: `python corpus.py FOLDER`.

The ends are written into FOLDER/ends.json. A class whose process ends by itself, be it by memory, disk, time or a crash, has one
bad end more.
"""

import dataclasses
import json
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import bad_archives
import bad_networks
import bad_pages
import bad_pictures
import bad_reports
import bad_settings
import bad_tables
from judging import Case, End, run

MEMORY = 3 * 2**29
"""Bytes that a class may have beside those of the process that it begins as."""

DISK = 2**27
"""Bytes of one file."""

SECONDS = 120
"""Of the processor."""


def cases(folder: Path) -> dict[str, list[Case]]:
    """All of them by class; a small network that some are given to is written into the folder."""
    network = bad_networks.little_network(folder / "network")
    found: dict[str, list[Case]] = {}
    of_networks = [*bad_pictures.cases(network), *bad_networks.cases(network)]
    of_networks += bad_reports.cases(folder)
    of_networks += bad_pages.cases(folder / "pages", network)
    for one in (*of_networks, *bad_settings.cases(), *bad_tables.cases(), *bad_archives.cases()):
        found.setdefault(one.kind, []).append(one)
    return found


def in_limits(kind: str, cases: Sequence[Case], folder: Path) -> list[End]:
    """The ends of a class, out of a process of its own."""
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            for limit, most in (
                (resource.RLIMIT_AS, size + MEMORY),
                (resource.RLIMIT_FSIZE, DISK),
                (resource.RLIMIT_CPU, SECONDS),
            ):
                resource.setrlimit(limit, (most, most))
            with (folder / "ends").open("w") as file:
                for number, case in enumerate(cases):
                    end = run(case, folder / f"{number:03d}")
                    print(json.dumps(dataclasses.asdict(end)), file=file, flush=True)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    ends = [End(**json.loads(line)) for line in (folder / "ends").read_text().splitlines()]
    if status or len(ends) < len(cases):
        ends.append(
            End(kind=kind, name=cases[len(ends) - 1].name, end="bad", why=f"the process ended with status {status}")
        )
    return ends


def main(folder: Path) -> None:
    """Try all inputs below a folder."""
    ends = [end for kind, of in cases(folder).items() for end in in_limits(kind, of, folder / kind.replace(" ", "-"))]
    (folder / "ends.json").write_text(json.dumps([dataclasses.asdict(end) for end in ends]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
