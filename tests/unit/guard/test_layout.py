"""Observations as rows: order, names, bounds, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from acclimate.errors import ConfigError, GuardRefusal
from acclimate.guard.features import Features
from acclimate.guard.layout import Layout
from tests import tiny

KINDS = {
    "box": spaces.Box(-1, 1, (2, 3), np.float64),
    "half": spaces.Box(-1, 1, (3,), np.float16),
    "whole": spaces.Box(-5, 5, (3,), np.int32),
    "image": tiny.IMAGE,
    "discrete": spaces.Discrete(4, start=2),
    "several": spaces.MultiDiscrete([3, 4]),
    "bits": spaces.MultiBinary(3),
    "dict": spaces.Dict(camera=tiny.IMAGE, mode=spaces.Discrete(3), speed=spaces.Box(-np.inf, np.inf, (2,))),
    "none": spaces.Box(-1, 1, (), np.float32),
}


@pytest.mark.parametrize("space", KINDS.values(), ids=list(KINDS))
def test_rows_hold_all_of_an_observation(space: spaces.Space) -> None:
    layout, seen = Layout(space), tiny.observations(space, 5)
    rows = layout.rows(seen)
    assert rows.shape == (5, layout.size) == (5, len(layout.names))
    back = layout.observations(rows)
    pairs = [(seen[key], back[key]) for key in space] if isinstance(space, spaces.Dict) else [(seen, back)]
    for one, other in pairs:
        assert one.shape == other.shape
        np.testing.assert_allclose(one.astype(np.float64), other.astype(np.float64), rtol=1e-6)
    low, high = layout.bounds()
    assert ((rows >= low) & (rows <= high)).all()
    assert layout.single(space.sample())
    assert not layout.single(seen)


def test_names_bounds_and_what_is_measured() -> None:
    layout = Layout(KINDS["dict"])
    assert layout.names[0] == "camera[0]"
    assert layout.names[-3:] == ("mode[0]", "speed[0]", "speed[1]")
    assert layout.numbers == [36 * 36 * 3 + 1, 36 * 36 * 3 + 2]
    assert len(Features(layout)) == 2 + 2
    assert [bound[-3:].tolist() for bound in layout.bounds()] == [[0, -np.inf, -np.inf], [2, np.inf, np.inf]]
    assert Layout(KINDS["discrete"]).bounds()[0].tolist() == [2]


def test_an_older_environments_largest_number_is_no_bound() -> None:
    largest = np.finfo(np.float32).max
    low, high = Layout(spaces.Box(-largest, largest, (1,), np.float32)).bounds()
    assert (low[0], high[0]) == (-np.inf, np.inf)


def test_what_is_too_large_for_32_bits_is_infinite_and_not_wrapped() -> None:
    rows = Layout(KINDS["box"]).rows(np.full((1, 2, 3), 1e300))
    assert np.isposinf(rows).all()


def test_pixels_beyond_their_range_do_not_wrap_around() -> None:
    layout = Layout(KINDS["image"])
    rows = np.full((1, layout.size), 300.0, np.float32)
    rows[0, 0] = -20.0
    picture = layout.observations(rows)
    assert (picture.dtype, picture[0, 0, 0, 0], picture[0, 0, 0, 1]) == (np.uint8, 0, 255)
    assert layout.observations(np.full((1, layout.size), 7.0, np.float32)).max() == 7


@pytest.mark.parametrize("wrong", [np.zeros((2, 4)), "text", None, 3, {"speed": 1}, [[1, 2], [3]], np.array(["a"] * 6)])
def test_observations_of_another_kind_are_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(GuardRefusal, match="are no batch of Box"):
        Layout(KINDS["box"]).rows(wrong)


def test_a_space_that_cannot_be_laid_out_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads no Tuple"):
        Layout(spaces.Tuple([spaces.Discrete(2)]))
