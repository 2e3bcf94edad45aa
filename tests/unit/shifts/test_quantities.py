"""The physical quantities themselves, against values computed by hand or by the simulator's own compiler."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from acclimate.errors import TaskError
from acclimate.shifts import (
    ActuatorGear,
    BrokenJoint,
    CartMass,
    Damping,
    Force,
    Friction,
    Gravity,
    JointLimits,
    Length,
    MainEngine,
    Mass,
    PoleMass,
    Shift,
    SideEngine,
    Speed,
    Torque,
    Turbulence,
    Wind,
)
from acclimate.tasks.task import Task


def bare(env_id: str, *shifts: Shift, **kwargs: Any) -> Any:
    """Make a shifted environment and return what is inside of all wrappers."""
    return Task(env_id, shifts, env_kwargs=kwargs).make().unwrapped


# MuJoCo


def test_gravity_of_the_model() -> None:
    np.testing.assert_allclose(bare("Hopper-v5", Gravity(2)).model.opt.gravity, [0, 0, -19.62])


def test_stacked_factors_multiply() -> None:
    np.testing.assert_allclose(bare("Hopper-v5", Gravity(2), Gravity(1.5)).model.opt.gravity, [0, 0, -29.43])


def foot_friction(env: gym.Env) -> float:
    """Let a Hopper fall until it touches the floor, and return the sliding friction of the contact."""
    env.reset(seed=0)
    while not env.unwrapped.data.ncon:
        env.step(np.zeros(3, dtype=np.float32))
    contact = env.unwrapped.data.contact[0]
    names = {env.unwrapped.model.geom(int(geom)).name for geom in (contact.geom1, contact.geom2)}
    assert names == {"floor", "foot_geom"}
    return float(contact.friction[0])


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 2.0), (0.5, 1.0), (0.1, 0.2)])
def test_friction_of_a_contact_and_not_of_the_robot_alone(factor: float, expected: float) -> None:
    """MuJoCo takes the larger of two frictions: with the floor left at 1, a factor of 0.1 would give 1."""
    assert foot_friction(Task("Hopper-v5", (Friction(factor),)).make()) == pytest.approx(expected)


def test_mass_is_what_the_compiler_makes_of_denser_bodies() -> None:
    env = bare("Hopper-v5", Mass(1.5))
    spec = mujoco.MjSpec.from_file(env.fullpath)
    for geom in spec.geoms:
        geom.density *= 1.5
    compiled = spec.compile()
    for field in (
        "body_mass",
        "body_inertia",
        "body_subtreemass",
        "dof_M0",
        "dof_invweight0",
        "body_invweight0",
    ):
        np.testing.assert_allclose(getattr(env.model, field), getattr(compiled, field), rtol=1e-9, err_msg=field)
    assert env.model.stat.meaninertia == pytest.approx(compiled.stat.meaninertia)


def test_damping_and_gear_of_the_model() -> None:
    plain, shifted = bare("Hopper-v5"), bare("Hopper-v5", Damping(3), ActuatorGear(0.5))
    np.testing.assert_allclose(shifted.model.dof_damping, 3 * plain.model.dof_damping)
    np.testing.assert_allclose(shifted.model.actuator_gear[:, 0], [100, 100, 100])


def test_joint_limits_shrink_about_the_start_pose() -> None:
    shifted = bare("Hopper-v5", JointLimits(0.5)).model
    degrees = np.degrees(shifted.jnt_range[3:])
    np.testing.assert_allclose(degrees, [[-75, 0], [-75, 0], [-22.5, 22.5]])


def test_joint_limits_of_a_start_pose_outside_of_them_shrink_about_the_nearest() -> None:
    """The Ant starts with its ankles at 0 degrees, but they range from 30 to 70."""
    shifted = bare("Ant-v5", JointLimits(0.5)).model
    ankle = mujoco.mj_name2id(shifted, mujoco.mjtObj.mjOBJ_JOINT, "ankle_1")
    np.testing.assert_allclose(np.degrees(shifted.jnt_range[ankle]), [30, 50])


def test_a_broken_joint_gives_no_torque() -> None:
    env = bare("HalfCheetah-v5", BrokenJoint(2))
    env.reset(seed=0)
    env.step(np.ones(6, dtype=np.float32))
    np.testing.assert_allclose(env.data.qfrc_actuator[3:], [120, 90, 0, 120, 60, 30])


def test_a_joint_that_is_not_there() -> None:
    with pytest.raises(TaskError, match=r"`broken_joint=3`: its actuators are numbered 0 to 2"):
        Task("Hopper-v5", (BrokenJoint(3),)).make()


# Classic control


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (Gravity(2), {"gravity": 19.6}),
        (Length(2), {"length": 1.0, "polemass_length": 0.1, "total_mass": 1.1}),
        (PoleMass(3), {"masspole": 0.3, "polemass_length": 0.15, "total_mass": 1.3}),
        (CartMass(2), {"masscart": 2.0, "polemass_length": 0.05, "total_mass": 2.1}),
        (Force(0.5), {"force_mag": 5.0}),
    ],
)
def test_cartpole(shift: Shift, expected: dict[str, float]) -> None:
    env = bare("CartPole-v1", shift)
    assert {name: getattr(env, name) for name in expected} == pytest.approx(expected)


def test_cartpole_falls_by_the_new_equations() -> None:
    """One Euler step from rest at an angle of 0.1, pushed to the right, with a pole of twice the length."""
    env = bare("CartPole-v1", Length(2))
    env.reset(seed=0)
    env.state = np.array([0.0, 0.0, 0.1, 0.0])
    env.step(1)
    push = 10.0 / 1.1
    angular = (9.8 * np.sin(0.1) - np.cos(0.1) * push) / (1.0 * (4 / 3 - 0.1 * np.cos(0.1) ** 2 / 1.1))
    assert env.state[3] == pytest.approx(0.02 * angular)


def test_pendulum() -> None:
    env = bare("Pendulum-v1", Gravity(1.5), Mass(2), Length(0.5))
    assert (env.g, env.m, env.l) == (15.0, 2.0, 0.5)


def test_acrobot_mass_and_length() -> None:
    env = bare("Acrobot-v1", Mass(2), Length(1.5), Torque(0.5))
    assert (env.LINK_MASS_1, env.LINK_MASS_2) == (2, 2)
    assert (env.LINK_LENGTH_1, env.LINK_LENGTH_2, env.LINK_COM_POS_1, env.LINK_COM_POS_2) == (
        1.5,
        1.5,
        0.75,
        0.75,
    )
    assert pytest.approx(2 * 1.5**2) == env.LINK_MOI
    np.testing.assert_allclose(env.AVAIL_TORQUE, [-0.5, 0, 0.5])
    assert type(env).LINK_MASS_1 == 1.0


def test_acrobot_gravity_is_linear_in_the_equations() -> None:
    """At rest the accelerations are proportional to gravity: both links' torques are."""
    rest = np.array([0.3, 0.2, 0.0, 0.0, 0.0])
    plain = np.array(bare("Acrobot-v1")._dsdt(rest))
    np.testing.assert_allclose(bare("Acrobot-v1", Gravity(2))._dsdt(rest), 2 * plain)
    np.testing.assert_allclose(bare("Acrobot-v1", Gravity(2), Gravity(0.25))._dsdt(rest), 0.5 * plain)


