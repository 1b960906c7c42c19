"""News of long work: a bar on a terminal, now and then a plain line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from nasir.files import Log


class Pace:
    """Steps done, their rate and the time left, from the first step that was seen on: a resumed run starts late."""

    def __init__(self, total: int | None, clock: Callable[[], float]) -> None:
        self.total = total
        self.step = 0
        self.metrics: dict[str, float] = {}
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._latest = 0.0

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Note that `step` steps are done and keep the latest value of each metric."""
        self.step = step
        self.metrics |= metrics
        self._latest = self._clock()
        if self._first is None:
            self._first = (step, self._latest)

    @property
    def rate(self) -> float | None:
        """Steps a second, or None until two different steps were seen."""
        if self._first is None or self._latest <= self._first[1] or self.step <= self._first[0]:
            return None
        return (self.step - self._first[0]) / (self._latest - self._first[1])

    @property
    def seconds_left(self) -> float | None:
        """(total - step) / rate, or None while either is not known."""
        if self.rate is None or self.total is None:
            return None
        return max(self.total - self.step, 0) / self.rate

    def parts(self) -> tuple[str, str, str, str]:
        """Step of total, rate, time left and metrics as text; what is not known yet is empty."""
        count = f"{self.step}/{self.total}" if self.total is not None else str(self.step)
        rate = f"{self.rate:.3g} steps/s" if self.rate is not None else ""
        left = f"{_duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        metrics = " ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return count, rate, left, metrics


@contextmanager
def progress(
    stage: str,
    total: int | None,
    *,
    stream: TextIO | None = None,
    interval: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Log]:
    """Give a `log(step, metrics)` that shows how far a stage has come.

    Args:
        stage: name in front of the line.
        total: number of steps to do, or None when that is not known.
        stream: where to write; None means standard error.
        interval: without a terminal, least seconds between two lines; the last state is always written.
        clock: seconds, for the rate.
    """
    stream = sys.stderr if stream is None else stream
    pace = Pace(total, clock)
    show = _bar if stream.isatty() else _lines
    with show(stage, pace, stream, interval, clock) as refresh:

        def log(step: int, metrics: dict[str, float]) -> None:
            pace.update(step, metrics)
            refresh()

        yield log


@contextmanager
def _lines(
    stage: str, pace: Pace, stream: TextIO, interval: float, clock: Callable[[], float]
) -> Iterator[Callable[[], None]]:
    """Plain lines: the first news, then at most one line in `interval` seconds, and the last state."""
    printed_at: float | None = None
    is_pending = False

    def write() -> None:
        print(f"{stage}: " + "  ".join(part for part in pace.parts() if part), file=stream, flush=True)

    def refresh() -> None:
        nonlocal printed_at, is_pending
        is_pending = printed_at is not None and clock() - printed_at < interval
        if not is_pending:
            printed_at = clock()
            write()

    try:
        yield refresh
    finally:
        if is_pending:
            write()


@contextmanager
def _bar(
    stage: str, pace: Pace, stream: TextIO, interval: float, clock: Callable[[], float]
) -> Iterator[Callable[[], None]]:
    """A bar that is redrawn a few times a second; `interval` and `clock` have no say here."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[news]}", markup=False),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(file=stream), refresh_per_second=4) as bar:
        task = bar.add_task(stage, total=pace.total, news="")

        def refresh() -> None:
            bar.update(task, completed=pace.step, news="  ".join(part for part in pace.parts() if part))

        yield refresh


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds: 3725 is 1:02:05, 65 is 1:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
