"""Joints of a robot: one that is broken, and limits that are tighter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np

from acclimate.errors import TaskError
from acclimate.shifts.physics import Physics
from acclimate.shifts.quantities import mujoco
from acclimate.shifts.shift import Shift, finite


class _WithoutJoint(gym.ActionWrapper):
    """Executes each action with one entry at zero."""

    def __init__(self, env: gym.Env, joint: int) -> None:
        super().__init__(env)
        self._joint = joint

    def action(self, action: np.ndarray) -> np.ndarray:
        """Set the entry to zero."""
        action = np.array(action)
        action[self._joint] = 0
        return action


@dataclass(frozen=True)
class BrokenJoint(Shift):
    """An actuator that gives no torque."""

    actuator: int
    """Which one, counted from 0 in the order of the action."""

    name: ClassVar[str] = "broken_joint"
    unit: ClassVar[str] = "number of the actuator, from 0"
    example: ClassVar[int] = 0

    def __post_init__(self) -> None:
        finite("actuator", self.actuator, least=0)

    def missing(self, env: gym.Env) -> str:
        """Say why the environment cannot have it."""
        names = _joints(env)
        if not names:
            return "it has no joints with motors"
        if self.actuator >= len(names):
            return f"its actuators are numbered 0 to {len(names) - 1}"
        return ""

    def current(self, env: gym.Env) -> str:
        """Describe what is there now."""
        return ", ".join(f"{number} {name}" for number, name in enumerate(_joints(env)))

    def apply(self, env: gym.Env) -> gym.Env:
        """Wrap the environment, or take the gear from its model."""
        if not mujoco.is_mujoco(env):
            return _WithoutJoint(env, self.actuator)
        env.unwrapped.model.actuator_gear[self.actuator] = 0.0
        mujoco.settle(env)
        return env

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Read the gear back, then compare what the two do.

        Raises:
            TaskError: if the actuator still has a gear, or nothing changed.
        """
        if mujoco.is_mujoco(env) and np.any(env.unwrapped.model.actuator_gear[self.actuator]):
            raise TaskError(f"the shift `{self}` left the actuator its gear; leave it out")
        super().verify(env, before)


def _joints(env: gym.Env) -> tuple[str, ...]:
    """Name the actuated joints; the walker's four hang free under an action of zero."""
    if mujoco.is_mujoco(env):
        return mujoco.actuators(env)
    if type(env.unwrapped).__module__ == "gymnasium.envs.box2d.bipedal_walker":
        return ("hip 1", "knee 1", "hip 2", "knee 2")
    return ()


@dataclass(frozen=True)
class JointLimits(Physics):
    """Range of the joints, scaled about the pose in which an episode starts."""

    name: ClassVar[str] = "joint_limits"
    example: ClassVar[float] = 0.5
    positive: ClassVar[bool] = True

    def verify(self, env: gym.Env, before: gym.Env) -> None:
        """Read the ranges back, then bend every joint between the old and the new limit: one must resist.

        A rollout would not do: random actions seldom reach the limits that a trained agent uses.

        Raises:
            TaskError: if a range is not what was declared, or both models resist alike.
        """
        self.read_back(env, before)
        old, new = before.unwrapped, env.unwrapped
        joints, _ = mujoco.limits(old)
        pose = (old.model.jnt_range[joints] + new.model.jnt_range[joints]) / 2
        for side in pose.T:
            if self.identity or mujoco.resisting(old, joints, side) != mujoco.resisting(new, joints, side):
                return
        raise TaskError(f"the shift `{self}` changes nothing here; choose another value or another shift")
