"""Where a found network stands among random ones, by hand; tau against scipy."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from nasir.reporting.searches.judgement import ENOUGH, enough, judge, middle, operations, tau
from nasir.spaces import contract
from tests.reporting.searches.invented import cost, images, network
from tests.spaces.resolutions.little import AUTHORS

RANDOM = [images(20.0 + number) for number in (3, 1, 0, 2, 9, 4, 6, 5, 8, 7)]  # means 20 to 29, in no order


@pytest.mark.parametrize(
    ("mean", "percentile"), [(19.9, 0), (20.0, 10), (24.5, 50), (27.9, 80), (28.0, 90), (28.9, 90), (29.0, 100)]
)
def test_the_percentile_is_the_share_of_random_networks_that_are_not_above(mean, percentile):
    found = judge("darts", 3, network(mean), cost(1, 1, None), RANDOM)
    assert found.percentile == pytest.approx(percentile)
    assert (found.search, found.seed, found.psnr_db) == ("darts", 3, pytest.approx(mean))
    assert (found.percentile >= ENOUGH) is (mean >= enough([20.0 + number for number in range(10)]))


def test_it_is_compared_with_the_random_network_in_the_middle_and_with_the_best():
    found = judge("darts", 0, network(28.5), cost(1, 1, None), RANDOM)
    for comparison, difference in ((found.against_median, 4.5), (found.against_best, -0.5)):  # with 24 and with 29 dB
        interval = comparison.difference
        assert comparison.images == 4
        assert [interval.mean, interval.low, interval.high] == pytest.approx([difference] * 3)


def test_the_interval_is_that_of_the_paired_differences():
    result = network(28.5) | {"psnr_db": {"a": 24.0, "b": 25.0, "c": 25.0, "d": 30.0}}
    found = judge("darts", 0, result, cost(1, 1, None), RANDOM)
    interval = found.against_median.difference  # 2, 2, 0 and 4 above 22, 23, 25 and 26
    assert interval.mean == pytest.approx(2)
    assert interval.low == pytest.approx(0.5) and interval.high == pytest.approx(3.5)  # means of four of these


@pytest.mark.parametrize("count", [2, 3, 9, 10, 11, 20, 24, 30, 100])
def test_enough_is_the_lowest_value_that_has_the_percentile(count):
    values = [float(number) for number in range(count)]
    reached = [value for value in values if 100 * sum(other <= value for other in values) / count >= ENOUGH]
    assert enough(values[::-1]) == reached[0]


def test_the_middle_is_the_median():
    assert middle([3.0, 1.0, 2.0, 10.0]) == 2.5


def test_tau_is_scipys_with_an_interval_around_it():
    generator = np.random.default_rng(1)
    trained = generator.normal(size=24)
    shared = trained + generator.normal(size=24)
    found = tau(shared, trained)
    expected = kendalltau(shared, trained).statistic
    assert found.mean == pytest.approx(expected)
    assert 0 < found.low < expected < found.high < 1
    # the standard error without any relation is sqrt(2 (2n + 5) / 9n(n - 1)) = 0.146; with one it is smaller
    assert 0.2 < found.high - found.low < 4 * 0.146
    assert tau(shared, trained) == found and tau(shared, trained, seed=1) != found


def test_tau_of_equal_and_of_opposite_orders():
    ranks = [float(number) for number in range(12)]
    for other, expected in ((ranks, 1.0), (ranks[::-1], -1.0)):
        found = tau(ranks, other)
        assert [found.mean, found.low, found.high] == pytest.approx([expected] * 3)


@pytest.mark.parametrize("shared", [[5.0] * 4, [5.0, 5.0, 5.0, 6.0]])
def test_a_constant_ranking_counts_as_0(shared):
    found = tau(shared, [1.0, 2.0, 3.0, 4.0])
    if len(set(shared)) == 1:
        assert (found.mean, found.low, found.high) == (0, 0, 0)
    else:  # some resamples have no 6
        assert found.low == 0 < found.mean < found.high


def test_operations_are_counted_over_all_cells_the_most_frequent_first():
    genotype = network(20.0, "skip", "conv_3x3", "dil_3x3", "skip")["genotype"]
    assert list(operations(genotype | {"cells": genotype["cells"] * 2}).items()) == [
        ("skip", 4),
        ("conv_3x3", 2),
        ("dil_3x3", 2),
    ]
    columns = contract.find("clearer").genotype(AUTHORS, "FPFFFPFFPFPF")
    assert operations(contract.find("clearer").to_json(columns)) == {"fusion": 8, "parallel": 4}
