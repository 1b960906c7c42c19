"""The tables of a profile in pieces: as much as fits into some hours, then the state put where git can carry it."""

import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nasir.files import sha256_file, write_text
from stages.around import pausing
from stages.tables import study

NICE = 19
LEFT = ("images", "data")
"""Folders of a study that every machine makes for itself, with the same files."""

LOCK, LAST = "dvc.lock", "carried"
"""DVC's lock, and the file of a study that says which state this clone put away or took last, by its SHA-256."""


def run(*, profile: str, hours: float, tables: Path, carried: Path) -> int:
    """Go on with a study, from the carried state where this clone has none; the exit status of what ran, 0 for a pause.

    Args:
        profile: of the study.
        hours: no checkpoint is left and no cell begun after that; 0 = no limit.
        tables: the folder of its DVC project.
        carried: folder of the carried states, one file for each profile; gone when the study is done.

    Raises:
        ValueError: if the carried state is damaged, or another one than this clone had last.
    """
    archive, home = carried / f"{profile}.tar.xz", tables / "runs" / profile
    if archive.is_file():
        _take(archive, tables, home)
    study.choose(tables / "params.yaml", profile, tables / "study.yaml")
    mark = home / "paused"
    mark.unlink(missing_ok=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"NASIR_SEND": "later", pausing.MARK: str(mark.resolve())}
    if hours > 0:
        environment[pausing.UNTIL] = str(time.time() + 3600 * hours)
    command = [str(Path(sys.executable).with_name("dvc")), "repro", "page"]
    ended = subprocess.run(command, cwd=tables, env=environment, check=False, preexec_fn=lambda: os.nice(NICE))
    if ended.returncode == 0:
        archive.unlink(missing_ok=True)
        print(f"done: {home / 'page/tables.md'}")
        return 0
    if not mark.is_file():
        return ended.returncode
    mark.unlink()
    pack(archive, tables, profile)
    write_text(home / LAST, sha256_file(archive))
    size = archive.stat().st_size / 2**20
    print(
        f"paused, {describe(tables, profile)}; {archive} ({size:.1f} MiB) carries it. Run the same command again to go on."
    )
    return 0


def _take(archive: Path, tables: Path, home: Path) -> None:
    """Take the carried state where this clone has none, and refuse one that is not what it had last."""
    if not home.exists():
        unpack(archive, tables, home.name)
        write_text(home / LAST, sha256_file(archive))
        print(f"{archive}: carried on from there", file=sys.stderr)
        return
    last = (home / LAST).read_text() if (home / LAST).is_file() else ""
    if last != sha256_file(archive):
        raise ValueError(
            f"{archive} must be the state that this clone put away last, got another one; remove {home} to take it, or the "
            "file to go on with what this clone has."
        )


def describe(tables: Path, profile: str) -> str:
    """How many trainings of a study are done, and how far the one is that was under way."""
    cells = yaml.safe_load((tables / "study.yaml").read_text())["study"]["runs"].values()
    done = sum((tables / f"runs/{profile}/trained/{cell['task']}/{cell['name']}/cell.json").is_file() for cell in cells)
    under_way = [pausing.describe(path) for path in _checkpoints(tables, profile)]
    return "; ".join([f"{done} of {len(cells)} trainings done", *under_way])


def pack(archive: Path, tables: Path, profile: str) -> None:
    """Put what cannot be made again in seconds into one file: DVC's lock, checkpoints, found and trained networks, scores."""
    temporary = archive.with_name(f".{archive.name}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(temporary, "w:xz") as file:
        for path in _carried(tables, profile):
            file.add(path, path.relative_to(tables))
    temporary.replace(archive)


def _checkpoints(tables: Path, profile: str) -> list[Path]:
    return sorted((tables / "runs/checkpoints").glob(f"{profile}-*.pt"))


def _carried(tables: Path, profile: str) -> Iterator[Path]:
    if (tables / LOCK).is_file():
        yield tables / LOCK
    yield from _checkpoints(tables, profile)
    for path in sorted((tables / "runs" / profile).glob("*")):
        if path.name not in (*LEFT, LAST):
            yield path


def unpack(archive: Path, tables: Path, profile: str) -> None:
    """Bring back what `pack` put away; of DVC's lock, the stages of this profile.

    Raises:
        ValueError: for a damaged file, of which nothing is kept.
    """
    fresh = tables / "runs" / f".{archive.name}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with lzma.open(archive) as whole:  # to its end, where its checksum is
            while whole.read(2**20):
                pass
        with tarfile.open(archive, "r:xz") as file:
            file.extractall(fresh, filter="data")
        theirs, ours = (_stages(folder / LOCK) for folder in (fresh, tables))
        for source in sorted(path for path in fresh.rglob("*") if path.is_file() and path != fresh / LOCK):
            target = tables / source.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        stages = ours | {name: stage for name, stage in theirs.items() if f"@{profile}-" in name}
        write_text(tables / LOCK, yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, yaml.YAMLError, KeyError) as error:
        raise ValueError(
            f"{archive} must be the state that a pause left, got {error}; restore it (git checkout) or remove it."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _stages(lock: Path) -> dict[str, Any]:
    """The stages of a lock; none where there is no file."""
    found: dict[str, Any] = yaml.safe_load(lock.read_text())["stages"] if lock.is_file() else {}
    return found
