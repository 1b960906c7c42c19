"""The tables in pieces: what a pause puts away comes back in another clone, and nothing else."""

import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from nasir.files import write_json, write_text
from nasir.training import checkpoints
from stages import __main__ as commands
from stages.around import pausing
from stages.tables import pieces

ROOT = Path(__file__).parents[3]


def clone(place: Path) -> Path:
    (place / "tables").mkdir(parents=True)
    shutil.copy(ROOT / "tables/params.yaml", place / "tables")
    return place / "tables"


def dvc(monkeypatch, tables: Path, status: int, is_pause: bool = True) -> list[dict[str, Any]]:
    """In place of DVC: trains a cell to its end and leaves a second one half-way; gives what it was called with."""
    calls: list[dict[str, Any]] = []

    def repro(command: list[str], cwd: Path, env: dict[str, str], **others: Any) -> SimpleNamespace:
        calls.append({"command": command, "until": env.get(pausing.UNTIL), "had": [*_files(cwd)]})
        stages = {"train@overnight-denoise-irnas-30-seed0": {"cmd": "x"}, "train@demo-one": {"cmd": "theirs"}}
        write_text(cwd / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}))
        write_json(cwd / "runs/overnight/trained/denoise/irnas-30-seed0/cell.json", {"psnr": 1})
        write_text(cwd / "runs/overnight/search/denoise-profile/genotype.json", "found")
        write_text(cwd / "runs/overnight/data/denoise/pictures/1.png", "large")
        write_text(cwd / "runs/overnight/images/denoise/1.jpg", "large")
        state = {"step": 20, "history": []}
        checkpoints.save(cwd / "runs/checkpoints/overnight-second.pt", {}, state, pace=9.0, steps=80)
        checkpoints.save(cwd / "runs/checkpoints/demo-other.pt", {}, state, steps=80)
        if is_pause:
            Path(env[pausing.MARK]).touch()
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(pieces.subprocess, "run", repro)
    monkeypatch.setattr(pieces.time, "time", lambda: 1000.0)
    return calls


def _files(tables: Path) -> list[str]:
    return sorted(str(p.relative_to(tables)) for p in tables.rglob("*") if p.is_file())


def go(place: Path, hours: float) -> int:
    return pieces.run(profile="overnight", hours=hours, tables=place / "tables", carried=place / "models/in-progress")


CARRIED = [
    "runs/checkpoints/overnight-second.pt", "runs/overnight/search/denoise-profile/genotype.json",
    "runs/overnight/trained/denoise/irnas-30-seed0/cell.json",
]  # fmt: skip
ARCHIVE = "models/in-progress/overnight.tar.xz"


def carry(source: Path, target: Path) -> None:
    (target / ARCHIVE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / ARCHIVE, target / ARCHIVE)


def test_a_pause_is_carried_into_another_clone(tmp_path, monkeypatch, capsys):
    calls = dvc(monkeypatch, clone(tmp_path / "a"), status=1)
    assert go(tmp_path / "a", hours=1) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "paused, 1 of 8 trainings done; overnight-second at step 20 of 80; 9.000 s a step, 0:09:00 left; "
    )
    assert calls[0]["until"] == "4600.0" and calls[0]["command"][1:] == ["repro", "page"]

    other = clone(tmp_path / "b")
    ours = {"train@demo-one": {"cmd": "ours"}, "train@overnight-denoise-irnas-30-seed0": {"cmd": "old"}}
    write_text(other / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": ours}))
    carry(tmp_path / "a", tmp_path / "b")
    calls = dvc(monkeypatch, other, status=1)
    assert go(tmp_path / "b", hours=1) == 0
    assert "carried on from there" in capsys.readouterr().err
    assert set(CARRIED) <= set(calls[0]["had"]) and not any(
        "large" in name or "demo" in name for name in calls[0]["had"]
    )

    third = clone(tmp_path / "c")
    pieces.unpack(tmp_path / "a" / ARCHIVE, third, "overnight")
    assert _files(third) == ["dvc.lock", "params.yaml", *CARRIED]
    for name in CARRIED:
        assert (third / name).read_bytes() == (tmp_path / "a/tables" / name).read_bytes()
    shutil.copy(other / "params.yaml", third)
    write_text(third / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": ours}))
    pieces.unpack(tmp_path / "a" / ARCHIVE, third, "overnight")
    stages = yaml.safe_load((third / "dvc.lock").read_text())["stages"]
    assert stages == {"train@demo-one": {"cmd": "ours"}, "train@overnight-denoise-irnas-30-seed0": {"cmd": "x"}}


def test_a_clone_goes_on_with_its_own_and_refuses_another_state_than_it_had_last(tmp_path, monkeypatch):
    for name in "ab":
        dvc(monkeypatch, clone(tmp_path / name), status=1)
        go(tmp_path / name, hours=1)
    go(tmp_path / "a", hours=1)
    write_text(tmp_path / "b/tables/runs/overnight/search/more.json", "further")
    go(tmp_path / "b", hours=1)
    carry(tmp_path / "b", tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"must be the state that this clone put away last, got another one; remove .*/runs/over"
    ):
        go(tmp_path / "a", hours=1)
    shutil.rmtree(tmp_path / "a/tables/runs/overnight")
    assert go(tmp_path / "a", hours=1) == 0
    assert (tmp_path / "a/tables/runs/overnight/search/more.json").read_text() == "further"


def test_when_all_is_done_nothing_is_carried_any_more(tmp_path, monkeypatch, capsys):
    tables = clone(tmp_path)
    dvc(monkeypatch, tables, status=1)
    go(tmp_path, hours=1)
    calls = dvc(monkeypatch, tables, status=0, is_pause=False)
    assert go(tmp_path, hours=0) == 0
    assert calls[0]["until"] is None and not (tmp_path / ARCHIVE).exists()
    assert capsys.readouterr().out.splitlines()[-1].endswith("tables/runs/overnight/page/tables.md")


@pytest.mark.parametrize("hours", [0, 2])
def test_what_fails_is_no_pause(tmp_path, monkeypatch, hours):
    dvc(monkeypatch, clone(tmp_path), status=255, is_pause=False)
    write_text(tmp_path / "tables/runs/overnight/paused", "")  # of an earlier call
    assert go(tmp_path, hours) == 255
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("damage", ["short", "other", "flipped"])
def test_a_damaged_state_is_refused_and_nothing_of_it_is_kept(tmp_path, monkeypatch, damage):
    dvc(monkeypatch, clone(tmp_path / "a"), status=1)
    go(tmp_path / "a", hours=1)
    content = (tmp_path / "a" / ARCHIVE).read_bytes()
    place = len(content) // 2
    flipped = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
    tables = clone(tmp_path / "b")
    carry(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / ARCHIVE).write_bytes({"short": content[:200], "other": b"nothing", "flipped": flipped}[damage])
    with pytest.raises(ValueError, match=r"overnight\.tar\.xz must be the state that a pause left"):
        go(tmp_path / "b", hours=1)
    assert _files(tables) == ["params.yaml"]


def test_a_state_that_leads_out_of_the_folder_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as file:
        write_text(tmp_path / "x", "text")
        file.add(tmp_path / "x", "../outside")
    (tmp_path / "tables").mkdir()
    with pytest.raises(ValueError, match=r"a\.tar\.xz must be"):
        pieces.unpack(tmp_path / "a.tar.xz", tmp_path / "tables", "overnight")
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
    assert "python -m stages overnight" in line and line.endswith("$(if $(HOURS),--hours $(HOURS))")
    assert commands.overnight in commands.OTHERS
