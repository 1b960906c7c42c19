"""A call that takes too long is ended, and other timers go off when they would have."""

import signal
import threading
import time

import pytest

from nasir.deadline import within


@pytest.fixture
def rung():
    """When another timer went off."""
    times: list[float] = []
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, lambda *_: times.append(time.monotonic()))
    yield times
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)


def test_a_call_that_swallows_every_exception_is_ended(rung):
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"), within(0.05):
        while True:
            try:
                wait(10)
            except Exception:  # as a library does that tries again
                continue
    assert time.monotonic() - start < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_call_in_time_is_left_alone_and_so_is_its_error(rung):
    with within(5):
        pass
    with pytest.raises(KeyError), within(5):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and rung == []


def test_a_timer_for_later_goes_off_when_it_would_have(rung):
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(TimeoutError), within(0.05):
        wait(5)
    assert rung == [] and 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 0.26
    wait(0.4)
    assert len(rung) == 1 and rung[0] - start >= 0.25


def test_a_timer_for_sooner_goes_off_and_nothing_else_is_done(rung):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with within(0.2):
        wait(0.5)
    assert len(rung) == 1


def test_another_thread_than_the_main_one_has_no_bound():
    found: list[str] = []

    def call() -> None:
        with within(0.01):
            time.sleep(0.1)
        found.append("ended by itself")

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert found == ["ended by itself"]
