"""What the tests of several stages start from."""

from pathlib import Path

import little_run
import pytest
import torch


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A folder with five little pictures and their split."""
    little_run.write_pictures(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _leave_determinism_as_it_was():
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)
