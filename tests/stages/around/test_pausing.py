"""A training in pieces: where it ends, what it says, and that it carries on."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nasir.training import checkpoints
from stages import __main__ as commands
from stages.around import pausing

MADE_WITH = {"retrain.steps": "2000", "code": "abc"}


def state(step: int, *scores: float) -> dict[str, Any]:
    return {"step": step, "history": [(place, "psnr_db", score) for place, score in enumerate(scores, start=1)]}


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, seconds; the tests set it."""
    now = [1000.0]
    monkeypatch.setattr(pausing.time, "time", lambda: now[0])
    monkeypatch.setattr(pausing.time, "monotonic", lambda: now[0])
    return now


def test_without_an_end_a_training_is_kept_and_goes_on(tmp_path, clock, monkeypatch):
    monkeypatch.delenv(pausing.UNTIL, raising=False)
    pausing.keeper(tmp_path / "c.pt", MADE_WITH, None, 2000)(state(7))
    assert checkpoints.load(tmp_path / "c.pt", MADE_WITH)["step"] == 7


def test_after_the_moment_the_next_checkpoint_is_the_last(tmp_path, clock, monkeypatch, capsys):
    monkeypatch.setenv(pausing.UNTIL, "1100")
    save = pausing.keeper(tmp_path / "run.pt", MADE_WITH, None, 2000)
    clock[0] = 1099.0
    save(state(50, 20.0))
    clock[0] = 1100.0
    with pytest.raises(SystemExit) as ended:
        save(state(100, 20.0, 26.125, 25.5))
    assert ended.value.code == pausing.PAUSED
    # a hundred steps in as many seconds, 1,900 to go
    assert capsys.readouterr().err == (
        "paused: run at step 100 of 2,000; 1.000 s a step, 0:31:40 left; PSNR on V 25.50 dB, at best 26.12. "
        "Run the same command again to carry on.\n"
    )
    assert checkpoints.load(tmp_path / "run.pt", MADE_WITH)["step"] == 100


def test_the_pace_is_that_of_this_piece(tmp_path, clock, monkeypatch):
    monkeypatch.delenv(pausing.UNTIL, raising=False)
    save = pausing.keeper(tmp_path / "c.pt", MADE_WITH, state(500), 2000)
    clock[0] += 10
    save(state(520))
    assert checkpoints.look(tmp_path / "c.pt").pace == pytest.approx(0.5)


def test_candidates_behind_the_steps_count_and_a_pause_leaves_its_mark(tmp_path, clock, monkeypatch, capsys):
    monkeypatch.setenv(pausing.UNTIL, "1000")
    monkeypatch.setenv(pausing.MARK, str(tmp_path / "mark"))
    with pytest.raises(SystemExit):
        pausing.keeper(tmp_path / "run.pt", MADE_WITH, None, 484)({"step": 400, "history": [(460, "psnr_db", 23.5)]})
    assert capsys.readouterr().err.startswith(
        "paused: run at step 460 of 484; 0.000 s a step, 0:00:00 left; PSNR on V 23.50"
    )
    assert (tmp_path / "mark").is_file()


def test_a_state_without_a_step_is_behind_its_last_news(tmp_path, clock, monkeypatch):
    monkeypatch.delenv(pausing.UNTIL, raising=False)
    save = pausing.keeper(tmp_path / "c.pt", {"search.steps": "7"}, None, 40)
    clock[0] += 9
    save({"history": [(1, "score", 1.0), (3, "score", 2.0)]})
    found = checkpoints.look(tmp_path / "c.pt")
    assert (found.step, found.steps, found.pace, found.scores) == (3, 40, 3.0, [])


def test_a_strategy_of_ones_own_pauses_though_its_state_tells_no_step(tmp_path, clock, monkeypatch, capsys):
    monkeypatch.setenv(pausing.UNTIL, "1000")
    with pytest.raises(SystemExit) as ended:
        pausing.keeper(tmp_path / "mine.pt", {"search.steps": "40"}, {"tried": [1]}, 40)({"tried": [1, 2]})
    assert ended.value.code == pausing.PAUSED
    assert capsys.readouterr().err == (
        "paused: mine on its way, its strategy does not tell how far. Run the same command again to carry on.\n"
    )
    assert checkpoints.load(tmp_path / "mine.pt", {"search.steps": "40"}) == {"tried": [1, 2]}


@pytest.mark.parametrize("text", ["soon", "2026-11-26"])
def test_a_moment_that_is_no_number_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setenv(pausing.UNTIL, text)
    with pytest.raises(ValueError, match=rf"NASIR_UNTIL must be a moment in seconds since 1970, got '{text}'"):
        pausing.keeper(tmp_path / "c.pt", MADE_WITH, None, 2000)


def call(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(commands.build("status"), ["status", "--checkpoints", str(folder), *words])


def test_the_command_says_how_far_each_training_is(tmp_path):
    assert call(tmp_path / "nowhere").output == f"{tmp_path / 'nowhere'}: no training is under way.\n"
    checkpoints.save(tmp_path / "b.pt", MADE_WITH, state(2000, 26.0), pace=0.5, steps=2000)
    checkpoints.save(tmp_path / "a.pt", MADE_WITH, state(0), steps=2000)
    assert call(tmp_path).output.splitlines() == [
        "a at step 0 of 2,000",
        "b at step 2,000 of 2,000; PSNR on V 26.00 dB, at best 26.00",
    ]


def test_a_program_reads_how_far_each_training_is(tmp_path):
    nothing = {"folders": [str(tmp_path)], "trainings": []}
    assert json.loads(call(tmp_path, "--json").output) == nothing
    checkpoints.save(tmp_path / "a.pt", MADE_WITH, state(500, 25.5), pace=0.5, steps=2000)
    checkpoints.save(tmp_path / "b.pt", {"search.steps": "40"}, {"tried": [1]}, steps=40)

    first, second = json.loads(call(tmp_path, "--json").output)["trainings"]

    expected = {"step": 500, "steps": 2000, "seconds_per_step": 0.5, "seconds_left": 750.0}
    assert first == {"checkpoint": str(tmp_path / "a.pt"), **expected, "psnr_db": 25.5, "best_psnr_db": 25.5}
    known = {"checkpoint": str(tmp_path / "b.pt"), "steps": 40}
    assert {key: value for key, value in second.items() if value is not None} == known


def test_what_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"nothing")
    found = call(tmp_path)
    assert isinstance(found.exception, ValueError)
    assert "a.pt must be a whole nasir checkpoint" in str(found.exception)
