"""Few seeds on shared episodes, against scipy, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from acclimate.errors import ConfigError
from acclimate.statistics.seeds import Spread, crossed, holm, improvement, over_cases, together


def test_without_an_effect_of_episodes_it_is_students_interval_over_seeds() -> None:
    by_seed = np.array([1.0, 4.0, 2.0, 7.0])
    values = np.repeat(by_seed[:, None], 6, axis=1)
    found = crossed(values).interval()
    theirs = stats.ttest_1samp(by_seed, 0.0).confidence_interval(0.95)
    assert found.value == pytest.approx(3.5)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.n == 4


def test_one_seed_is_students_interval_over_episodes() -> None:
    values = np.array([[3.0, 1.0, 2.0, 6.0, 3.5]])
    theirs = stats.ttest_1samp(values[0], 0.0).confidence_interval(0.95)
    found = crossed(values).interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_the_variance_of_the_mean_is_that_of_a_table_by_hand() -> None:
    """Seed means 2 and 4, episode means 1, 3 and 5, nothing left over: 2 * 3 / 6 + 2 * 4 / 6 = 1 + 4 / 3."""
    values = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]])
    found = crossed(values)
    assert found.mean == 3.0
    assert found.variance == pytest.approx(1 + 4 / 3)
    assert found.freedom == 1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(2, 30), st.floats(0, 3), st.floats(0, 3), st.integers(0, 10**6))
def test_its_expected_variance_is_that_of_the_mean(
    seeds: int, episodes: int, of_seed: float, of_episode: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (seeds, episodes)
    table = of_seed * rng.normal(size=(seeds, 1)) + of_episode * rng.normal(size=(1, episodes)) + rng.normal(size=shape)
    found = crossed(table)
    assert found.variance >= table.mean(axis=1).var(ddof=1) / seeds - 1e-9, "never less than the seeds alone show"
    assert 0 < found.freedom <= seeds - 1
    assert crossed(table * 2).variance == pytest.approx(4 * found.variance)
    assert crossed(table + 5).interval().low == pytest.approx(found.interval().low + 5)


def test_two_cases_together_are_welchs_test() -> None:
    one, other = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.5, 9.0, 4.0])
    apart = together([over_cases(one), over_cases(other).scaled(-1)]).scaled(2).interval()
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (apart.low, apart.high) == pytest.approx((theirs.low, theirs.high))


def test_the_one_sided_probability_is_scipys() -> None:
    values = np.array([-1.0, -2.0, 0.5, -0.5])
    theirs = stats.ttest_1samp(values, -0.1, alternative="less").pvalue
    assert over_cases(values).below(-0.1) == pytest.approx(theirs)
    assert Spread(-1.0, 0.0, np.inf, 3).below() == 1.0, "that seeds agree is no evidence"
    assert np.isnan(crossed([[500.0] * 5] * 3).interval().low)
    assert np.isnan(crossed([[1.0, 2.0]]).single().interval().low)
    assert Spread(-1.0, 0.0, 0.0, 1).below() == 1.0, "one value shows nothing"


@pytest.mark.parametrize("seed", range(5))
def test_the_probability_of_improvement_is_mann_whitneys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(rng.integers(0, 9, 4).astype(float), rng.integers(0, 9, 5).astype(float)) for _ in range(3)]
    theirs = [stats.mannwhitneyu(one, other).statistic / 20 for one, other in pairs]
    found = improvement(pairs, reps=500)
    assert found.value == pytest.approx(np.mean(theirs))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_where_nothing_can_be_resampled_there_is_no_interval() -> None:
    found = improvement([([3.0, 4.0], [1.0, 2.0])])
    assert found.value == 1.0
    assert np.isnan(found.low)
    assert np.isnan(improvement([([3.0], [1.0])]).high)
    assert np.isnan(crossed([[1.0]]).interval().low)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.05]) == [True]
    assert holm([]) == []


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_normal_returns_are_covered_as_it_says(seeds: int) -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(1500):
        table = rng.normal(size=(seeds, 1)) + rng.normal(size=(1, 20)) + rng.normal(size=(seeds, 20))
        found = crossed(table).interval()
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / 1500 <= 0.99


@pytest.mark.parametrize("values", [[1.0, 2.0], [[[1.0]]], [[np.nan, 1.0]], []])
def test_what_is_no_table_is_refused(values: object) -> None:
    with pytest.raises(ConfigError):
        crossed(values)  # type: ignore[arg-type]