@pytest.mark.parametrize(
    ("env_id", "action", "push"),
    [("MountainCar-v0", 2, 0.001), ("MountainCarContinuous-v0", np.ones(1), 0.0015)],
)
def test_mountain_car(env_id: str, action: Any, push: float) -> None:
    env = bare(env_id, Gravity(2), Force(3))
    env.reset(seed=0)
    env.state = np.array([-0.4, 0.0])
    env.step(action)
    assert env.state[1] == pytest.approx(3 * push - 2 * 0.0025 * np.cos(-1.2), rel=1e-5)


# LunarLander


def test_lander_gravity_is_the_world_s_after_reset() -> None:
    env = bare("LunarLander-v3", Gravity(0.5))
    env.reset(seed=0)
    assert env.world.gravity[1] == -5.0


def test_lander_gravity_stays_within_gymnasium_s_bounds() -> None:
    bare("LunarLander-v3", Gravity(1.19))
    with pytest.raises(TaskError, match=r"`gravity=1\.2`: -12 is not between its bounds -12 and 0"):
        bare("LunarLander-v3", Gravity(1.2))


def velocity_after_engine(action: int, *shifts: Shift) -> np.ndarray:
    """Return how much an engine changes the lander's velocity in the first step, against doing nothing."""
    velocities = []
    for choice in (action, 0):
        env = bare("LunarLander-v3", *shifts)
        env.reset(seed=1)
        env.step(choice)
        velocities.append(np.array(env.lander.linearVelocity))
    return velocities[0] - velocities[1]


