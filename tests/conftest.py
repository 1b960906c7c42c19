"""One thread for every test and the processes that it starts: little tensors gain nothing from more, and busy machines lose."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _process():
    """What commands change in their process: trainings take signals as requests to end, --debug asks for traces."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    yield
    os.environ.pop("NASIR_DEBUG", None)
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a small disk: {getattr(error, 'stderr', '') or error}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
