"""The verdict on a collapse, from an invented search to the file, the last line and the report's top."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from little_run import CELLS, CODE, SEARCH

from nasir.config.training import OFF
from nasir.files import read_json
from nasir.search.contract import Control, Found
from nasir.spaces import contract
from nasir.training.parallel import Team
from stages import search
from stages.around.collapse import MOST, look

IRNAS = contract.find("irnas")
SECTION = dataclasses.replace(CELLS, nodes=2)


def found(*operations: str, control: Control | None = None) -> Found:
    """What a search found: a cell of two nodes with these operations."""
    genotype = IRNAS.from_tokens(SECTION, [0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
    [cell] = genotype.cells
    names = iter(operations)
    kept = tuple(tuple(dataclasses.replace(edge, operation=next(names)) for edge in edges) for edges in cell)
    return Found(
        genotype=dataclasses.replace(genotype, cells=(kept,)),
        runner_up=None,
        step=1,
        scores={"score": 1.0, "psnr_db": 20.0, "ssim": 0.8},
        spent_flops=1.0,
        history=[(1, "score", 1.0)],
        control=control,
    )


GOOD = ("conv_3x3", "skip", "skip", "sep_3x3")
SKIPS = ("skip",) * 4
ABOVE, BELOW = Control(found=1.02, random=[1.0, 1.01, 1.3]), Control(found=1.0, random=[0.9, 1.01, 1.3])


def test_nothing_is_wrong_with_a_network_above_the_median_of_chance():
    assert look(found(*GOOD, control=ABOVE), IRNAS, "darts") == {
        "idle_share": 0.5,
        "control_score": 1.02,
        "control_median": 1.01,
        "collapse": "",
    }


def test_without_a_control_only_skips_speak():
    signs = look(found(*GOOD), IRNAS, "random")
    assert (signs["control_score"], signs["control_median"], signs["collapse"]) == (None, None, "")


@pytest.mark.parametrize("skips", [3, 4])
def test_three_quarters_of_skips_are_a_collapse(skips):
    signs = look(found(*SKIPS[:skips], *GOOD[:1] * (4 - skips), control=ABOVE), IRNAS, "darts")
    assert signs["idle_share"] == skips / 4 >= MOST
    assert signs["collapse"] == (
        f"The search has collapsed: {25 * skips}% of the found network's operations compute nothing; try search.strategy "
        "one_shot, or strategy.beta_decay 0.5."
    )


@pytest.mark.parametrize(
    ("strategy", "advice"),
    [
        ("darts", "try search.strategy one_shot, or strategy.beta_decay 0.5."),
        ("one_shot", "try twice the search.steps, or a narrower strategy.window."),
        ("random", "try more strategy.candidates."),
        ("rl", "try more strategy.candidates, or longer trainings (strategy.steps)."),
        ("toy_strategy", "try another search.strategy."),
    ],
)
def test_below_the_median_of_chance_is_a_collapse_and_the_advice_is_the_strategys(strategy, advice):
    signs = look(found(*GOOD, control=BELOW), IRNAS, strategy)
    assert signs["collapse"] == (
        "The search has collapsed: it scores 1.0000 on V where the median of random networks is 1.0100, by the search's own "
        f"measure; {advice}"
    )


def test_chance_itself_is_none():
    assert look(found(*GOOD, control=Control(found=1.0, random=[1.0, 1.0])), IRNAS, "darts")["collapse"] == ""


def test_both_signs_are_told_in_one_sentence():
    text = look(found(*SKIPS, control=BELOW), IRNAS, "darts")["collapse"]
    assert "100% of the found network's operations compute nothing; it scores 1.0000 on V" in text


@pytest.mark.parametrize("is_collapsed", [True, False])
def test_the_stage_writes_it_and_says_it_last(little, capsys, is_collapsed):
    one = found(*(SKIPS if is_collapsed else GOOD), control=ABOVE)

    class Fake:
        def count(self, section: Any, config: Any) -> int:
            return 1

        def search(self, problem: Any) -> Found:
            problem.team.say("searching")
            return one

    search.run(
        pictures=little / "pictures", split=little / "split", checkpoint=little / "search.pt", out=little / "found",
        task="denoise", space=IRNAS, of_space=SECTION, strategy=Fake(), of_strategy=SectionOfNothing(), seed=0,
        config=SEARCH, safety=OFF, code=CODE, log=lambda step, news: None,
    )  # fmt: skip
    facts = read_json(little / "found/search.json")
    signs = look(one, IRNAS, "darts")
    assert {name: facts[name] for name in signs} == signs
    assert facts["precision"] == "32-true"
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == (signs["collapse"] if is_collapsed else "searching")
    assert bool(signs["collapse"]) is is_collapsed


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionOfNothing:
    """The section of the strategy that stands in."""


def test_of_several_processes_the_first_says_it(capsys):
    for rank in (0, 1):
        Team(rank=rank, size=2, device=SimpleNamespace(type="cpu")).say("collapsed")
    assert capsys.readouterr().err == "collapsed\n"
