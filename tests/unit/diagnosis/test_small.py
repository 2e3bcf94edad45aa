"""Observations, the policy, gradients and the columns that hold them."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from acclimate.diagnosis import gradients as training
from acclimate.diagnosis import observations, policy
from acclimate.diagnosis.history import History
from acclimate.nets.outputs import Bernoulli, Categorical, Gaussian, Point, Values
from acclimate.sb3.policies.intake import tensors

# Observations


def test_the_clipped_share() -> None:
    seen = torch.tensor([[10.0, 1.0], [-10.0, 2.0]])
    assert observations.clipped(seen, 10.0, None) == 0.5
    assert observations.clipped({"a": seen, "b": torch.zeros(2, 2)}, 10.0, {"a": 0, "b": 0}) == 0.25
    assert observations.clipped(torch.zeros(1, 3, 84, 84), 10.0, None) is None


def test_only_what_is_normalised_can_be_clipped() -> None:
    """The number of a room and a raw image may well be beyond the bound."""
    seen = {"room": torch.tensor([[12], [15]]), "speed": torch.tensor([[10.0], [1.0]])}
    assert observations.clipped(seen, 10.0, {"speed": 0}) == 0.5


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 3)),
        spaces.Discrete(4),
        spaces.Dict(room=spaces.Discrete(4), gears=spaces.MultiDiscrete([2, 2]), speed=spaces.Box(-1, 1, (2,))),
    ],
    ids=["box", "discrete", "dict"],
)
def test_features_have_the_names_of_their_places(space: spaces.Space[Any]) -> None:
    """As `flat` orders them: each feature in turn is the one that moves."""
    policy = SimpleNamespace(observation_space=space, device="cpu")
    sampled = [space.sample() for _ in range(6)]
    if isinstance(space, spaces.Dict):
        # Environments may give their parts in any order.
        seen = tensors(policy, {key: np.stack([one[key] for one in sampled]) for key in reversed(space.spaces)})
        sizes = {key: int(np.prod(part.shape)) for key, part in space.items()}
        wanted = [f"{key}[{place}]" for key in seen for place in range(sizes[key])]
    else:
        seen = tensors(policy, np.stack(sampled))
        wanted = [str(place) for place in range(int(np.prod(space.shape)))]
    assert list(observations.names(space)) == wanted
    assert observations.flat(seen).shape == (6, len(wanted))


def test_pictures_have_no_names() -> None:
    assert observations.names(spaces.Box(0, 255, (36, 36, 3), np.uint8)) == ()


def test_the_shift_is_in_deviations_of_before() -> None:
    """The second feature: deviations of 2 around 0, now around 5. The third never varied."""
    then = torch.tensor([[1.0, 2.0, 7.0], [-1.0, -2.0, 7.0]])
    now = torch.tensor([[1.0, 5.0, 9.0], [0.0, 5.0, 9.0]])
    assert observations.shift(now, then) == (1, pytest.approx(2.5))
    assert observations.shift(torch.ones(2, 1), torch.ones(2, 1)) is None


def test_the_reward_scale() -> None:
    assert observations.reward_scale(torch.tensor([-4.0, 2.0]), torch.tensor([1.0, 1.0])) == 3.0
    assert observations.reward_scale(torch.ones(2), torch.zeros(2)) is None


# The policy


def test_what_the_warm_start_opens_is_no_gap() -> None:
    mean = torch.tensor([[0.5, -0.2]])
    assert policy.step_zero_gap(Gaussian(mean, torch.zeros(2)), Gaussian(mean, torch.full((2,), -3.0))) == 0.0
    moved = Gaussian(mean + torch.tensor([[0.0, 0.25]]), torch.zeros(2))
    assert policy.step_zero_gap(moved, Gaussian(mean, torch.zeros(2))) == 0.25
    logits = torch.tensor([[3.0, 1.0, -2.0]])
    opened = Categorical(logits / 4.0)
    assert policy.step_zero_gap(opened, Categorical(logits), temperature=4.0) == pytest.approx(0.0, abs=1e-6)
    assert policy.step_zero_gap(opened, Categorical(logits)) > 0.1
    assert policy.step_zero_gap(Point(mean), Point(mean * 2)) == 0.5
    assert policy.step_zero_gap(Bernoulli(mean), Bernoulli(mean)) == 0.0
    assert policy.step_zero_gap(Values(mean), Values(mean)) is None


def test_spreads_by_hand() -> None:
    assert policy.std(Gaussian(torch.zeros(3, 2), torch.tensor([0.0, math.log(3.0)]))) == pytest.approx(2.0)
    assert policy.std(Categorical(torch.zeros(1, 2))) is None
    assert policy.entropy_share(Categorical(torch.zeros(4, 5), (2, 3))) == pytest.approx(1.0)
    p = 0.8
    two = Categorical(torch.log(torch.tensor([[p, 1 - p]])))
    assert policy.entropy_share(two) == pytest.approx(-(p * math.log(p) + 0.2 * math.log(0.2)) / math.log(2))
    assert policy.entropy_share(Point(torch.zeros(1, 1))) is None


# Training


def test_the_latest_values() -> None:
    assert training.late([]) is None
    assert training.late([9.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == 3.0


@pytest.mark.parametrize(
    ("rates", "stuck"),
    [
        ([3.0] * 10, False),
        ([3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0], True),
        ([1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0], True),
        ([1.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0], False),
        ([7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], False),
        ([2.0, 1.0], False),
    ],
)
def test_a_rate_at_its_bound(rates: list[float], stuck: bool) -> None:
    assert training.at_bound(rates) is stuck


def test_gradients_by_hand() -> None:
    a, b, c = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert training.gradient_norm([a, b, c]) == 5.0
    assert training.gradient_norm([c]) is None
    first, second = [torch.tensor([1.0, 0.0]), None], [torch.tensor([-1.0, 1.0]), torch.tensor([5.0])]
    assert training.cosine(first, second) == pytest.approx(-1 / np.sqrt(27))
    assert training.cosine(first, [None, None]) is None


# Columns


def test_columns_stay_aligned_and_go_through_json() -> None:
    seen = History()
    seen.add(0, {"a/x": 1.0, "a/y": None})
    seen.add(50, {"b/z": 2.0, "a/x": math.nan})
    assert seen.to_json() == {"steps": [0, 50], "a/x": [1.0, None], "b/z": [None, 2.0]}
    again = History(json.loads(json.dumps(seen.to_json())))
    again.add(90, {"a/x": 3.0})
    assert again.steps == [0, 50, 90]
    assert len(seen) == 2, "it is a copy"
    assert (again.first("a/x"), again.last("a/x"), again.known("a/x")) == (1.0, 3.0, [1.0, 3.0])
    assert list(again.names("a")) == ["a/x"]
    assert again.last("c") is None
