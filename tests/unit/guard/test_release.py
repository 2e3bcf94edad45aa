"""No action leaves its bounds, and the fallback is what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acclimate.errors import ConfigError
from acclimate.guard.release import Release, limits

WIDE = spaces.Box(np.array([-0.7, 0.1]), np.array([0.1, 0.3]), dtype=np.float64)
ANY = arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))


@settings(max_examples=200, deadline=None)
@given(ANY, ANY, st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from(["hold", "safe", "other"]))
def test_whatever_comes_what_leaves_is_within_the_bounds(
    proposed: np.ndarray, other: np.ndarray, refusing: list[bool], fallback: str
) -> None:
    release = Release.of(WIDE, fallback=fallback, rate=0.2)
    last = release.safe.expand(3, -1)
    taken, mended = release(
        torch.from_numpy(proposed), torch.tensor(refusing)[:, None].float(), last, torch.from_numpy(other)
    )
    out = taken.numpy().astype(np.float64)
    assert ((out >= WIDE.low) & (out <= WIDE.high)).all()
    assert ((taken - last).abs() <= release.step + 1e-6).all()
    chosen = np.where(np.array(refusing)[:, None] & (fallback == "other"), other, proposed)
    left = ~np.isfinite(chosen).all(1) & ~(np.array(refusing) & (fallback != "other"))
    assert mended.numpy()[left].all()


def test_bounds_in_32_bits_lie_inside_those_of_64() -> None:
    low, high = limits(WIDE)
    assert (low.astype(np.float64) >= WIDE.low).all()
    assert (high.astype(np.float64) <= WIDE.high).all()
    assert np.float64(np.float32(0.1)) > 0.1, "else nothing is tried"


def test_an_action_at_a_bound_of_64_bits_needs_no_mending() -> None:
    """The nearest number of 32 bits lies outside."""
    release, ends = Release.of(WIDE), np.stack([WIDE.low, WIDE.high])
    taken, mended = release(release.narrowed(torch.from_numpy(ends)), torch.zeros(2, 1), release.safe.expand(2, -1))
    np.testing.assert_allclose(taken.numpy(), ends, atol=1e-6)
    assert not mended.any()
    beyond = torch.from_numpy(ends.astype(np.float32) * 1.5)
    assert release(release.narrowed(beyond), torch.zeros(2, 1), release.safe.expand(2, -1))[1].all()


@pytest.mark.parametrize(
    ("fallback", "wanted"), [("hold", [-0.5, 0.2]), ("safe", [0.0, 0.25]), ("other", [0.05, 0.15])]
)
def test_where_it_is_refusing_the_fallback_acts(fallback: str, wanted: list[float]) -> None:
    release = Release.of(WIDE, fallback=fallback, safe=[0.0, 0.25])
    proposed, last = torch.tensor([[0.01, 0.3], [0.01, 0.11]]), torch.tensor([[-0.5, 0.2]] * 2)
    taken, _ = release(proposed, torch.tensor([[1.0], [0.0]]), last, torch.tensor([[0.05, 0.15]] * 2))
    np.testing.assert_allclose(taken.numpy(), [wanted, [0.01, 0.11]], atol=1e-6)


@pytest.mark.parametrize(
    ("space", "wanted"),
    [
        (WIDE, [0, 0.1]),
        (spaces.Discrete(3, start=2), [2]),
        (spaces.MultiDiscrete([2, 3]), [0, 0]),
        (spaces.MultiBinary(2), [0, 0]),
    ],
)
def test_the_safe_action_is_nearest_to_zero(space: spaces.Space, wanted: list[float]) -> None:
    np.testing.assert_allclose(Release.of(space).safe.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("space", "settings_", "said"),
    [
        (WIDE, {"safe": [1.0, 0.2]}, "none of Box"),
        (WIDE, {"safe": [0.0]}, "none of Box"),
        (WIDE, {"safe": [float("nan"), 0.2]}, "none of Box"),
        (spaces.Discrete(3), {"safe": 1.5}, "none of Discrete"),
        (spaces.Discrete(3), {"rate": 0.1}, "needs a bounded Box"),
        (WIDE, {"rate": 0.0}, "between 0 and 1"),
        (spaces.Box(-np.inf, np.inf, (1,)), {"rate": 0.5}, "needs a bounded Box"),
        (WIDE, {"fallback": "panic"}, "there are hold, safe, other"),
        (spaces.Dict(a=WIDE), {}, "no Dict actions"),
    ],
)
def test_what_cannot_be_is_refused(space: spaces.Space, settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Release.of(space, **settings_)