@pytest.mark.parametrize(("action", "kind", "other"), [(2, MainEngine, SideEngine), (3, SideEngine, MainEngine)])
def test_engine_power_scales_the_impulse(action: int, kind: type[Shift], other: type[Shift]) -> None:
    plain = velocity_after_engine(action)
    assert np.linalg.norm(plain) > 0.01
    # The legs' joints give way a little, so the proportion is not exact.
    np.testing.assert_allclose(velocity_after_engine(action, kind(0.5)), 0.5 * plain, rtol=0.02, atol=1e-4)
    np.testing.assert_allclose(velocity_after_engine(action, kind(2), kind(0.25)), 0.5 * plain, rtol=0.02, atol=1e-4)
    np.testing.assert_array_equal(velocity_after_engine(action, other(2)), plain)


def test_module_constants_stay() -> None:
    from gymnasium.envs.box2d import bipedal_walker, lunar_lander

    bare("LunarLander-v3", MainEngine(0.5), SideEngine(0.5))
    bare("BipedalWalker-v3", Torque(0.5), Speed(0.5), Friction(0.5))
    assert (lunar_lander.MAIN_ENGINE_POWER, lunar_lander.SIDE_ENGINE_POWER) == (13.0, 0.6)
    assert (bipedal_walker.MOTORS_TORQUE, bipedal_walker.SPEED_HIP, bipedal_walker.FRICTION) == (80, 4, 2.5)
    assert bipedal_walker.LEG_FD.friction == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("shifts", "kwargs", "expected"),
    [
        ((Wind(1),), {}, (True, 15.0, 0.0)),
        ((Turbulence(1),), {}, (True, 0.0, 1.5)),
        ((Wind(0.5), Turbulence(0.5)), {}, (True, 7.5, 0.75)),
        ((Turbulence(0.5), Wind(0.5), Wind(2)), {}, (True, 15.0, 0.75)),
        ((Wind(0.5),), {"enable_wind": True, "wind_power": 10.0}, (True, 5.0, 1.5)),
        ((Wind(1),), {"enable_wind": True}, (True, 15.0, 1.5)),
        ((Wind(0),), {}, (False, 15.0, 1.5)),
        ((Wind(0),), {"enable_wind": True}, (True, 0.0, 1.5)),
    ],
)
def test_wind_and_turbulence(shifts: tuple[Shift, ...], kwargs: Any, expected: tuple[bool, float, float]) -> None:
    env = bare("LunarLander-v3", *shifts, **kwargs)
    assert (env.enable_wind, env.wind_power, env.turbulence_power) == expected


def test_wind_stays_within_gymnasium_s_bounds() -> None:
    with pytest.raises(TaskError, match=r"`wind=1\.5`: 22\.5 is more than its 20"):
        bare("LunarLander-v3", Wind(1.5))


# BipedalWalker


def ground_friction(env: Any) -> float:
    """Let a walker fall until a lower leg touches the ground, and return the friction of the contact."""
    env.reset(seed=0)
    for _ in range(100):
        env.step(np.zeros(4))
        for contact in env.world.contacts:
            if contact.touching and env.hull not in (contact.fixtureA.body, contact.fixtureB.body):
                return contact.friction
    raise AssertionError("no leg touched the ground")


def test_walker_friction_of_a_contact() -> None:
    plain = ground_friction(bare("BipedalWalker-v3"))
    assert plain == pytest.approx(np.sqrt(2.5 * 0.2))
    assert ground_friction(bare("BipedalWalker-v3", Friction(0.5))) == pytest.approx(plain / 2)
    assert ground_friction(bare("BipedalWalker-v3", Friction(0.5), Friction(0.5))) == pytest.approx(plain / 4)


def test_walker_motors() -> None:
    env = bare("BipedalWalker-v3", Torque(0.5), Speed(2), Gravity(0.5))
    env.reset(seed=0)
    env.step(np.array([1.0, -1.0, 0.5, 0.0]))
    torques = [joint.GetMaxMotorTorque() for joint in env.joints]
    np.testing.assert_allclose(torques, [40, 40, 20, 0])
    np.testing.assert_allclose([joint.motorSpeed for joint in env.joints], [8, -12, 8, 0])
    assert env.world.gravity[1] == -5.0


def test_a_walker_s_broken_joint_hangs_free() -> None:
    env = Task("BipedalWalker-v3", (BrokenJoint(1),)).make()
    env.reset(seed=0)
    env.step(np.ones(4, dtype=np.float32))
    torques = [joint.GetMaxMotorTorque() for joint in env.unwrapped.joints]
    np.testing.assert_allclose(torques, [80, 0, 80, 80])
