"""Each rule at the score where it ends a search and at the one before."""

import pytest

from nasir.search.gradient.stopping import is_due


def ask(rule, skips=0, stable=0, scores=(0.5,), patience=2) -> bool:
    return is_due(rule, patience=patience, skips=skips, stable=stable, scores=scores)


def test_without_a_rule_a_search_goes_on():
    assert not ask("none", skips=9, stable=9, scores=[0.5] * 9)


@pytest.mark.parametrize(("skips", "due"), [(0, False), (1, False), (2, True), (5, True)])
def test_two_skips_in_a_derived_cell_end_the_search(skips, due):
    assert ask("skip_count", skips=skips) is due


@pytest.mark.parametrize(("stable", "due"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_ranking_that_stands_for_patience_scores_ends_the_search(stable, due):
    assert ask("rank_stable", stable=stable) is due


@pytest.mark.parametrize(
    ("scores", "due"),
    [
        ([0.5], False),
        ([0.5, 0.4], False),  # one score without a new best
        ([0.5, 0.4, 0.4], True),  # two
        ([0.5, 0.4, 0.5], True),  # an equal score is no better one
        ([0.5, 0.4, 0.6], False),
        ([0.5, 0.6, 0.4, 0.5], True),
        ([0.5, 0.4, 0.6, 0.3], False),
    ],
)
def test_patience_scores_without_a_new_best_end_the_search(scores, due):
    assert ask("val_plateau", scores=scores) is due


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match=r"must be none, skip_count, rank_stable or val_plateau, got 'never'"):
        ask("never")
