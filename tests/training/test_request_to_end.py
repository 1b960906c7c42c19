"""A request to end, by signals and in trainings that keep no state."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nasir import stopping

ROOT = Path(__file__).parents[2]
WAITING = """
import time
from nasir import stopping
assert not stopping.is_listening()
stopping.listen()
assert stopping.is_listening() and not stopping.is_asked()
print("up", flush=True)
while not stopping.is_asked():
    time.sleep(0.01)
print("asked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_the_first_signal_is_a_request_and_the_second_ends_the_process(number):
    with subprocess.Popen([sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n" and process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=30) == -number


def test_a_training_whose_state_nobody_keeps_is_left_on_request(monkeypatch):
    stopping.end_if_asked()
    asked = threading.Event()
    monkeypatch.setattr(stopping, "_asked", asked)
    stopping.ask()
    with pytest.raises(stopping.Stopped):
        stopping.end_if_asked()


def test_signals_are_left_alone_outside_the_main_thread():
    before = [signal.signal(one, signal.SIG_DFL) for one in stopping.SIGNALS]  # another test may have listened
    try:
        thread = threading.Thread(target=stopping.listen)
        thread.start()
        thread.join()
        assert {signal.getsignal(one) for one in stopping.SIGNALS} == {signal.SIG_DFL} and not stopping.is_listening()
    finally:
        for one, handler in zip(stopping.SIGNALS, before, strict=True):
            signal.signal(one, handler)
