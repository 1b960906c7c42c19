"""`nasir` called in this process."""

import sys
from collections.abc import Callable

import pytest

from nasir.cli import main


@pytest.fixture
def nasir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call `nasir` with these words; its status and what it wrote to stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nasir", *map(str, words)])
        with pytest.raises(SystemExit, match=r"^\d$") as end:
            main()
        return int(str(end.value.code)), *capsys.readouterr()

    return call
