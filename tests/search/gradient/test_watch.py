"""What is watched at each score: rankings by hand, and the score of what would be derived."""

import pytest
import torch

from nasir.search.gradient.watch import rank_facts, watch
from nasir.spaces.cells import searching
from nasir.spaces.cells.monitor import ranks
from tests.spaces.cells.small import SMALL


def test_without_a_score_before_there_is_no_correlation():
    assert rank_facts(torch.tensor([[0, 1, 2]]), None, 5.0) == {"rank_stable_scores": 0.0}


def test_skip_and_none_do_not_count_in_the_ranking():
    before = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0, 0.0]])
    now = torch.tensor([[0.4, 0.3, 0.2, 0.1, 9.0, 8.0]])
    facts = rank_facts(ranks(now, "irnas"), ranks(before, "irnas"), 2.0)
    assert facts == {"rank_stable_scores": 3.0, "rank_correlation": 1.0}


def test_one_exchange_in_one_decision_starts_the_count_again():
    # ranks 0 1 2 3 -> 1 0 2 3: rho = 1 - 6 (1 + 1) / (4 * 15) = 0.8; the other decision stays at 1
    before = torch.tensor([[0, 1, 2, 3]] * 2)
    now = torch.tensor([[1, 0, 2, 3], [0, 1, 2, 3]])
    assert rank_facts(now, before, 7.0) == {"rank_stable_scores": 0.0, "rank_correlation": pytest.approx(0.9)}


def test_a_reversed_ranking_has_the_correlation_minus_one():
    alpha = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0))
    facts = rank_facts(ranks(-alpha, "irnas"), ranks(alpha, "irnas"), 0.0)
    assert facts["rank_correlation"] == pytest.approx(-1.0)


def test_the_gap_is_the_score_less_that_of_the_one_hot_supernet():
    relaxed = searching.relax("irnas", SMALL, channels=1, seed=0)
    seen = []

    def rescore() -> float:
        seen.append(relaxed.alpha.max().item())
        return 0.25

    facts = watch(relaxed, before=None, stable=0.0, score=0.75, rescore=rescore)
    assert seen == [1000.0]
    assert facts == {"derived_skips": relaxed.skips(), "rank_stable_scores": 0.0, "discretisation_gap": 0.5}
