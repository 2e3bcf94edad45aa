"""The worlds of the compatibility matrix: each kind of observation and action that SB3 knows, as small as can be."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

LENGTH = 5
"""Steps of an episode."""

_VECTOR = Box(np.array([-1.0, -np.inf, -2.5], np.float32), np.array([1.0, np.inf, np.inf], np.float32))
_PARTS = OrderedDict(
    speed=Box(-5.0, 5.0, (2,), np.float32),
    gear=Discrete(4),
    doors=MultiDiscrete([2, 3]),
    lamps=MultiBinary(3),
    picture=Box(0, 255, (36, 36, 1), np.uint8),
)


@dataclass(frozen=True)
class Seen:
    """What an agent observes."""

    space: Space
    policy: str
    """The kind of policy that reads it: Mlp, Cnn or MultiInput."""
    normalized: bool = False
    """Whether SB3's `VecNormalize` scales it."""
    keys: tuple[str, ...] | None = None
    """The parts of a Dict that it scales; all that it can by default."""


OBSERVATIONS: Mapping[str, Seen] = {
    "Box vector": Seen(_VECTOR, "Mlp", normalized=True),
    "Box image": Seen(Box(0, 255, (36, 36, 1), np.uint8), "Cnn"),
    "normalised image in a Dict": Seen(
        Dict(OrderedDict(tiles=Box(0, 255, (5, 4, 3), np.uint8), speed=Box(-5.0, 5.0, (2,), np.float32))),
        "MultiInput",
        normalized=True,
    ),
    "Discrete": Seen(Discrete(4), "Mlp"),
    "MultiDiscrete": Seen(MultiDiscrete([3, 4]), "Mlp"),
    "MultiBinary": Seen(MultiBinary(4), "Mlp"),
    "Dict": Seen(Dict(_PARTS), "MultiInput"),
}

UNUSUAL: Mapping[str, Seen] = {
    "Box of float64": Seen(Box(-1.0, 1.0, (3,), np.float64), "Mlp"),
    "Box of float64, normalised": Seen(Box(-1.0, 1.0, (3,), np.float64), "Mlp", normalized=True),
    "Box of float16": Seen(Box(-1.0, 1.0, (3,), np.float16), "Mlp"),
    "Box of int64": Seen(Box(-9, 9, (3,), np.int64), "Mlp"),
    "Box of int64, normalised": Seen(Box(-9, 9, (3,), np.int64), "Mlp", normalized=True),
    "Box of uint8": Seen(Box(0, 255, (3,), np.uint8), "Mlp"),
    "Box without axes": Seen(Box(-1.0, 1.0, (), np.float32), "Mlp"),
    "Box of three axes": Seen(Box(-1.0, 1.0, (2, 3, 2), np.float32), "Mlp"),
    "image, channels first": Seen(Box(0, 255, (1, 36, 36), np.uint8), "Cnn"),
    "image, normalised and flat": Seen(Box(0, 255, (5, 4, 3), np.uint8), "Mlp", normalized=True),
    "image read by a perceptron": Seen(Box(0, 255, (5, 4, 3), np.uint8), "Mlp"),
    "bytes like an image, of other bounds": Seen(Box(0, 9, (5, 4, 3), np.uint8), "Mlp"),
    "MultiBinary of two axes": Seen(MultiBinary((2, 3)), "Mlp"),
    "Dict of choices": Seen(
        Dict(OrderedDict(doors=MultiDiscrete([2, 3]), gear=Discrete(3), lamps=MultiBinary((2, 2)))), "MultiInput"
    ),
    "Dict, a part normalised": Seen(
        Dict(OrderedDict(far=Box(-9.0, 9.0, (3,), np.float64), near=Box(-1.0, 1.0, (2,), np.float32))),
        "MultiInput",
        normalized=True,
        keys=("near",),
    ),
    "Dict of all, a part normalised": Seen(Dict(_PARTS), "MultiInput", normalized=True, keys=("speed",)),
}
"""Others that SB3 takes; they have no rows in the table and are tried with a few algorithms."""

