"""Strategies on a table: the best so far, the same for a seed, a page of what came out."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from nasir.files import read_csv, write_csv
from nasir.search.sampling.surrogate import Surrogate
from nasir.spaces import contract
from stages import __main__ as commands
from stages.searches import rehearsal
from tests.spaces.resolutions.little import LITTLE
from tests.stages.searches.little_study import ROOT, write

SPACE = contract.find("clearer")
COLUMNS = {"space": "clearer", "searches": {}, "changes_of": {}, "changes": ["space.columns=[2,1,1]"]}
WORTH = (0.4, 0.1, 0.2, -0.3)
KNOWN = {
    tuple(number >> place & 1 for place in range(4)): 25
    + sum(WORTH[place] for place in range(4) if number >> place & 1)
    for number in (0, 1, 2, 4, 8, 7, 14, 11)
}


def rows(known: dict[tuple[int, ...], float]) -> list[dict[str, object]]:
    return [{"tokens": " ".join(map(str, tokens)), "psnr_db": score} for tokens, score in known.items()]


def test_the_table_is_that_of_networks_with_tokens(tmp_path):
    write_csv(tmp_path / "networks.csv", [*rows(KNOWN), {"tokens": "", "psnr_db": 30.0}], ("tokens", "psnr_db"))
    assert rehearsal.read(tmp_path / "networks.csv") == KNOWN


def test_the_best_of_the_space_is_found_among_all_of_its_networks():
    # 1110 is not in the table, and its choices are worth the most
    assert (1, 1, 1, 0) in KNOWN
    without = {tokens: score for tokens, score in KNOWN.items() if tokens != (1, 1, 1, 0)}
    assert rehearsal.best_of(Surrogate(without), SPACE, LITTLE) == pytest.approx(25.7, abs=0.05)


@pytest.mark.parametrize("strategy", [rehearsal.at_random, rehearsal.by_evolution])
def test_a_try_tells_the_best_so_far_and_finds_the_best_of_a_little_space(strategy):
    surrogate = Surrogate(KNOWN)
    course = strategy(surrogate, SPACE, LITTLE, 40, 0)
    assert len(course) == 40 and course == sorted(course)
    assert course[-1] == rehearsal.best_of(surrogate, SPACE, LITTLE)
    assert strategy(surrogate, SPACE, LITTLE, 40, 0) == course != strategy(surrogate, SPACE, LITTLE, 40, 1)


def test_the_command_writes_curves_and_says_how_far_below_the_best_each_strategy_is(tmp_path: Path):
    write(tmp_path / "plan.yaml", **COLUMNS)
    write_csv(tmp_path / "networks.csv", rows(KNOWN), ("tokens", "psnr_db"))
    words = {
        "plan": tmp_path / "plan.yaml", "profiles": ROOT / "profiles", "networks": tmp_path / "networks.csv",
        "out": tmp_path / "out", "candidates": 12, "seeds": 3,
    }  # fmt: skip
    shown = CliRunner().invoke(
        commands.build("rehearse"),
        ["rehearse", *(word for key, value in words.items() for word in (f"--{key}", str(value)))],
    )
    assert shown.exit_code == 0, shown.output
    assert (
        "8 networks trained" in shown.output
        and "| evolution |" in shown.output
        and "| random |" in shown.output
        and "| rl, PPO |" in shown.output
    )
    written = read_csv(tmp_path / "out/rehearsal.csv")
    assert len(written) == 4 * 3 * 12 and list(written[0]) == list(rehearsal.COLUMNS)
    with Image.open(tmp_path / "out/rehearsal.png") as picture:
        assert picture.width > 500
