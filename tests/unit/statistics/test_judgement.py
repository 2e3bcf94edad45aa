"""The bound by which an agent is kept: by hand, against the normal bound, and by simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from acclimate.errors import ConfigError
from acclimate.statistics.judgement import sure_gain, unseen

Draw = Callable[[np.random.Generator, int], np.ndarray]


def falls(rng: np.random.Generator, n: int) -> np.ndarray:
    """One in ten loses what the others won."""
    return np.where(rng.random(n) < 0.1, -9.0, 1.0) + 0.3 * rng.standard_normal(n)


DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "rare losses": lambda rng, n: 1.0 - rng.exponential(size=n),
    "rare gains": lambda rng, n: rng.exponential(size=n) - 1.0,
    "falls": falls,
}


def test_two_values_by_hand() -> None:
    """Of (0, 2) half of the resamples are 0, 0 or 2, 2, without an error: their distance is without end."""
    assert sure_gain([0.0, 2.0]) == -np.inf
    assert sure_gain([0.0, 2.0], confidence=0.5) == 1.0  # the median resample is the sample


def test_it_is_that_of_scipy_s_resamples() -> None:
    """The same resamples, studentised one by one."""
    values = np.random.default_rng(3).normal(1.0, 2.0, 30)
    rows = values[np.random.default_rng(0).integers(0, 30, size=(500, 30), dtype=np.int32)]
    distances = [(row.mean() - values.mean()) / stats.sem(row) for row in rows]
    by_hand = values.mean() - np.quantile(distances, 0.95, method="higher") * stats.sem(values)
    assert sure_gain(values, reps=500) == pytest.approx(by_hand, rel=1e-12)


def test_even_differences_are_near_student_s_bound() -> None:
    values = np.random.default_rng(1).normal(1.0, 2.0, 400)
    student = values.mean() - stats.t.ppf(0.95, 399) * stats.sem(values)
    assert sure_gain(values) == pytest.approx(student, abs=0.02)


def test_what_never_varies_is_sure_and_one_difference_is_not() -> None:
    assert sure_gain([3.0] * 20) == 3.0
    assert sure_gain([-3.0] * 20) == -3.0
    assert sure_gain([0.1 + 0.2] * 20) == pytest.approx(0.3)
    assert sure_gain([5.0]) == -np.inf


def test_one_deep_fall_forbids_what_a_normal_bound_allows() -> None:
    values = np.array([1.0] * 49 + [-10.0])
    assert values.mean() - 1.645 * stats.sem(values) > 0
    assert sure_gain(values) < 0


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_an_agent_without_gain_is_seldom_kept(draw: Draw) -> None:
    """At most 6 %, within what 1,200 draws can tell (three standard errors are 2 points); the table has 8,000."""
    rng = np.random.default_rng(0)
    kept = sum(sure_gain(draw(rng, 50), reps=500) > 0 for _ in range(1_200))
    assert kept / 1_200 < 0.08


def test_an_agent_with_a_gain_is_kept() -> None:
    """Half a standard deviation, which a t-test of 50 episodes finds in 97 % of draws."""
    rng = np.random.default_rng(0)
    assert sum(sure_gain(rng.normal(0.5, 1.0, 50), reps=500) > 0 for _ in range(300)) / 300 > 0.92


def test_it_moves_with_the_differences_and_scales_with_them() -> None:
    values = np.random.default_rng(2).normal(size=40)
    low = sure_gain(values)
    assert sure_gain(values + 7.0) == pytest.approx(low + 7.0)
    assert sure_gain(values * 1e6) == pytest.approx(low * 1e6)
    assert sure_gain(values * 1e-6) == pytest.approx(low * 1e-6)


def test_a_missing_return_is_no_difference() -> None:
    with pytest.raises(ConfigError, match="nan"):
        sure_gain([1.0, np.nan])


def test_what_so_many_episodes_show() -> None:
    assert unseen(50) == pytest.approx(1 - 0.05 ** (1 / 50))
    assert (1 - unseen(20)) ** 20 == pytest.approx(0.05)
