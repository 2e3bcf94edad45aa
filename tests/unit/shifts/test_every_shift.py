"""What holds for every shift and every environment that claims it."""

from __future__ import annotations

import pickle
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import ConfigError, TaskError
from acclimate.registry import SHIFTS
from acclimate.shifts import (
    ActionNoise,
    Damping,
    Gravity,
    RewardScale,
    RewardWeights,
    SensorDropout,
    SensorNoise,
    Shift,
    available,
    parse,
)
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import Wrapper
from tests.unit.shifts.rollout import rollout

SENSORS = ["sensor_noise", "sensor_bias", "sensor_dropout", "sensor_permutation"]
MUJOCO = ["gravity", "mass", "damping", "gear", "joint_limits", "broken_joint", *SENSORS]
BOX = ["action_noise", "action_delay", "action_gain", "reward_scale", "frame_skip"]
DISCRETE = ["action_noise", "action_delay", "reward_scale", "frame_skip"]
HAS = {
    "CartPole-v1": ["gravity", "length", "pole_mass", "cart_mass", "force", *SENSORS, *DISCRETE],
    "Acrobot-v1": ["gravity", "mass", "length", "torque", *SENSORS, *DISCRETE],
    "Pendulum-v1": ["gravity", "mass", "length", *SENSORS, *BOX],
    "MountainCar-v0": ["gravity", "force", *SENSORS, *DISCRETE],
    "MountainCarContinuous-v0": ["gravity", "force", *SENSORS, *BOX],
    "LunarLander-v3": ["gravity", "main_engine", "side_engine", "wind", "turbulence", *SENSORS, *DISCRETE],
    "LunarLanderContinuous-v3": [
        "gravity", "main_engine", "side_engine", "wind", "turbulence", *SENSORS, *BOX,
    ],
    "BipedalWalker-v3": ["gravity", "friction", "broken_joint", "torque", "speed", *SENSORS, *BOX],
    "BipedalWalkerHardcore-v3": ["gravity", "friction", "broken_joint", "torque", "speed", *SENSORS, *BOX],
    "Hopper-v5": ["friction", "reward_weights", *MUJOCO, *BOX],
    "HalfCheetah-v5": ["friction", "reward_weights", *MUJOCO, *BOX],
    "HalfCheetah-v4": ["friction", "reward_weights", *MUJOCO, *BOX],
    "Walker2d-v5": ["friction", "reward_weights", *MUJOCO, *BOX],
    "Ant-v5": ["friction", "reward_weights", *MUJOCO, *BOX],
    "Humanoid-v5": ["friction", "reward_weights", *MUJOCO, *BOX],
    "Swimmer-v5": ["mass", "gear", "joint_limits", "broken_joint", "reward_weights", *SENSORS, *BOX],
    "Reacher-v5": ["mass", "damping", "gear", "joint_limits", "broken_joint", "reward_weights", *SENSORS, *BOX],
    "InvertedPendulum-v5": [*MUJOCO, *BOX],
    "FrozenLake-v1": ["action_noise", "action_delay", "reward_scale", "frame_skip"],
}  # fmt: skip
SAMPLED = {
    "CartPole-v1",
    "MountainCarContinuous-v0",
    "LunarLander-v3",
    "BipedalWalker-v3",
    "Hopper-v5",
    "Swimmer-v5",
}
ENVS = [env if env in SAMPLED else pytest.param(env, marks=pytest.mark.nightly) for env in HAS]


@pytest.mark.parametrize("env_id", ENVS)
def test_what_an_environment_has(env_id: str) -> None:
    found = available(Task(env_id))
    assert sorted(info.name for info in found) == sorted(HAS[env_id])
    for info in found:
        assert str(parse(info.example)) == info.example
        assert info.unit
        assert info.current
        assert info.doc.endswith(".")


# Random actions seldom reach the limits that half the range leaves; a wind that is off is not multiplied by one.
STRONG = {"joint_limits": "joint_limits=0.02", "frame_skip": "frame_skip=3"}
PAIRS = [
    pytest.param(env, name, marks=[] if env in SAMPLED else [pytest.mark.nightly])
    for env, names in HAS.items()
    for name in names
    if env != "FrozenLake-v1"
]


@pytest.mark.parametrize(("env_id", "name"), PAIRS)
def test_every_shift_changes_the_trajectory_and_only_of_its_own_environment(env_id: str, name: str) -> None:
    task = Task(env_id)
    reference = rollout(task.make(), steps=200)
    bystander = task.make()
    sample = SHIFTS.get(name).sample(bystander)
    shift = parse(STRONG.get(name, str(sample)))
    shifted = rollout(task.shifted(shift).make(), steps=200)
    assert not np.array_equal(shifted, reference)
    np.testing.assert_array_equal(rollout(bystander, steps=200), reference)
    np.testing.assert_array_equal(rollout(task.shifted(shift).make(), steps=200), shifted)


NEUTRAL = [
    (env, name) for env, name in ((p.values[0], p.values[1]) for p in PAIRS) if SHIFTS.get(name).neutral is not None
]


