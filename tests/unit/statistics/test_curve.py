"""The figures of a learning curve, by hand."""

from __future__ import annotations

import pytest

from acclimate.errors import ConfigError
from acclimate.statistics.curve import Crossing, auc, crossings, recovery, steps_to_threshold, worst_dip


def test_auc_is_the_average_height() -> None:
    assert auc([0, 100], [0.0, 10.0]) == 5.0
    assert auc([0, 100, 400], [0.0, 10.0, 10.0]) == pytest.approx((5.0 * 100 + 10.0 * 300) / 400)
    assert auc([50], [7.0]) == 7.0


def test_recovery_is_counted_from_the_lowest_point() -> None:
    assert recovery([0, 10, 20, 30], [10.0, 12.0, 4.0, 10.0]) == 30
    assert recovery([0, 10, 20], [10.0, 4.0, 9.0]) is None
    assert recovery([0, 10], [10.0, 11.0]) == 0


def test_worst_dip_is_measured_from_the_start() -> None:
    assert worst_dip([10.0, 4.0, 30.0, 6.0]) == -6.0
    assert worst_dip([10.0, 11.0]) == 0.0


def test_a_threshold_is_reached_at_a_measured_step() -> None:
    assert steps_to_threshold([0, 10, 20, 30], [0.0, 5.0, 9.0, 4.0], 5.0) == Crossing(10.0, True)
    assert steps_to_threshold([0, 10, 20], [0.0, 5.0, 9.0], 9.5) == Crossing(20.0, False)


def test_runs_that_never_reach_it_are_counted() -> None:
    runs = [Crossing(10.0, True), Crossing(30.0, True), Crossing(50.0, False)]
    assert crossings(runs) == {"runs": 3, "reached": 2, "median_steps": 30.0}
    assert crossings([*runs, Crossing(50.0, False)])["median_steps"] is None
    assert crossings(runs[2:]) == {"runs": 1, "reached": 0, "median_steps": None}


@pytest.mark.parametrize(
    ("steps", "returns", "said"),
    [([0, 1], [1.0], "one return per step"), ([0, 2, 1], [1.0, 2.0, 3.0], "must increase"), ([], [], "at least one")],
)
def test_a_curve_that_cannot_be_used_is_named(steps, returns, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        auc(steps, returns)
    assert said in str(caught.value)
