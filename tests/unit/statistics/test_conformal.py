"""Conformal limits, by hand and over many calibrations; and the figures of a detector."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, mannwhitneyu

from acclimate.errors import ConfigError
from acclimate.statistics.conformal import conformal_quantile, needed
from acclimate.statistics.detection import auroc, rate_at
from acclimate.statistics.proportions import exact_proportion


@pytest.mark.parametrize(
    ("n", "alpha", "wanted"),
    [
        (19, 0.05, 19),  # ceil(20 * .95) = 19, the largest
        (20, 0.05, 20),  # ceil(21 * .95 = 19.95) = 20
        (39, 0.05, 38),  # ceil(40 * .95) = 38
        (100, 0.1, 91),  # ceil(101 * .9 = 90.9) = 91
        (59, 0.05 / 3, 59),  # ceil(60 * 59 / 60) = 59
        (9, 0.5, 5),  # the median
    ],
)
def test_the_quantile_by_hand(n: int, alpha: float, wanted: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert conformal_quantile(scores, alpha) == wanted


@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.05, 0.05 / 3, 0.01])
def test_one_score_less_than_is_needed_is_refused_with_the_number(alpha: float) -> None:
    enough = needed(alpha)
    assert conformal_quantile(np.arange(enough), alpha) == enough - 1
    with pytest.raises(ConfigError, match=f"{enough} are needed"):
        conformal_quantile(np.arange(enough - 1), alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        conformal_quantile(np.arange(1000), alpha)


@pytest.mark.parametrize(("tiers", "alpha"), [(1, 0.05), (3, 0.05), (3, 0.2)])
def test_the_share_of_false_alarms_holds_over_calibrations(tiers: int, alpha: float) -> None:
    """Episodes' largest scores, heavy-tailed and alike within an episode, with the rate split over tiers."""
    random, repeats, n = np.random.default_rng(1), 2000, 120
    alarms = 0
    for _ in range(repeats):
        common = random.standard_t(2, size=(n + 1, 1))
        scores = common + random.standard_t(2, size=(n + 1, tiers))
        limits = [conformal_quantile(scores[:n, tier], alpha / tiers) for tier in range(tiers)]
        alarms += (scores[n] > limits).any()
    assert alarms <= binom.ppf(0.999, repeats, alpha)
    assert alarms >= binom.ppf(0.001, repeats, alpha / tiers), "the limits are far too high"


def test_auroc_is_mann_and_whitneys() -> None:
    random = np.random.default_rng(2)
    clean, faulty = random.integers(0, 9, 300), random.integers(2, 12, 200)
    wanted = mannwhitneyu(faulty, clean).statistic / (300 * 200)
    assert auroc(clean, faulty) == pytest.approx(wanted)


def test_the_rate_at_a_share_of_clean_scores_by_hand() -> None:
    clean = np.arange(200.0)
    # Two of 200 may lie above: the limit is 197.
    assert rate_at(clean, [196.0, 197.0, 197.5, 300.0]) == 0.5
    assert rate_at(np.zeros(5), [0.0, 1.0], 0.01) == 0.5


def test_figures_of_no_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="no steps"):
        auroc([], [1.0])


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 200), (1, 1), (3, 200), (200, 200), (1234, 5000)])
def test_the_exact_interval_is_scipys(k: int, n: int) -> None:
    wanted = binomtest(k, n).proportion_ci(method="exact")
    found = exact_proportion([True] * k + [False] * (n - k))
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
