"""Strategies on a table: what is found is told apart from its luck, the same for a seed, and written down."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from nasir.files import read_csv, read_json, write_csv
from nasir.search.sampling.surrogate import Surrogate
from nasir.search.sampling.tokens import Tokens
from nasir.spaces import contract
from stages import __main__ as commands
from stages.searches import rehearsal
from tests.spaces.cells.small import SMALL
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


AGAIN = {(1, 0, 0, 0): 25.1, (0, 1, 0, 0): 25.2}
"""A second training of two of them: 25.4 and 25.1 dB before."""


def rows(known: Mapping[Tokens, float], kind: str = "random") -> list[dict[str, object]]:
    order = list(KNOWN)
    return [
        {"network": f"{kind}-{order.index(tokens):02d}", "tokens": " ".join(map(str, tokens)), "psnr_db": score}
        for tokens, score in known.items()
    ]


def write_networks(path: Path, known: Mapping[Tokens, float], again: Mapping[Tokens, float]) -> None:
    found = {"network": "found-darts-0", "tokens": "0 0 0 0", "psnr_db": 30.0}
    given = {"network": "given-all", "tokens": "", "psnr_db": 30.0}
    write_csv(path, [*rows(known), *rows(again, "again"), found, given], ("network", "tokens", "psnr_db"))


def test_the_table_is_that_of_random_networks_and_of_those_trained_twice(tmp_path):
    write_networks(tmp_path / "networks.csv", KNOWN, AGAIN)
    known, pairs = rehearsal.read(tmp_path / "networks.csv")
    assert known == KNOWN and pairs == [(25.4, 25.1), (25.1, 25.2)]


def test_regret_is_of_the_value_of_what_scored_best_and_not_of_its_score():
    # values 3, 1 and 2; the noise of the first visit of each as the key gives it, large enough to mislead
    values, numbers = np.array([3.0, 1.0, 2.0]), {(0,): 0, (1,): 1, (2,): 2}
    one = rehearsal.Try(values, numbers, 5.0, 7)
    asked = [(1,), (2,), (1,), (0,)]
    scores = [one(tokens) for tokens in asked]
    places = [1, 2, 1, 0]
    drawn = [
        np.random.default_rng((1, 7, place, visit)).standard_normal()
        for place, visit in zip(places, (1, 1, 2, 1), strict=True)
    ]
    assert scores == pytest.approx([values[place] + 5 * noise for place, noise in zip(places, drawn, strict=True)])
    highest = [max(range(count), key=lambda k: scores[k]) for count in range(1, 5)]
    assert one.regrets == [3 - values[places[k]] for k in highest]
    assert one.gaps == [2, 1, 2, 0]
    assert scores[0] != scores[2]  # another visit, another training


def test_without_noise_the_regret_falls_to_that_of_the_best_candidate():
    one = rehearsal.Try(np.array([3.0, 1.0, 2.0]), {(0,): 0, (1,): 1, (2,): 2}, 0.0, 0)
    assert [one(tokens) for tokens in [(1,), (2,), (1,), (0,), (1,)]] == [1, 2, 1, 3, 1]
    assert one.regrets == [2, 1, 1, 0, 0]


def test_a_landscape_is_the_same_for_a_seed_and_differs_by_the_rest():
    predicted = np.zeros(4000)
    first = rehearsal.values(predicted, 0.5, 3)
    assert np.array_equal(first, rehearsal.values(predicted, 0.5, 3))
    assert first.std() == pytest.approx(0.5, rel=0.05)
    assert not np.array_equal(first, rehearsal.values(predicted, 0.5, 4))
    assert np.array_equal(predicted, rehearsal.values(predicted, 0.0, 3))


def test_all_networks_of_a_space_are_those_that_masks_allow():
    assert rehearsal.all_of(SPACE, LITTLE) == list(product(range(2), repeat=4))
    irnas = contract.find("irnas")
    section = replace(SMALL, nodes=2)
    everything = rehearsal.all_of(irnas, section)
    assert len(set(everything)) == len(everything)
    for tokens in everything[:: len(everything) // 50 + 1]:
        assert all(irnas.mask(section, tokens[:place])[token] for place, token in enumerate(tokens))
        irnas.from_tokens(section, tokens)


def test_a_space_too_large_to_look_at_is_refused():
    with pytest.raises(ValueError, match=r"must have 100,000 networks at most .* got more of clearer"):
        rehearsal.all_of(SPACE, replace(LITTLE, columns=(6, 6, 6)))


@pytest.mark.parametrize("strategy", ["random", "evolution", *rehearsal.RULES])
def test_every_strategy_finds_the_best_of_a_little_space_and_the_same_for_a_seed(strategy):
    everything = rehearsal.all_of(SPACE, LITTLE)
    predicted = Surrogate(KNOWN)(everything)
    numbers = {tokens: place for place, tokens in enumerate(everything)}
    assert everything[int(predicted.argmax())] == (1, 1, 1, 0)

    def tries(*seeds: int) -> list[rehearsal.Try]:
        found = [rehearsal.Try(predicted, numbers, 0.0, seed) for seed in seeds]
        rehearsal.strategies(SPACE, LITTLE, 60)[strategy](found)
        return found

    first, second = tries(0, 1)
    [alone] = tries(1)
    assert len(first.regrets) == 60 and first.regrets == sorted(first.regrets, reverse=True)
    assert first.regrets[-1] == 0
    assert first.gaps != second.gaps == pytest.approx(alone.gaps)


def test_tries_are_looked_at_at_round_numbers_and_at_the_end():
    assert rehearsal.places(60) == [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 60]
    assert rehearsal.places(3000)[-4:] == [1000, 1500, 2000, 3000]
    one = rehearsal.Try(np.array([3.0, 1.0]), {(0,): 0, (1,): 1}, 0.0, 4)
    for number in range(60):
        one((0,) if number < 10 else (1,))
    last = list(rehearsal.rows_of("random", one))[-1]
    assert last == {"strategy": "random", "seed": 4, "candidates": 60, "regret_db": 0, "recent_db": 2}


def shown(tmp_path: Path, **changes: object) -> Result:
    write(tmp_path / "plan.yaml", **COLUMNS)
    words = {
        "plan": tmp_path / "plan.yaml", "profiles": ROOT / "profiles", "networks": tmp_path / "networks.csv",
        "out": tmp_path / "out", "candidates": 12, "seeds": 3,
    } | changes  # fmt: skip
    return CliRunner().invoke(
        commands.build("rehearse"),
        ["rehearse", *(word for key, value in words.items() for word in (f"--{key}", str(value)))],
    )


def test_the_command_writes_regrets_and_what_the_model_is_worth(tmp_path: Path):
    write_networks(tmp_path / "networks.csv", KNOWN, AGAIN)
    said = shown(tmp_path)
    assert said.exit_code == 0, said.output
    assert "8 networks trained" in said.output
    for strategy in ("random", "evolution", "rl, PPO", "rl, REINFORCE"):
        assert f"| {strategy} |" in said.output
    written = read_csv(tmp_path / "out/regret.csv")
    assert list(written[0]) == list(rehearsal.COLUMNS)
    assert len(written) == 4 * 3 * len(rehearsal.places(12))
    facts = read_json(tmp_path / "out/rehearsal.json")
    assert (facts["networks"], facts["of"], facts["pairs"]) == (8, 16, 2)
    # differences of 0.3 and 0.1 dB: (0.3^2 + 0.1^2) / 2 over two networks, the root
    assert facts["training_db"]["mean"] == pytest.approx((0.1 / 4) ** 0.5)
    assert facts["rest_db"] == pytest.approx(max(0, facts["error_db"]["mean"] ** 2 - 0.1 / 4) ** 0.5)


def test_a_table_of_too_few_networks_is_refused_and_none_trained_twice_means_no_noise(tmp_path: Path):
    write_networks(tmp_path / "networks.csv", dict(list(KNOWN.items())[:3]), {})
    with pytest.raises(
        ValueError, match=r"must hold 4 random networks or more, .* got 3; `make study PLAN=plan` trains"
    ):
        raise shown(tmp_path).exception or AssertionError
    write_networks(tmp_path / "networks.csv", KNOWN, {})
    assert shown(tmp_path, seeds=2).exit_code == 0
    facts = read_json(tmp_path / "out/rehearsal.json")
    assert facts["training_db"] is None and facts["rest_db"] == 0
