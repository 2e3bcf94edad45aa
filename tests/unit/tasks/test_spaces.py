from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from acclimate.errors import SpaceMismatchError
from acclimate.tasks.spaces import SpaceWarning, check_spaces, mismatches


@dataclass
class Spaces:
    """Stands for an agent and for a task."""

    observation_space: gym.Space
    action_space: gym.Space = field(default_factory=lambda: Discrete(2))

    def describe(self) -> str:
        return "World-v0"


def box(*shape: int, low: float = -1.0, high: float = 1.0, dtype: type = np.float32) -> Box:
    return Box(low, high, shape, dtype)


def check(ours: gym.Space, theirs: gym.Space) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_spaces(Spaces(ours), Spaces(theirs))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (box(3), box(3)),
        (box(3), box(3, dtype=np.float64)),
        (box(3, low=-np.inf, high=np.inf), box(3, low=-np.inf, high=np.inf)),
        (box(3, low=-np.finfo(np.float32).max, high=np.finfo(np.float32).max), box(3, low=-np.inf, high=np.inf)),
        (box(4, 84, 84, low=0, high=255, dtype=np.uint8), box(84, 84, 4, low=0, high=255, dtype=np.uint8)),
        (Discrete(3), Discrete(3)),
        (MultiDiscrete([2, 3]), MultiDiscrete([2, 3])),
        (MultiBinary(4), MultiBinary(4)),
        (Dict(a=box(2), b=Discrete(2)), Dict(b=Discrete(2), a=box(2))),
        (Tuple((box(2), Discrete(2))), Tuple((box(2), Discrete(2)))),
    ],
)
def test_spaces_that_fit(ours: gym.Space, theirs: gym.Space) -> None:
    check(ours, theirs)  # not even a warning
    assert list(mismatches("observation", ours, theirs)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (box(9), box(8), "observation: agent expects shape (9,), the environment gives (8,)"),
        (box(3), box(3, dtype=np.int64), "observation: agent expects float32, the environment gives int64"),
        (box(3), Discrete(3), "observation: agent expects Box of shape (3,), the environment gives Discrete(3)"),
        (Discrete(3), Discrete(4), "observation: agent expects Discrete(3), the environment gives Discrete(4)"),
        (Discrete(3), Discrete(3, start=1), "observation: agent expects Discrete(3), the environment gives "
         "Discrete(3, start=1)"),
        (MultiDiscrete([2, 3]), MultiDiscrete([2, 4]), "observation: agent expects MultiDiscrete([2 3]), "
         "the environment gives MultiDiscrete([2 4])"),
        (MultiBinary(4), MultiBinary(5), "observation: agent expects MultiBinary(4), the environment gives "
         "MultiBinary(5)"),
        (Dict(a=box(2), c=box(1)), Dict(a=box(3), b=box(1)),
         "observation: agent expects the key `c`, which the environment does not give; "
         "observation: the environment gives the key `b`, which the agent does not know; "
         "observation.a: agent expects shape (2,), the environment gives (3,)"),
        (Tuple((box(2),)), Tuple((box(3),)), "observation[0]: agent expects shape (2,), the environment gives (3,)"),
    ],
)  # fmt: skip
def test_what_differs_and_where(ours: gym.Space, theirs: gym.Space, message: str) -> None:
    assert "; ".join(mismatches("observation", ours, theirs)) == message
    with pytest.raises(SpaceMismatchError) as caught:
        check(ours, theirs)
    assert str(caught.value).startswith(f"World-v0: {message}. ")


def test_observation_and_action_are_both_named() -> None:
    with pytest.raises(SpaceMismatchError, match=r"observation: .*; action: agent expects Discrete\(2\)"):
        check_spaces(Spaces(box(2)), Spaces(box(3), box(1)))