@pytest.mark.parametrize(
    ("env_id", "name"),
    [pytest.param(*pair, marks=[] if pair[0] == "Hopper-v5" else [pytest.mark.nightly]) for pair in NEUTRAL],
)
def test_the_neutral_value_changes_nothing(env_id: str, name: str) -> None:
    task = Task(env_id)
    kind = SHIFTS.get(name)
    np.testing.assert_array_equal(rollout(task.shifted(kind(kind.neutral)).make()), rollout(task.make()))


def shifts() -> st.SearchStrategy[Shift]:
    """Any shift with any values that it accepts."""

    def build(kind: type[Shift]) -> st.SearchStrategy[Shift]:
        values: dict[str, Any] = {}
        for field in fields(kind):
            number = st.floats(2**-20, 1.0)
            values[field.name] = {
                "int": st.integers(1, 10_000),
                "float": number,
                "tuple[float, ...] | None": st.none() | st.lists(number, min_size=1, max_size=3).map(tuple),
            }[field.type]
        return st.builds(kind, **values)

    return st.sampled_from(SHIFTS.names()).map(SHIFTS.get).flatmap(build)


@given(shifts())
def test_shifts_survive_yaml_text_and_pickle(shift: Shift) -> None:
    assert Shift.from_config(yaml.safe_load(yaml.safe_dump(shift.to_config()))) == shift
    assert parse(str(shift)) == shift
    assert pickle.loads(pickle.dumps(shift)) == shift
    assert cloudpickle.loads(cloudpickle.dumps(shift)) == shift
    assert hash(shift) == hash(parse(str(shift)))


@pytest.mark.parametrize("name", SHIFTS.names())
def test_every_shift_is_documented(name: str) -> None:
    kind = SHIFTS.get(name)
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")
    assert all(field.init for field in fields(kind))
    assert kind.name == name
    assert kind is RewardWeights or fields(kind)[0].default is MISSING


def test_a_shift_that_the_environment_lacks_lists_what_it_has() -> None:
    with pytest.raises(TaskError) as caught:
        Task("CartPole-v1", (Damping(2),)).make()
    assert str(caught.value) == (
        "CartPole-v1 cannot have the shift `damping=2`: it has no damping. It has: gravity, length, pole_mass, "
        "cart_mass, force, sensor_noise, sensor_bias, sensor_dropout, sensor_permutation, action_noise, "
        "action_delay, reward_scale, frame_skip"
    )


def test_gravity_that_pulls_along_no_joint_is_no_shift() -> None:
    with pytest.raises(TaskError, match=r"the shift `gravity=2` changes nothing here"):
        Task("Swimmer-v5", (Gravity(2),)).make()


def test_a_shift_that_a_wrapper_undoes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Sign(Wrapper):
        name: ClassVar[str] = "sign"

        def apply(self, env: gym.Env) -> gym.Env:
            return gym.wrappers.TransformReward(env, np.sign)

    with pytest.raises(TaskError, match="the shift `reward_scale=2` changes nothing here"):
        Task("Pendulum-v1", (RewardScale(2),), wrappers=(Sign(),)).make()


def test_what_is_too_rare_to_show_is_taken_on_trust() -> None:
    rare = Task("CartPole-v1", (SensorDropout(1e-6), ActionNoise(1e-6)))
    seen = [rollout(task.make(), seed=3) for task in (rare, rare.source)]
    assert np.array_equal(*seen), "it shows, and is to be verified"


def test_a_physical_value_that_does_not_stick_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs.classic_control import CartPoleEnv

    monkeypatch.setattr(CartPoleEnv, "gravity", property(lambda self: 9.8, lambda self, value: None), raising=False)
    with pytest.raises(TaskError, match=r"`gravity=2` should give 19.6 but the environment has 9.8"):
        Task("CartPole-v1", (Gravity(2),)).make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gravitty=1", r"shift: no shift `gravitty`\. Did you mean `gravity`\?"),
        ("gravity", r"shift\.gravity: the field `factor` is missing; give it a value"),
        ("gravity:fcator=2", r"shift\.gravity: no field `fcator`\. Did you mean `factor`\?"),
        ("gravity=high", r"shift\.gravity\.factor: expected float, not 'high'"),
        ("gravity=-1", r"shift\.gravity: `factor` is -1\.0; give a finite number of at least 0"),
        ("gravity=.inf", r"shift\.gravity\.factor: inf is not finite or too large"),
        ("mass=0", r"shift\.mass: `factor` is 0\.0; give a finite number above 0"),
        ("action_delay=1.5", r"shift\.action_delay\.steps: expected int, not 1\.5"),
        ("frame_skip=0", r"`times` is 0; give a finite number from 1 to 10000"),
        ("sensor_dropout=1.5", r"`probability` is 1\.5; give a finite number from 0 to 1"),
        ("sensor_noise:amount=0.1,scale=[1, -1]", r"`scale` is -1\.0; give a finite number of at least 0"),
    ],
)
def test_wrong_texts(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_configuration_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x: expected Gravity, not SensorNoise"):
        Gravity.from_config({"sensor_noise": 0.1}, "x")
    assert Shift.from_config(SensorNoise(0.1)) == SensorNoise(0.1)
