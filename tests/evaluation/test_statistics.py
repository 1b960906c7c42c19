"""Intervals and tests against closed forms, scipy and simulation."""

import itertools
import math
import statistics as standard

import numpy as np
import pytest
from scipy import stats

from nasir.evaluation import statistics
from nasir.evaluation.statistics import Interval, compare, mean_interval, over_seeds


def draw(count: int, seed: int, mean: float = 0, std: float = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, std, count).tolist()


def named(values: list[float]) -> dict[str, float]:
    return {f"image{position:03}.png": value for position, value in enumerate(values)}


def test_an_interval_excludes_zero_only_with_both_bounds_on_one_side():
    assert Interval(mean=2, low=1, high=3).excludes_zero
    assert Interval(mean=-2, low=-3, high=-1).excludes_zero
    assert not Interval(mean=1, low=-1, high=3).excludes_zero
    assert not Interval(mean=1, low=0, high=2).excludes_zero
    assert not Interval(mean=-1, low=-2, high=0).excludes_zero


def test_of_two_values_the_interval_is_their_range():
    # four equally likely resamples: (1, 1), (1, 3), (3, 1), (3, 3) with means 1, 2, 2, 3; a quarter lies at either end
    assert mean_interval([1.0, 3.0]) == Interval(mean=2, low=1, high=3)


def test_of_few_values_the_interval_is_that_of_all_resamples():
    # 5^5 = 3125 equally likely resamples can be listed; 10,000 random ones have their quantiles up to chance
    values = [30.1, 28.4, 35.2, 31.0, 29.3]
    means = [sum(sample) / 5 for sample in itertools.product(values, repeat=5)]
    low, high = np.quantile(means, (0.025, 0.975))

    found = mean_interval(values)

    assert found.mean == pytest.approx(30.8)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_for_many_normal_values_the_half_width_is_that_of_the_normal_distribution():
    # 1.96 s / sqrt(n), s = 2, n = 400: 0.196; the sample's own s is within 3.5 % and each bound within about 3 % of it
    values = draw(400, seed=0, mean=30, std=2)

    found = mean_interval(values)

    half_width = 1.959964 * standard.pstdev(values) / math.sqrt(400)
    assert found.mean == pytest.approx(standard.fmean(values))
    assert (found.high - found.mean, found.mean - found.low) == pytest.approx((half_width, half_width), rel=0.06)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(1).gamma(2, size=60)  # a skewed distribution

    found = mean_interval(values.tolist())
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval

    assert (found.low, found.high) == pytest.approx(expected, abs=0.05 * (expected.high - expected.low))


def test_about_95_of_100_intervals_hold_the_true_mean():
    # 300 samples of 40: percentile intervals are a little narrow there, 94 %; standard error 1.4 %, so 5 of them: 7 %
    found = [mean_interval(draw(40, seed=seed, mean=5)) for seed in range(300)]

    share = sum(interval.low <= 5 <= interval.high for interval in found) / 300

    assert 0.87 < share < 0.99


def test_the_same_seed_gives_the_same_interval_and_another_one_a_near_one():
    values = draw(50, seed=2)
    first, again, other = mean_interval(values, 3), mean_interval(values, 3), mean_interval(values, 4)

    assert first == again
    assert first != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.05 * (first.high - first.low))


def test_resamples_are_drawn_in_chunks_with_the_same_result(monkeypatch):
    values = draw(30, seed=5)
    whole = mean_interval(values)

    monkeypatch.setattr(statistics, "CHUNK", 7 * 30)

    assert mean_interval(values) == whole


def test_compared_images_are_paired_by_name():
    # differences 1, 2, 3 in whatever order the names come
    a = {"x": 31.0, "y": 22.0, "z": 43.0}
    b = {"z": 40.0, "x": 30.0, "y": 20.0}

    found = compare(a, b)

    assert found.images == 3
    assert found.difference.mean == pytest.approx(2)
    assert found == compare(dict(reversed(a.items())), b)


