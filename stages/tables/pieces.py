"""The tables of a profile in pieces: as much as fits into some hours, then the state put where git can carry it."""

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from nasir.files import write_bytes
from stages.around import pausing
from stages.tables import study

NICE = 19
LEFT = ("images", "data")
"""Folders of a study that every machine makes for itself, with the same files."""


def run(*, profile: str, hours: float, tables: Path, carried: Path) -> int:
    """Go on with a study, from the carried state where this clone has none; the exit status of what ran, 0 for a pause.

    Args:
        profile: of the study.
        hours: no checkpoint is left and no cell begun after that; 0 = no limit.
        tables: the folder of its DVC project.
        carried: folder of the carried states, one file for each profile; gone when the study is done.
    """
    archive = carried / f"{profile}.tar.xz"
    if archive.is_file() and not (tables / "dvc.lock").exists():
        unpack(archive, tables)
        print(f"{archive}: carried on from there", file=sys.stderr)
    study.choose(tables / "params.yaml", profile, tables / "study.yaml")
    environment = os.environ | {"NASIR_SEND": "later"}
    until = time.time() + 3600 * hours
    if hours > 0:
        environment[pausing.UNTIL] = str(until)
    command = [str(Path(sys.executable).with_name("dvc")), "repro", "page"]
    ended = subprocess.run(command, cwd=tables, env=environment, check=False, preexec_fn=lambda: os.nice(NICE))
    if ended.returncode == 0:
        archive.unlink(missing_ok=True)
        print(f"done: {tables / 'runs' / profile / 'page/tables.md'}")
        return 0
    if hours <= 0 or time.time() < until:
        return ended.returncode
    pack(archive, tables, profile)
    size = archive.stat().st_size / 2**20
    print(
        f"paused, {describe(tables, profile)}; {archive} ({size:.1f} MiB) carries it. Run the same command again to go on."
    )
    return 0


def describe(tables: Path, profile: str) -> str:
    """How many trainings of a study are done, and how far the one is that was under way."""
    cells = yaml.safe_load((tables / "study.yaml").read_text())["study"]["runs"].values()
    done = sum((tables / f"runs/{profile}/trained/{cell['task']}/{cell['name']}/cell.json").is_file() for cell in cells)
    under_way = [pausing.describe(path) for path in sorted((tables / "runs/checkpoints").glob("*.pt"))]
    return "; ".join([f"{done} of {len(cells)} trainings done", *under_way])


def pack(archive: Path, tables: Path, profile: str) -> None:
    """Put what cannot be made again in seconds into one file: DVC's lock, checkpoints, found and trained networks, scores."""
    temporary = archive.with_name(f".{archive.name}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(temporary, "w:xz") as file:
        for path in _carried(tables, profile):
            file.add(path, path.relative_to(tables))
    temporary.replace(archive)


def _carried(tables: Path, profile: str) -> Iterator[Path]:
    if (tables / "dvc.lock").is_file():
        yield tables / "dvc.lock"
    yield from sorted((tables / "runs/checkpoints").glob("*.pt"))
    for folder in sorted((tables / f"runs/{profile}").glob("*")):
        if folder.name not in LEFT:
            yield folder


def unpack(archive: Path, tables: Path) -> None:
    """Bring back what `pack` put away.

    Raises:
        ValueError: for a damaged file; nothing of it is kept.
    """
    try:
        with tarfile.open(archive, "r:xz") as file:
            lock = [member for member in file.getmembers() if member.name == "dvc.lock"]
            file.extractall(tables, [m for m in file.getmembers() if m not in lock], filter="data")
            for member in lock:  # last: where it is, all is there
                source = file.extractfile(member)
                assert source is not None
                write_bytes(tables / "dvc.lock", source.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(
            f"{archive} must be the state that a pause left, got {error}; restore it (git checkout) or remove it."
        ) from error
