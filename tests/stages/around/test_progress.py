"""Progress: lines where there is no terminal, a bar where there is one."""

import io

import pytest

from stages.around.progress import Pace, progress


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_come_at_most_once_in_an_interval_and_the_last_state_is_written():
    clock, stream = Clock(), io.StringIO()
    with progress("search", 100, stream=stream, interval=10, clock=clock) as log:
        for step in range(1, 26):
            clock.now += 1.0  # so 1 step/s
            log(step, {"train_loss": step / 10})

    assert stream.getvalue().splitlines() == [
        "search: 1/100  train_loss=0.1",
        "search: 11/100  1 steps/s  1:29 left  train_loss=1.1",
        "search: 21/100  1 steps/s  1:19 left  train_loss=2.1",
        "search: 25/100  1 steps/s  1:15 left  train_loss=2.5",
    ]


def test_the_rate_counts_from_the_step_that_a_resumed_run_starts_with():
    clock = Clock()
    pace = Pace(10_000, clock)
    pace.update(5000, {})
    clock.now += 20.0
    pace.update(5040, {"psnr_db": 25.0})

    assert pace.rate == pytest.approx(2.0)  # 40 steps in 20 s
    assert pace.seconds_left == pytest.approx(2480.0)  # 4960 steps at 2 steps/s
    assert pace.parts() == ("5040/10000", "2 steps/s", "41:20 left", "psnr_db=25")


def test_without_a_total_there_is_no_time_left():
    clock = Clock()
    pace = Pace(None, clock)
    pace.update(1, {})
    clock.now += 0.5
    pace.update(2, {})

    assert pace.parts() == ("2", "2 steps/s", "", "")


def test_hours_are_written_as_hours():
    clock = Clock()
    pace = Pace(3726, clock)
    pace.update(0, {})
    clock.now += 1.0
    pace.update(1, {})

    assert pace.parts()[2] == "1:02:05 left"  # 3725 s


def test_the_last_state_is_written_when_the_stage_fails():
    clock, stream = Clock(), io.StringIO()
    with pytest.raises(ValueError, match="stop"), progress("retrain", 9, stream=stream, clock=clock) as log:
        log(1, {"loss": 1.0})
        log(2, {"loss": 0.5})
        raise ValueError("stop")

    assert stream.getvalue().splitlines() == ["retrain: 1/9  loss=1", "retrain: 2/9  loss=0.5"]


def test_a_stage_without_news_writes_nothing():
    stream = io.StringIO()
    with progress("derive", None, stream=stream):
        pass

    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_with_step_rate_time_left_and_metrics(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    clock, stream = Clock(), Terminal()
    with progress("search", 3, stream=stream, clock=clock) as log:
        log(1, {"psnr_db": 25.25})
        clock.now += 5.0
        log(2, {"psnr_db": 25.5})

    assert "2/3  0.2 steps/s  0:05 left  psnr_db=25.5" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