def test_wilcoxon_of_differences_of_one_sign():
    # all of n = 8 positive: only two of 2^8 sign patterns are as lopsided, p = 2 / 256; equal images are left out
    a = named([1.0, 2, 3, 4, 5, 6, 7, 8, 0, 0])
    b = dict.fromkeys(a, 0.0)

    found = compare(a, b)

    assert found.images == 10
    assert found.wilcoxon_p == pytest.approx(2 / 256)


def test_wilcoxon_of_many_images_is_that_of_scipy():
    a, b = draw(200, seed=0, mean=0.1), draw(200, seed=1)

    found = compare(named(a), named(b))

    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert 0.001 < found.wilcoxon_p < 1


@pytest.mark.parametrize("count", [2, 5, 20, 60])
def test_ties_and_zeros_raise_no_warning(count):
    a = named([0.5] * (count - 1) + [0.0])
    b = dict.fromkeys(a, 0.0)

    assert 0 < compare(a, b).wilcoxon_p <= 1


def test_equal_methods_do_not_differ():
    scores = named(draw(20, seed=0))

    found = compare(scores, dict(scores))

    assert found.difference == Interval(mean=0, low=0, high=0)
    assert not found.difference.excludes_zero
    assert found.wilcoxon_p == 1


def test_exchanged_methods_have_the_opposite_difference_and_the_same_p():
    a, b = named(draw(40, seed=0, mean=0.2)), named(draw(40, seed=1))

    forth, back = compare(a, b), compare(b, a)

    assert (back.difference.mean, back.difference.low, back.difference.high) == pytest.approx(
        (-forth.difference.mean, -forth.difference.high, -forth.difference.low), rel=1e-9
    )
    assert back.wilcoxon_p == pytest.approx(forth.wilcoxon_p)


def test_a_small_difference_shows_although_images_differ_more_than_methods():
    # images vary by 3 dB, the methods by 0.1 dB with 0.05 dB of noise; n = 68: half-widths 0.71 and 0.012 dB
    b = draw(68, seed=0, mean=29, std=3)
    a = [score + change for score, change in zip(b, draw(68, seed=1, mean=0.1, std=0.05), strict=True)]

    paired = compare(named(a), named(b)).difference
    alone = [mean_interval(scores) for scores in (a, b)]

    assert paired.excludes_zero
    assert paired.mean == pytest.approx(alone[0].mean - alone[1].mean)
    assert alone[0].low < alone[1].high  # the two intervals overlap
    assert paired.high - paired.low < (alone[0].high - alone[0].low) / 30


def test_images_that_one_method_lacks_are_named():
    a, b = {"x": 1.0, "y": 2.0, "z": 3.0}, {"y": 1.0, "w": 2.0}

    with pytest.raises(ValueError, match=r"same images, but a lacks \['w'\], b lacks \['x', 'z'\]; score both on one"):
        compare(a, b)
    with pytest.raises(ValueError, match=r"same images, but b lacks \['z'\]; "):
        compare(a, {"x": 0.0, "y": 0.0})


def test_the_spread_over_seeds_divides_by_one_less_than_their_count():
    # mean 3, squared deviations 4 + 0 + 4 = 8, 8 / 2 = 4
    found = over_seeds([1.0, 3.0, 5.0])

    assert (found.mean, found.std, found.count) == (3, 2, 3)


def test_one_seed_has_no_spread():
    found = over_seeds([29.5])

    assert (found.mean, found.std, found.count) == (29.5, None, 1)


def test_too_few_values_are_refused():
    with pytest.raises(ValueError, match="an interval needs at least two values, got 1; report"):
        mean_interval([30.0])
    with pytest.raises(ValueError, match="an interval needs at least two values, got 0"):
        compare({}, {})
    with pytest.raises(ValueError, match="a spread over seeds needs at least one value, got none"):
        over_seeds([])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_and_named(bad):
    with pytest.raises(ValueError, match=rf"scores must be finite, got {bad} for number 2; .*leave them out"):
        mean_interval([1.0, bad, 3.0])
    with pytest.raises(ValueError, match=rf"scores must be finite, got {bad} for number 1"):
        over_seeds([bad])
    with pytest.raises(ValueError, match=rf"scores must be finite, got {bad} for kodim05.png"):
        compare({"a.png": 1.0, "kodim05.png": 2.0}, {"a.png": 1.0, "kodim05.png": bad})
