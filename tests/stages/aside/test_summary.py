"""The last lines of `make repro`."""

from pathlib import Path

import pytest

from nasir.files import write_json
from stages import __main__ as commands
from stages.aside import summary

ROOT = Path(__file__).parents[3]


def lay(folder: Path, collapse: str) -> None:
    scores = {"noisy": 14.7, "tv": 26.64, "nlm": 26.2, "nasir": 27.41}
    methods = {name: {"whole": {"psnr_db": value}, "overlap": {"psnr_db": 1.0}} for name, value in scores.items()}
    write_json(folder / "evaluate" / "metrics.json", {"images": 4, "methods": methods})
    write_json(folder / "search" / "search.json", {"collapse": collapse})


def test_the_found_network_stands_beside_the_best_of_the_others(tmp_path):
    lay(tmp_path, "")
    said = summary.write(tmp_path, Path("reports/report.md"))
    assert said == (
        "reports/report.md: the found network 27.41 dB over 4 test images (whole), total variation 26.64 dB."
    )


def test_a_collapse_is_said_last(tmp_path):
    lay(tmp_path, "The search has collapsed: try another.")
    assert summary.write(tmp_path, Path("r.md")).splitlines()[1:] == ["The search has collapsed: try another."]


def test_a_step_that_has_not_run_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.json"):
        summary.write(tmp_path, Path("r.md"))


def test_make_repro_ends_with_a_command_that_there_is():
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "stages summary" in line]
    assert line.endswith("dvc repro && $(BIN)/python -m stages summary")
    assert commands.summary in commands.OTHERS
