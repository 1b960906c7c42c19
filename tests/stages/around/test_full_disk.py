"""A disk that is full: one error that names the file and says so, what was whole stays whole, nothing half written is left."""

import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from nasir import cli
from nasir.files import write_text
from nasir.settings import resolve
from nasir.training import checkpoints
from stages import __main__ as commands
from stages.around.journal import Journal

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "search": {"steps": 4, "warmup_steps": 0, "patch": 12, "batch": 2, "val_crop": 16, "device": "cpu"}
    | {"strategy": "darts", "precision": "32-true", "checkpoint_period": 1, "log_period": 1},
    "space": {"cells": {"layers": 2, "nodes": 1, "width": 2, "stem_channels": 3}},
    "strategy": {"darts": {"keep_from": 2}},
}
FULL = "No space left on device"


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Journals of this test are its own, and nothing is sent."""
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    monkeypatch.setenv("NASIR_SEND", "later")
    monkeypatch.delenv("NASIR_OWNER", raising=False)


@pytest.fixture
def place(little: Path) -> Path:
    """Little pictures, and settings for a search of four steps."""
    (little / "profiles").mkdir()
    for name in ("base", "demo"):
        write_text(little / f"profiles/{name}.yaml", (ROOT / f"profiles/{name}.yaml").read_text())
    write_text(little / "profiles/tiny.yaml", yaml.safe_dump(SETTINGS))
    params = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50}
    params |= {"space": "irnas", "seed": 3, "profile": "tiny"}
    write_text(little / "settings.yaml", yaml.safe_dump(resolve(params, little / "profiles")))
    return little


def fill(disk: Path) -> None:
    """Take all that is free."""
    with pytest.raises(OSError, match=FULL), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def there(disk: Path) -> list[str]:
    """Files but for the filler."""
    return sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file() and path.name != "filler")


def called(main, monkeypatch, capsys, *words: object) -> tuple[int | None, str]:
    """A command line's status, 0 where it ended by itself, and its last line on stderr."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    status: int | None = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int | None) else 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return status, (error.strip().splitlines() or [""])[-1]


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(disk):
    path = disk / "c.pt"
    checkpoints.save(path, {"a": "1"}, {"step": 1, "x": torch.zeros(20_000)})
    fill(disk)
    for _ in range(2):
        with pytest.raises(OSError, match=FULL) as caught:
            checkpoints.save(path, {"a": "1"}, {"step": 2, "x": torch.zeros(20_000)})
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert there(disk) == ["c.pt", "c.pt.before"]
    said = list[str]()
    assert checkpoints.load(path, {"a": "1"}, said.append)["step"] == 1 and said == []


def test_a_copy_of_a_checkpoint_that_finds_no_room_leaves_no_half_where_no_links_can_be_made(disk, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.link", refuse)
    path = disk / "c.pt"
    checkpoints.save(path, {"a": "1"}, {"step": 1, "x": torch.zeros(20_000)})
    fill(disk)
    with pytest.raises(OSError, match=FULL):
        checkpoints.save(path, {"a": "1"}, {"step": 2, "x": torch.zeros(20_000)})
    assert there(disk) == ["c.pt"]
    assert checkpoints.load(path, {"a": "1"}, lambda line: None)["step"] == 1


def test_a_search_whose_disk_is_full_goes_on_from_its_last_checkpoint_with_the_same_bytes(
    place, disk, monkeypatch, capsys
):
    def search(out: Path, checkpoint: Path) -> tuple[int | None, str]:
        words = ("--settings", place / "settings.yaml", "--pictures", place / "pictures", "--split", place / "split")
        paths = ("--checkpoint", checkpoint, "--out", out)
        return called(commands.main, monkeypatch, capsys, "search", *words, *paths)

    assert search(place / "alone", place / "c.pt")[0] in (0, None)
    save, steps = checkpoints.save, list[int]()

    def then_full(path: Path, *given, **named) -> None:
        save(path, *given, **named)
        steps.append(checkpoints.look(path).step)
        if len(steps) == 2:
            fill(disk)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", then_full)
        status, error = search(place / "out", disk / "c.pt")
    assert status == 1 and re.fullmatch(
        rf"error: {disk}/c\.pt must be open to this command, got: {FULL}; check path, permissions and free space\.",
        error,
    )
    assert there(disk) == ["c.pt", "c.pt.before"] and not (place / "out").exists()
    assert checkpoints.look(disk / "c.pt").step == steps[-1] < 4

    (disk / "filler").unlink()
    assert search(place / "out", disk / "c.pt")[0] in (0, None) and there(disk) == []
    for file in ("genotype.json", "history.csv"):
        assert (place / "out" / file).read_bytes() == (place / "alone" / file).read_bytes()


@pytest.mark.parametrize("where", ["--out", "--receipt"])
def test_the_output_of_a_stage_on_a_full_disk_is_one_error(place, disk, monkeypatch, capsys, where):
    fill(disk)
    paths = {"--out": place / "made", "--receipt": place / "receipt.json"}
    paths[where] = disk / "made" if where == "--out" else disk / "receipt.json"
    options = [word for pair in paths.items() for word in pair]
    words = ("split", "--settings", place / "settings.yaml", "--pictures", place / "pictures", *options)
    status, error = called(commands.main, monkeypatch, capsys, *words)
    assert status == 1 and re.match(rf"error: {disk}/\S+\.json must be open to this command, got: {FULL}; check", error)
    assert there(disk) == []


def test_a_restored_picture_on_a_full_disk_is_one_error_and_those_before_it_are_whole(
    disk, tmp_path, monkeypatch, capsys
):
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for name in "ab":
        (tmp_path / "noisy").mkdir(exist_ok=True)
        Image.fromarray(noisy).save(tmp_path / f"noisy/{name}.png")
    (disk / "filler").write_bytes(bytes((1 << 20) - 6000))  # room for one
    command = ("restore", tmp_path / "noisy", "--out", disk / "out", "--sigma", "50")
    status, error = called(cli.main, monkeypatch, capsys, *command)
    assert status == 2 and error == f"error: {disk}/out/b.png cannot be written ({FULL}); name another file."
    assert there(disk) == ["out/a.png"]
    with Image.open(disk / "out/a.png") as restored:
        assert np.asarray(restored).shape == (64, 64)


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_copy_for_mlflow_that_finds_no_room_is_named_and_not_what_is_copied(disk, tmp_path, is_folder):
    source = tmp_path / "made"
    (source / "figures").mkdir(parents=True)
    (source / "figures/a.png").write_bytes(bytes(2 << 20))
    record = Journal(disk / "a.jsonl")
    with pytest.raises(OSError, match=FULL) as caught:
        record.artifact(source if is_folder else source / "figures/a.png")
    record._file.close()
    assert caught.value.filename.startswith(f"{disk}/") and caught.value.filename.endswith("a.png")
