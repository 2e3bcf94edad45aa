"""Shares of successes: Wilson's interval beside SciPy's, Newcombe's beside the paper's formula and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from acclimate.errors import ConfigError
from acclimate.statistics.proportions import paired_proportions, proportion


def truths(successes: int, n: int) -> np.ndarray:
    return np.arange(n) < successes


def pairs(both: int, ours: int, theirs: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two agents' successes on the same episodes, from how many had which."""
    table = [(True, True)] * both + [(True, False)] * ours + [(False, True)] * theirs + [(False, False)] * neither
    return tuple(np.array(table).T)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 20), (19, 20), (25, 50), (7, 1000)]
)
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_the_interval_is_wilsons(successes: int, n: int, confidence: float) -> None:
    found = proportion(truths(successes, n), confidence=confidence)
    theirs = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert (found.value, found.n) == (successes / n, n)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@pytest.mark.parametrize(
    ("table", "width"), [((0, 0, 0, 50), 0.0713), ((50, 0, 0, 0), 0.0713), ((20, 0, 0, 0), 0.1611)]
)
def test_pairs_that_end_alike_leave_the_interval_a_width(table: tuple[int, ...], width: float) -> None:
    """Both of Wilson's intervals are z^2 / (n + z^2) wide on one side, and nothing is known of a correlation."""
    found = paired_proportions(*pairs(*table))
    assert (found.value, found.n) == (0.0, sum(table))
    assert (found.low, found.high) == pytest.approx((-width, width), abs=1e-4)


def by_the_paper(both: int, ours: int, theirs: int, neither: int) -> tuple[float, float]:
    """Newcombe's method 10, as it is printed, for a table whose margins are not empty."""
    n = both + ours + theirs + neither
    first, second = (stats.binomtest(k, n).proportion_ci(0.95, method="wilson") for k in (both + ours, both + theirs))
    p, q, excess = (both + ours) / n, (both + theirs) / n, both * neither - ours * theirs
    excess = max(excess - n / 2, 0) if excess > 0 else excess
    phi = excess / np.sqrt(float((both + ours) * (theirs + neither) * (both + theirs) * (ours + neither)))
    below, above = (p - first.low, second.high - q), (first.high - p, q - second.low)
    ends = [np.sqrt(one**2 - 2 * phi * one * other + other**2) for one, other in (below, above)]
    return p - q - ends[0], p - q + ends[1]


@pytest.mark.parametrize("table", [(8, 4, 1, 12), (36, 12, 2, 0), (2, 9, 7, 2), (1, 30, 0, 19), (0, 5, 5, 0)])
def test_the_paired_interval_is_newcombes(table: tuple[int, ...]) -> None:
    found = paired_proportions(*pairs(*table))
    assert (found.low, found.high) == pytest.approx(by_the_paper(*table), abs=1e-12)
    back = paired_proportions(*reversed(pairs(*table)))
    assert (-back.high, -back.low) == pytest.approx((found.low, found.high), abs=1e-12)


@pytest.mark.parametrize(("p", "q", "common"), [(0.95, 0.9, 0.5), (0.5, 0.5, 0.0), (0.99, 0.99, 0.8), (0.2, 0.7, 0.3)])
def test_the_paired_interval_holds_as_often_as_it_says(p: float, q: float, common: float) -> None:
    """Of 1000 draws of 50 pairs, some of which are decided by what both agents share."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        ours = rng.uniform(size=50)
        theirs = np.where(rng.uniform(size=50) < common, ours, rng.uniform(size=50))
        found = paired_proportions(ours < p, theirs < q)
        held += found.low <= p - q <= found.high
    assert held >= 935


def test_no_episode_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one episode"):
        proportion([])
    with pytest.raises(ConfigError, match="one length, got 2 and 1"):
        paired_proportions([True, False], [True])
