"""The tables in pieces: what a pause puts away comes back in another clone, and nothing else."""

import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from nasir.files import write_json, write_text
from nasir.training import checkpoints
from stages import __main__ as commands
from stages.around import pausing
from stages.tables import pieces

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(pieces.time, "time", lambda: now[0])
    return now


def clone(place: Path) -> Path:
    (place / "tables").mkdir(parents=True)
    shutil.copy(ROOT / "tables/params.yaml", place / "tables")
    return place / "tables"


def dvc(monkeypatch, tables: Path, clock: list[float], takes: float, status: int) -> list[dict[str, Any]]:
    """In place of DVC: trains a cell to its end and leaves a second one half-way; gives what it was called with."""
    calls: list[dict[str, Any]] = []

    def repro(command: list[str], cwd: Path, env: dict[str, str], **others: Any) -> SimpleNamespace:
        calls.append(
            {"command": command, "until": env.get(pausing.UNTIL), "had": sorted(p.name for p in cwd.iterdir())}
        )
        write_text(cwd / "dvc.lock", "locked")
        write_json(cwd / "runs/overnight/trained/denoise/irnas-30-seed0/cell.json", {"psnr": 1})
        write_text(cwd / "runs/overnight/search/denoise-profile/genotype.json", "found")
        write_text(cwd / "runs/overnight/data/denoise/pictures/1.png", "large")
        write_text(cwd / "runs/overnight/images/denoise/1.jpg", "large")
        checkpoints.save(cwd / "runs/checkpoints/second.pt", {"retrain.steps": "80"}, {"step": 20, "history": []}, 9.0)
        clock[0] += takes
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(pieces.subprocess, "run", repro)
    return calls


def go(place: Path, hours: float) -> int:
    return pieces.run(profile="overnight", hours=hours, tables=place / "tables", carried=place / "models/in-progress")


def test_a_pause_is_carried_into_another_clone(tmp_path, clock, monkeypatch, capsys):
    calls = dvc(monkeypatch, clone(tmp_path / "a"), clock, takes=3601, status=1)
    assert go(tmp_path / "a", hours=1) == 0
    said = capsys.readouterr().out
    assert said.startswith("paused, 1 of 5 trainings done; second at step 20 of 80; 9.000 s a step, 0:09:00 left; ")
    assert calls[0]["until"] == "4600.0" and calls[0]["command"][1:] == ["repro", "page"]

    archive = tmp_path / "b/models/in-progress/overnight.tar.xz"
    clone(tmp_path / "b")
    archive.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "a/models/in-progress/overnight.tar.xz", archive)
    pieces.unpack(archive, tmp_path / "b/tables")
    found = sorted(str(p.relative_to(tmp_path / "b/tables")) for p in (tmp_path / "b/tables").rglob("*") if p.is_file())
    assert found == [
        "dvc.lock", "params.yaml", "runs/checkpoints/second.pt", "runs/overnight/search/denoise-profile/genotype.json",
        "runs/overnight/trained/denoise/irnas-30-seed0/cell.json",
    ]  # fmt: skip
    for name in found:
        assert (tmp_path / "b/tables" / name).read_bytes() == (tmp_path / "a/tables" / name).read_bytes()


def test_only_a_clone_without_a_state_of_its_own_takes_the_carried_one(tmp_path, clock, monkeypatch):
    tables = clone(tmp_path)
    calls = dvc(monkeypatch, tables, clock, takes=7200, status=1)
    assert go(tmp_path, hours=1) == 0
    write_text(tables / "runs/checkpoints/second.pt", "further")
    go(tmp_path, hours=1)
    assert "runs" in calls[1]["had"]
    shutil.rmtree(tables)
    clone(tmp_path)
    go(tmp_path, hours=1)
    assert {"dvc.lock", "runs"} <= set(calls[2]["had"])


def test_when_all_is_done_nothing_is_carried_any_more(tmp_path, clock, monkeypatch, capsys):
    tables = clone(tmp_path)
    dvc(monkeypatch, tables, clock, takes=7200, status=1)
    go(tmp_path, hours=1)
    calls = dvc(monkeypatch, tables, clock, takes=7200, status=0)
    assert go(tmp_path, hours=0) == 0
    assert calls[0]["until"] is None and not (tmp_path / "models/in-progress/overnight.tar.xz").exists()
    assert capsys.readouterr().out.splitlines()[-1].endswith("tables/runs/overnight/page/tables.md")


@pytest.mark.parametrize(("hours", "takes"), [(0, 99999), (2, 60)], ids=["without an end", "before the end"])
def test_what_fails_is_no_pause(tmp_path, clock, monkeypatch, hours, takes):
    dvc(monkeypatch, clone(tmp_path), clock, takes=takes, status=255)
    assert go(tmp_path, hours) == 255
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("damage", ["short", "other"])
def test_a_damaged_state_is_refused_and_no_lock_is_left(tmp_path, clock, monkeypatch, damage):
    tables = clone(tmp_path)
    dvc(monkeypatch, tables, clock, takes=7200, status=1)
    go(tmp_path, hours=1)
    archive = tmp_path / "models/in-progress/overnight.tar.xz"
    archive.write_bytes(archive.read_bytes()[:200] if damage == "short" else b"nothing")
    (tables / "dvc.lock").unlink()
    with pytest.raises(ValueError, match=r"overnight\.tar\.xz must be the state that a pause left"):
        go(tmp_path, hours=1)
    assert not (tables / "dvc.lock").exists()


def test_a_state_that_leads_out_of_the_folder_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as file:
        write_text(tmp_path / "x", "text")
        file.add(tmp_path / "x", "../outside")
    (tmp_path / "tables").mkdir()
    with pytest.raises(ValueError, match=r"a\.tar\.xz must be"):
        pieces.unpack(tmp_path / "a.tar.xz", tmp_path / "tables")
    assert not (tmp_path / "outside").exists()


def test_no_stage_begins_after_the_moment(monkeypatch, capsys):
    monkeypatch.setenv(pausing.UNTIL, "1")
    found = CliRunner().invoke(commands.build("derive"), ["derive"], catch_exceptions=True)
    assert found.exit_code == 2  # options are missing: a wrong call is told first
    with pytest.raises(SystemExit) as ended:
        pausing.begin("derive")
    assert ended.value.code == pausing.PAUSED and capsys.readouterr().err.startswith("paused before derive.")
    monkeypatch.delenv(pausing.UNTIL)
    pausing.begin("derive")


def test_make_overnight_calls_the_command():
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "stages overnight" in line]
    assert line.endswith("python -m stages overnight $(if $(HOURS),--hours $(HOURS))")
    assert commands.overnight in commands.OTHERS
