"""The command of the page of all strategies: it reads what is there."""

from pathlib import Path

from typer.testing import CliRunner

from stages import __main__ as commands
from tests.stages.searches.little_study import ROOT, write


def test_the_page_is_written_of_the_plans_that_are_named_though_nothing_has_run(tmp_path: Path):
    plans = [write(tmp_path / f"{name}.yaml") for name in ("first", "second")]
    words = ["--results", "study", "--rehearsed", "none", "--page", "page.md", "--profiles"]
    given = [str(tmp_path / word) if not word.startswith("--") else word for word in words] + [str(ROOT / "profiles")]
    shown = CliRunner().invoke(
        commands.build("strategies"),
        ["strategies", *given, *(word for plan in plans for word in ("--plan", str(plan)))],
    )
    assert shown.exit_code == 0, shown.output
    assert "0 of 11 jobs of first, 0 of 11 jobs of second" in shown.output
    text = (tmp_path / "page.md").read_text()
    assert "Study `first`" in text and "Study `second`" in text
    # one_shot chooses by evolution, darts has no choice to make
    assert text.count("| one_shot, fair | one_shot, evolution | 0 of 2 | not run |") == 2
    assert text.count("| darts | darts | 0 of 2 | not run |") == 2
    assert "`python -m stages rehearse`" in text
