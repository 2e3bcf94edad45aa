"""Quantities of MuJoCo environments.

MuJoCo takes the larger friction of the two geoms that touch, so scaling the robot alone leaves a contact at
the floor's friction: in Hopper, whose foot has 2 and whose floor has the default 1, factors of 0.5 and of 0.1
would then both give 1. Hence every geom is scaled, the floor too.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import numpy as np

from acclimate.shifts.quantities.quantity import Quantity


def quantities(env: gym.Env) -> Mapping[str, Quantity]:
    """Return the quantities that this model has, none if the environment is not simulated by MuJoCo."""
    if not is_mujoco(env):
        return {}
    return {name: quantity for name, quantity in _ALL.items() if np.any(quantity.read(env))}


def is_mujoco(env: gym.Env) -> bool:
    """Whether the environment holds a MuJoCo model, whoever wrote it."""
    return type(getattr(env.unwrapped, "model", None)).__name__ == "MjModel" and hasattr(env.unwrapped, "data")


def actuators(env: gym.Env) -> tuple[str, ...]:
    """Name the actuators in the order of the action."""
    model = env.unwrapped.model
    return tuple(model.actuator(index).name or f"actuator {index}" for index in range(model.nu))


def settle(env: gym.Env) -> None:
    """Derive anew what MuJoCo precomputes from masses and gears, as its compiler would."""
    import mujoco

    bare = env.unwrapped
    scratch = mujoco.MjData(bare.model)  # mj_setConst moves the data that it is given to the reference pose
    mujoco.mj_setConst(bare.model, scratch)
    bare.model.stat.meaninertia = bare.model.dof_M0.mean()


def _friction(env: gym.Env, factor: float) -> None:
    env.model.geom_friction[:] *= factor
    env.model.pair_friction[:] *= factor


def _mass(env: gym.Env, factor: float) -> None:
    env.model.body_mass[:] *= factor
    env.model.body_inertia[:] *= factor
    settle(env)


def _damping(env: gym.Env, factor: float) -> None:
    env.model.dof_damping[:] *= factor
    if hasattr(env.model, "dof_dampingpoly"):  # MuJoCo >= 4: higher orders of the velocity
        env.model.dof_dampingpoly[:] *= factor


def _gear(env: gym.Env, factor: float) -> None:
    env.model.actuator_gear[:] *= factor
    settle(env)


def limits(env: gym.Env) -> tuple[np.ndarray, np.ndarray]:
    """Return the limited joints and the start pose of each, clipped into its range."""
    model = env.model
    joints = np.flatnonzero(model.jnt_limited)
    joints = joints[model.jnt_type[joints] >= 2]  # slides and hinges: a ball's range is one angle, not an interval
    start = getattr(env, "init_qpos", model.qpos0)[model.jnt_qposadr[joints]]
    return joints, np.clip(start, *model.jnt_range[joints].T)


def _scale_limits(env: gym.Env, factor: float) -> None:
    joints, start = limits(env)
    anchor = start[:, None]
    env.model.jnt_range[joints] = anchor + factor * (env.model.jnt_range[joints] - anchor)


def _read_limits(env: gym.Env) -> np.ndarray:
    joints, _ = limits(env)
    return np.diff(env.model.jnt_range[joints], axis=1)[:, 0]


_ALL = {
    "gravity": Quantity(
        "m/s^2",
        lambda env: np.linalg.norm(env.model.opt.gravity),
        lambda env, factor: env.model.opt.gravity.__imul__(factor),
    ),
    "friction": Quantity("(sliding)", lambda env: env.model.geom_friction[:, 0].copy(), _friction),
    "mass": Quantity("kg", lambda env: env.model.body_mass[1:].copy(), _mass),
    "damping": Quantity("N m s/rad", lambda env: env.model.dof_damping.copy(), _damping),
    "gear": Quantity("N m per action", lambda env: env.model.actuator_gear[:, 0].copy(), _gear),
    "joint_limits": Quantity("rad wide (m for a slide)", _read_limits, _scale_limits),
}


def resisting(env: gym.Env, joints: np.ndarray, pose: np.ndarray) -> int:
    """Count the joint limits that push back in a pose, leaving the environment as it is."""
    import mujoco

    scratch = mujoco.MjData(env.model)
    scratch.qpos[env.model.jnt_qposadr[joints]] = pose
    mujoco.mj_forward(env.model, scratch)
    return int(np.sum(scratch.efc_type == mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT))
