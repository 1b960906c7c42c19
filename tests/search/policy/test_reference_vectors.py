"""The authors' larger files, which stand beside the repository; `tests/test_conformance.py` has those within it."""

import re
from pathlib import Path

import pytest

from tests import conformance

BESIDE = Path(__file__).parents[4] / "shared/reference/vectors"


@pytest.mark.skipif(not BESIDE.is_dir(), reason="../shared/reference/vectors is not here")
@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("rl_controller_a", "controller", 67),
        ("rl_ppo_run_a", "ppo run", 270),
        ("rl_decoder_a", "decoder", 424),
        ("rl_decoder_c", "decoder", 451),
        ("rl_stage0_a", "stage 0", 779),
        ("rl_stage1_a", "stage 1", 333),
    ],
)
def test_the_authors_larger_numbers_are_ours(name, kind, count):
    report = conformance.check(BESIDE / f"{name}.npz", BESIDE / "rl_meta.json")
    assert report.kind == kind
    assert [str(line) for line in report.lines if not line.is_met] == []
    assert len(report.lines) == count


VECTORS = Path(__file__).parents[2] / "data/vectors"


def test_the_command_says_by_name_what_has_nothing_of_ours_beside_it(capsys):
    assert conformance.main([str(VECTORS / "rl_reward_a.npz"), str(VECTORS / "rl_meta.json")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^not compared: logits, masks, confusion, ious and accuracies; .* no classes$", printed, re.M)
    assert "9 of 9 within tolerance" in printed