ACTIONS: Mapping[str, Space] = {
    "Discrete": Discrete(3),
    "MultiDiscrete": MultiDiscrete([2, 3]),
    "MultiBinary": MultiBinary(3),
    "Box": Box(np.array([-1.0, -0.5], np.float32), np.array([3.0, 0.25], np.float32)),
}

UNUSUAL_ACTIONS: Mapping[str, Space] = {
    "one MultiDiscrete": MultiDiscrete([3]),
    "one MultiBinary": MultiBinary(1),
    "MultiDiscrete of two axes": MultiDiscrete([[2, 3], [3, 2]]),
    "MultiBinary of two axes": MultiBinary((2, 3)),
    "one Box": Box(-2.0, 3.0, (1,), np.float32),
    "Box of two axes": Box(-1.0, 2.0, (2, 2), np.float32),
    "Box of float64": Box(-1.0, 2.0, (2,), np.float64),
    "Box of float16": Box(-1.0, 2.0, (2,), np.float16),
    "Box of int64": Box(-2, 3, (2,), np.int64),
    "Box without axes": Box(-1.0, 1.0, (), np.float32),
    "half-infinite Box": Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, np.inf], np.float32)),
}
"""Likewise."""


class World(gym.Env):
    """Random observations, drawn by the episode's seed; what is paid follows from them and the action alone."""

    def __init__(self, seen: Space, taken: Space, *, shift: float = 0.0, masked: bool = False) -> None:
        """Prepare.

        Args:
            seen: what is observed.
            taken: what can be done; anything else raises, a Discrete action that is no key of a dict as well.
            shift: added to each reward, the change of the changed world.
            masked: whether the first choice is now and then not allowed, and raises.
        """
        self.observation_space, self.action_space = copy.deepcopy(seen), copy.deepcopy(taken)
        self._kind = copy.deepcopy(seen)  # SB3's VecNormalize writes into the space that an environment has
        self.shift, self.masked = shift, masked
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._seen = copy.deepcopy(self._kind)
        self._seen.seed(int(self.np_random.integers(2**31)))
        self.steps = 0
        return self._seen.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        paid = self._worth(action)
        self.steps += 1
        return self._seen.sample(), paid + self.shift, False, self.steps == LENGTH, {}

    def _worth(self, action: Any) -> float:
        if self.masked and not self._allowed(action):
            raise ValueError(f"the action {action} is not allowed in step {self.steps}")
        if isinstance(self.action_space, Discrete):
            return {0: 0.25, 1: -1.0, 2: 2.0}[action] / (1 + self.steps)
        if not self._is_one(action):
            raise ValueError(f"{action!r} is not in {self.action_space}")
        flat = np.ravel(action).astype(np.float64)
        return float(flat @ np.linspace(-1.0, 2.0, flat.size)) / (1 + self.steps)

    def _is_one(self, action: Any) -> bool:
        space = self.action_space
        if isinstance(space, Box):  # SB3 draws numbers of 32 bits for each
            return np.shape(action) == space.shape and bool(np.all((space.low <= action) & (action <= space.high)))
        return space.contains(np.asarray(action))

    def _allowed(self, action: Any) -> bool:
        return self.steps % 2 == 0 or bool(np.ravel(action)[0] != 0)

    def action_masks(self) -> np.ndarray:
        """Return which choices are allowed: in every other step not the first one of the first part."""
        if isinstance(self.action_space, Discrete):
            sizes = [int(self.action_space.n)]
        elif isinstance(self.action_space, MultiDiscrete):
            sizes = self.action_space.nvec.ravel().tolist()
        else:
            sizes = [2] * int(np.prod(self.action_space.shape))
        mask = np.ones(sum(sizes), bool)
        mask[0] = not self.masked or self.steps % 2 == 0
        return mask
