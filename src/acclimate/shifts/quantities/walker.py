"""Quantities of BipedalWalker. Torque, speed and the robot's fixtures are constants of its module.

Box2D takes the geometric mean of the two frictions in a contact, so the ground and the robot are both scaled.
The walker pays for torque and reads its joint speeds in units of the motors' speed: both follow the motor
that is fitted.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from acclimate.shifts.quantities.quantity import Quantity
from acclimate.shifts.quantities.rebind import constant, rebind_constants

_FIXTURES = ("HULL_FD", "LEG_FD", "LOWER_FD")


def _read_friction(env: gym.Env) -> np.ndarray:
    robot = [constant(env, "reset", name).friction for name in _FIXTURES]
    return np.array([env.fd_edge.friction, env.fd_polygon.friction, *robot])


def _scale_friction(env: gym.Env, factor: float) -> None:
    env.fd_edge.friction *= factor
    env.fd_polygon.friction *= factor
    scaled = {name: _fixture(constant(env, "reset", name), factor) for name in _FIXTURES}
    rebind_constants(env, "reset", scaled)


def _fixture(original: object, factor: float) -> object:
    """Copy a fixture definition, which all walkers of the process share, with another friction."""
    from Box2D.b2 import fixtureDef

    return fixtureDef(
        shape=original.shape,
        density=original.density,
        friction=original.friction * factor,
        restitution=original.restitution,
        categoryBits=original.categoryBits,
        maskBits=original.maskBits,
        groupIndex=original.groupIndex,
        isSensor=original.isSensor,
    )


def _scale_gravity(env: gym.Env, factor: float) -> None:
    env.world.gravity = (env.world.gravity[0] * factor, env.world.gravity[1] * factor)


def _scale_torque(env: gym.Env, factor: float) -> None:
    for method in ("reset", "step"):
        rebind_constants(env, method, {"MOTORS_TORQUE": constant(env, method, "MOTORS_TORQUE") * factor})


def _scale_speed(env: gym.Env, factor: float) -> None:
    speeds = {name: constant(env, "step", name) * factor for name in ("SPEED_HIP", "SPEED_KNEE")}
    rebind_constants(env, "step", speeds)


QUANTITIES = {
    "gymnasium.envs.box2d.bipedal_walker.BipedalWalker": {
        "gravity": Quantity("m/s^2", lambda env: env.world.gravity[1], _scale_gravity),
        "friction": Quantity("", _read_friction, _scale_friction),
        "torque": Quantity("N m", lambda env: constant(env, "step", "MOTORS_TORQUE"), _scale_torque),
        "speed": Quantity(
            "rad/s (hip, knee)",
            lambda env: np.array([constant(env, "step", name) for name in ("SPEED_HIP", "SPEED_KNEE")]),
            _scale_speed,
        ),
    }
}
