"""The statistics against SciPy, against values of rliable 1.2.0, and against figures worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from acclimate.errors import ConfigError
from acclimate.statistics.bootstrap import (
    forgetting,
    hierarchical_bootstrap,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from acclimate.statistics.estimates import Estimate, gain, iqm, mean, optimality_gap

RUNS, OTHERS = np.arange(40).reshape(10, 4), np.arange(32).reshape(8, 4)
A = RUNS * RUNS * 7 % 53 / 30.0
B = OTHERS * OTHERS * 11 % 47 / 40.0
SKEWED = np.exp(np.linspace(-2.0, 3.0, 50)) * 100.0
SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(SCORES)
def test_iqm_is_scipys_trimmed_mean(scores: list[float]) -> None:
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), rel=1e-9, abs=1e-6)


def test_iqm_by_hand() -> None:
    assert iqm([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0]) == 3.5  # 2, 3, 4 and 5 are left
    assert iqm([1.0, 2.0, 9.0]) == 4.0  # int(3 / 4) is nothing
    assert iqm([[4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 8.0, 8.0]]).tolist() == [2.5, 4.0]


def test_optimality_gap_by_hand() -> None:
    assert optimality_gap([0.5, 0.75, 3.0]) == pytest.approx(0.25)
    assert optimality_gap([90.0, 100.0], target=100.0) == 5.0


@pytest.mark.parametrize(
    ("statistic", "value", "low", "high"),
    [(mean, 0.92, 0.7725, 1.0667), (iqm, 0.96, 0.7133, 1.195), (optimality_gap, 0.2875, 0.1942, 0.3825)],
)
def test_stratified_bootstrap_agrees_with_rliable(statistic, value, low, high) -> None:
    """The references are `get_interval_estimates` with 100,000 resamples of the same scores."""
    found = stratified_bootstrap(A, statistic)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high, found.n) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01), 40)


def test_probability_of_improvement_agrees_with_rliable() -> None:
    found = probability_of_improvement(A, B)
    assert found.value == pytest.approx(0.63125)
    assert (found.low, found.high) == (pytest.approx(0.50625, abs=0.01), pytest.approx(0.75, abs=0.01))


def test_performance_profile_agrees_with_rliable() -> None:
    found = performance_profile(A, [0.2, 0.5, 1.0, 1.5], reps=20_000)
    assert [at.value for at in found] == [0.875, 0.65, 0.475, 0.175]
    assert [at.low for at in found] == pytest.approx([0.775, 0.5, 0.35, 0.075], abs=0.026)  # one run is 0.025
    assert [at.high for at in found] == pytest.approx([0.95, 0.775, 0.6, 0.275], abs=0.026)


def test_probability_of_improvement_is_the_mann_whitney_statistic() -> None:
    a, b = A[:, 0], B[:, 0]
    expected = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert probability_of_improvement(a, b, reps=10).value == pytest.approx(expected)
    assert probability_of_improvement([1.0, 1.0], [1.0], reps=10).value == 0.5  # ties count half


def test_percentile_interval_agrees_with_scipy() -> None:
    found = stratified_bootstrap(SKEWED)
    ref = stats.bootstrap((SKEWED,), np.mean, n_resamples=50_000, method="percentile", rng=1).confidence_interval
    assert (found.low, found.high) == (pytest.approx(ref.low, rel=0.01), pytest.approx(ref.high, rel=0.01))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_paired_difference_agrees_with_scipys_bca(sign: float) -> None:
    other = np.sin(np.arange(50.0)) * 30.0
    found = paired_difference(sign * SKEWED, other)
    ref = stats.bootstrap(
        (sign * SKEWED - other,), np.mean, n_resamples=50_000, method="BCa", rng=1
    ).confidence_interval
    assert found.value == pytest.approx((sign * SKEWED - other).mean())
    assert (found.low, found.high) == (pytest.approx(ref.low, rel=0.01), pytest.approx(ref.high, rel=0.01))


def test_the_correction_follows_the_skew() -> None:
    """Fifty returns with one fall: the percentile interval is too short on the side of the fall."""
    falls = np.full(50, 100.0) + np.arange(50) * 0.1
    falls[0] = -2000.0
    plain, corrected = stratified_bootstrap(falls), paired_difference(falls, np.zeros(50))
    assert corrected.low < plain.low - 5.0
    assert corrected.high < plain.high + 1e-9


def test_pairing_takes_out_what_is_shared() -> None:
    luck = np.linspace(-500.0, 500.0, 50)
    better = luck + 10.0 + np.cos(np.arange(50.0))
    assert paired_difference(better, luck).excludes(0.0)
    assert not Estimate(10.0, *np.percentile(better, [5, 95]), 50).excludes(0.0)


def test_a_difference_that_never_varies_has_no_width() -> None:
    assert paired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]) == Estimate(2.0, 2.0, 2.0, 3)


@pytest.mark.parametrize("estimate", [stratified_bootstrap([7.0]), paired_difference([7.0], [0.0])])
def test_one_value_has_no_interval(estimate: Estimate) -> None:
    assert estimate.value == 7.0
    assert np.isnan(estimate.low)
    assert np.isnan(estimate.high)
    assert not estimate.excludes(0.0)


def test_one_run_per_task_has_no_interval() -> None:
    found = stratified_bootstrap([[1.0], [5.0]])
    assert found.value == 3.0
    assert np.isnan(found.low)


def test_strata_are_resampled_each_on_its_own() -> None:
    """Tasks on scales of 0 and 1000 without spread inside: the mean cannot move, unless strata were mixed."""
    found = stratified_bootstrap([[0.0, 0.0, 0.0], [1000.0, 1000.0, 1000.0]])
    assert (found.low, found.high) == (500.0, 500.0)


def test_strata_may_have_different_lengths() -> None:
    found = stratified_bootstrap([[1.0, 2.0, 3.0], [10.0, 20.0]])
    assert found.value == pytest.approx(36.0 / 5)
    assert found.n == 5


def test_few_seeds_widen_the_interval_of_many_episodes() -> None:
    """Three seeds that differ: episodes pooled as if independent would give an interval far too narrow."""
    scores = np.array([0.0, 100.0, 200.0])[:, None] + np.sin(np.arange(50.0))[None, :]
    nested, pooled = hierarchical_bootstrap(scores), stratified_bootstrap(scores.ravel())
    assert nested.n == 3
    assert nested.high - nested.low > 4 * (pooled.high - pooled.low)
    assert nested.low == pytest.approx(0.0, abs=1.0)  # all three draws the worst seed: 1 in 27


def test_two_levels_have_the_variance_of_theory() -> None:
    """Var = (variance over seed means) / S + (mean variance within) / (S E), both with n in the denominator."""
    scores = np.array([[0.0, 2.0], [4.0, 10.0], [3.0, 5.0]])
    expected = np.sqrt(scores.mean(axis=1).var() / 3 + scores.var(axis=1).mean() / 6)
    draws: list[np.ndarray] = []

    def kept(rows: np.ndarray) -> np.ndarray:
        draws.append(rows.mean(axis=-1))
        return draws[-1]

    hierarchical_bootstrap(scores, kept)
    assert draws[-1].std() == pytest.approx(expected, rel=0.02)


def test_paired_seeds_are_resampled_before_their_episodes() -> None:
    gaps = np.array([5.0, 100.0, 200.0])[:, None] + np.sin(np.arange(50.0))[None, :]
    assert paired_difference(gaps, np.zeros_like(gaps)) == hierarchical_bootstrap(gaps)


def test_forgetting_is_positive_where_something_was_lost() -> None:
    found = forgetting(SKEWED + 50.0, SKEWED)
    assert (found.value, found.n) == (pytest.approx(50.0), 50)


def test_gain_is_the_share_of_the_way_back() -> None:
    assert gain(60.0, zero_shot=20.0, source=100.0) == 0.5
    assert np.isnan(gain(60.0, zero_shot=20.0, source=20.0))


def test_the_seed_decides_the_resamples() -> None:
    assert stratified_bootstrap(SKEWED, seed=3) == stratified_bootstrap(SKEWED, seed=3)
    assert stratified_bootstrap(SKEWED, seed=3) != stratified_bootstrap(SKEWED, seed=4)


def test_many_values_are_resampled_in_pieces() -> None:
    whole, many = stratified_bootstrap(SKEWED, reps=2_000), stratified_bootstrap(np.tile(SKEWED, 100), reps=2_000)
    assert many.high - many.low == pytest.approx((whole.high - whole.low) / 10, rel=0.15)


def test_fifty_thousand_resamples_of_fifty_values_are_quick() -> None:
    begun = time.process_time()
    paired_difference(SKEWED, SKEWED[::-1])
    stratified_bootstrap(SKEWED, iqm)
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: stratified_bootstrap([1.0, float("nan")]), "score (1,) is nan"),
        (lambda: stratified_bootstrap([]), "at least one score"),
        (lambda: paired_difference([1.0, 2.0], [1.0]), "one shape, got (2,) and (1,)"),
        (lambda: probability_of_improvement(A, B[:, :2]), "`a` has 4 tasks and `b` 2"),
        (lambda: hierarchical_bootstrap([1.0, 2.0]), "needs (seeds, episodes)"),
    ],
)
def test_scores_that_cannot_be_used_are_named(call, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert said in str(caught.value)