@pytest.mark.parametrize(
    ("ours", "theirs", "hint"),
    [
        (box(9), box(8), "the wrapper `time_feature` adds"),
        (Dict(observation=box(9)), Dict(observation=box(8)), "the wrapper `time_feature` adds"),
        (box(12), box(3), "the wrapper `frame_stack=4` gives"),
        (box(4, 84, 84, dtype=np.uint8, low=0), box(84, 84, 1, dtype=np.uint8, low=0), "`frame_stack=4` gives"),
        (box(4, 84, 84, dtype=np.uint8, low=0), box(210, 160, 3, dtype=np.uint8, low=0), "wrapper `atari`"),
        (box(7), box(3), "Use the environment, version, arguments and wrappers"),
    ],
)
def test_hints(ours: gym.Space, theirs: gym.Space, hint: str) -> None:
    with pytest.raises(SpaceMismatchError, match=hint):
        check(ours, theirs)


def test_other_bounds_are_a_warning_that_names_the_axes() -> None:
    theirs = Box(np.array([-1, -2, -1], np.float32), np.array([1, 1, np.inf], np.float32))
    with pytest.warns(SpaceWarning) as caught:
        check_spaces(Spaces(Dict(x=box(3))), Spaces(Dict(x=theirs)))
    assert [str(w.message) for w in caught] == [
        "World-v0: observation.x: same shape (3,), but the bounds differ on axes [1, 2]: agent [-1, 1], "
        "environment [-2, 1] on the first; going on"
    ]


def test_many_axes_are_counted() -> None:
    with pytest.warns(SpaceWarning, match=r"axes \[0, 1, 2, 3, 4, 5, 6, 7\] and 12 more"):
        check_spaces(Spaces(box(20)), Spaces(box(20, high=2)))


@pytest.mark.parametrize(
    ("observation", "action", "reason", "wrapper"),
    [
        (Dict(a=Dict(b=box(2))), None, "observation.a: Stable-Baselines3 reads no Tuple", "FlattenObservation"),
        (Tuple((box(2), Discrete(2))), None, "observation: Stable-Baselines3 reads no Tuple", "FlattenObservation"),
        (Text(3), None, "observation: Stable-Baselines3 reads no Text", "TransformObservation"),
        (
            Dict(a=Discrete(3, start=1)),
            None,
            "observation.a: Discrete(3, start=1) does not count",
            "TransformObservation",
        ),
        (None, Discrete(2, start=1), "action: Discrete(2, start=1) does not count from 0", "TransformAction"),
        (None, Dict(a=Discrete(2)), "action: Stable-Baselines3 acts in no Dict", "TransformAction"),
        (None, Tuple((Discrete(2),)), "action: Stable-Baselines3 acts in no Tuple", "TransformAction"),
        (
            None,
            MultiDiscrete([[2, 3], [2, 3]]),
            "action: Stable-Baselines3 makes choices on one axis",
            "TransformAction",
        ),
        (None, MultiBinary((2, 2)), "action: Stable-Baselines3 makes choices on one axis", "TransformAction"),
        (None, box(2, high=np.inf), "action: Stable-Baselines3 acts within finite bounds", "TransformAction"),
    ],
    ids=str,
)
def test_what_sb3_has_no_agents_for_is_told_with_the_wrapper_that_helps(
    observation: gym.Space | None, action: gym.Space | None, reason: str, wrapper: str
) -> None:
    theirs = Spaces(observation or box(3), action or Discrete(2))
    with pytest.raises(SpaceMismatchError) as caught:
        check_spaces(Spaces(box(3)), theirs)
    message = str(caught.value)
    assert reason in message
    assert f"gymnasium.wrappers.{wrapper}" in message
    assert hasattr(gym.wrappers, wrapper)
    assert "\n" not in message


def test_bounds_of_few_bits_are_compared_without_a_warning() -> None:
    check(box(3, dtype=np.float16), box(3, dtype=np.float16))
    check(box(3, low=-9, high=9, dtype=np.int64), box(3, low=-9, high=9, dtype=np.int64))
