from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.spaces import Box, Dict
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from acclimate.errors import ConfigError, TaskError
from acclimate.registry import WRAPPERS
from acclimate.shifts import SensorNoise
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import Atari, FrameStack, MaskVelocity, TimeFeature, Wrapper
from acclimate.tasks.zoo import from_zoo


class Counter(gym.Env):
    """Shows how many steps were taken, in a shape; an episode has five."""

    def __init__(self, space: gym.Space) -> None:
        self.observation_space, self.action_space = space, gym.spaces.Discrete(2)

    def _show(self, space: gym.Space) -> Any:
        if isinstance(space, Dict):
            return {key: self._show(part) for key, part in space.spaces.items()}
        return np.full(space.shape, self.time + 1, space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._show(self.observation_space), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self._show(self.observation_space), 0.0, self.time == 5, False, {}


def flat(observation: Any) -> np.ndarray:
    if isinstance(observation, dict):
        return np.concatenate([np.ravel(value) for _, value in sorted(observation.items())])
    return np.ravel(observation)


@pytest.mark.parametrize(
    "space",
    [
        Box(0, 9, (2,)),
        Box(0, 255, (36, 36, 1), np.uint8),
        Box(0, 255, (1, 36, 36), np.uint8),
        Dict(a=Box(0, 9, (2,)), b=Box(0, 255, (36, 36, 1), np.uint8)),
    ],
)
def test_frames_are_stacked_as_by_sb3(space: gym.Space) -> None:
    ours = FrameStack(3).apply(Counter(space))
    theirs = VecFrameStack(DummyVecEnv([lambda: Counter(space)]), 3)
    assert ours.observation_space == theirs.observation_space
    seen = [(ours.reset()[0], theirs.reset())]
    for _ in range(4):
        seen.append((ours.step(0)[0], theirs.step(np.array([0]))[0]))
    for one, other in seen:
        assert ours.observation_space.contains(one)
        np.testing.assert_array_equal(flat(one), flat(other))
    np.testing.assert_array_equal(flat(ours.reset()[0]), flat(seen[0][0]))


def test_stacked_observations_are_not_overwritten() -> None:
    env = FrameStack(2).apply(Counter(Box(0, 9, (1,))))
    first = env.reset()[0]
    env.step(0)
    np.testing.assert_array_equal(first, [0, 1])


def test_time_feature_is_the_share_that_is_left() -> None:
    env = Task("Pendulum-v1", wrappers=(TimeFeature(),)).make()
    assert env.observation_space.shape == (4,)
    assert (env.observation_space.low[3], env.observation_space.high[3]) == (0, 1)
    assert env.reset(seed=0)[0][3] == 1.0
    assert env.step(np.zeros(1))[0][3] == pytest.approx(1 - 1 / 200)
    assert env.env.env.observation_space.shape == (3,)
    unlimited = TimeFeature(max_steps=10).apply(Counter(Box(0, 9, (1,))))
    unlimited.reset()
    assert unlimited.step(0)[0][1] == pytest.approx(0.9)


def test_time_feature_in_test_mode_stands_still() -> None:
    env = TimeFeature(test_mode=True).apply(Counter(Box(0, 9, (1,))))
    assert [env.reset()[0][1], env.step(0)[0][1]] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("env_id", "hidden"),
    [("CartPole-v1", [1, 3]), ("Pendulum-v1", [2]), ("LunarLander-v3", [2, 3, 5]), ("MountainCar-v0", [1])],
)
def test_velocities_are_masked(env_id: str, hidden: list[int]) -> None:
    plain, masked = Task(env_id).make(), Task(env_id, wrappers=(MaskVelocity(),)).make()
    plain.reset(seed=1)
    masked.reset(seed=1)
    action = plain.action_space.sample()
    expected = plain.step(action)[0]
    assert np.all(expected[hidden] != 0)
    expected[hidden] = 0
    np.testing.assert_array_equal(masked.step(action)[0], expected)


def test_shifts_act_inside_of_the_wrappers() -> None:
    """A sensor's noise must be the same in every frame that shows it, and not touch the time."""
    env = Task("Pendulum-v1", (SensorNoise(0.5),), wrappers=(TimeFeature(), FrameStack(2))).make()
    first = env.reset(seed=0)[0]
    second = env.step(np.zeros(1))[0]
    np.testing.assert_array_equal(second[:4], first[4:])
    assert second[7] == np.float32(1 - 1 / 200)


@pytest.mark.parametrize(
    ("wrapper", "env_id", "message"),
    [
        (FrameStack(), "FrozenLake-v1", r"frame_stack needs Box observations, not Discrete\(16\)"),
        (TimeFeature(), "FrozenLake-v1", "time_feature needs a flat Box observation"),
        (Atari(), "CartPole-v1", "atari needs an Atari environment"),
        (MaskVelocity(), "Acrobot-v1", "mask_velocity knows CartPole, .* and not"),
    ],
)
def test_wrappers_that_do_not_fit(wrapper: Wrapper, env_id: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Task(env_id, wrappers=(wrapper,)).make()


@pytest.mark.parametrize("wrapper", [FrameStack(2), TimeFeature(7, True), Atari(clip_reward=False), MaskVelocity()])
def test_wrappers_survive_yaml(wrapper: Wrapper) -> None:
    assert Wrapper.from_config(yaml.safe_load(yaml.safe_dump(wrapper.to_config()))) == wrapper
    assert type(wrapper) is WRAPPERS.get(wrapper.name)


def test_wrong_wrappers() -> None:
    with pytest.raises(
        ConfigError, match=r"task\.wrappers\[0\]: no wrapper `time_featrue`\. Did you mean `time_feature`"
    ):
        Task.from_config({"env": "Pendulum-v1", "wrappers": ["time_featrue"]})
    with pytest.raises(ConfigError, match="`frames` is 0; give a number from 1 to 1000"):
        FrameStack(0)
    with pytest.raises(ConfigError, match="x: expected Atari, not FrameStack"):
        Atari.from_config("frame_stack", "x")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"n_timesteps": 1e6}, ()),
        ({"env_wrapper": None}, ()),
        ({"env_wrapper": "sb3_contrib.common.wrappers.TimeFeatureWrapper"}, (TimeFeature(),)),
        (
            {
                "env_wrapper": [{"stable_baselines3.common.atari_wrappers.AtariWrapper": {"noop_max": 5}}],
                "frame_stack": 4,
            },
            (Atari(noop_max=5), FrameStack(4)),
        ),
        ({"env_wrapper": {"rl_zoo3.wrappers.MaskVelocityWrapper": None}}, (MaskVelocity(),)),
        ({"vec_env_wrapper": {"stable_baselines3.common.vec_env.VecFrameStack": {"n_stack": 3}}}, (FrameStack(3),)),
        (
            {
                "env_wrapper": "sb3_contrib.common.wrappers.TimeFeatureWrapper",
                "vec_env_wrapper": ["stable_baselines3.common.vec_env.VecMonitor"],
            },
            (TimeFeature(),),
        ),
    ],
)
def test_wrappers_of_a_zoo_s_configuration(config: dict[str, Any], expected: tuple[Wrapper, ...]) -> None:
    assert from_zoo(config) == expected


def test_nothing_is_imported_by_path() -> None:
    for hint in ("env_wrapper", "vec_env_wrapper"):
        with pytest.raises(ConfigError, match=rf"config\.yml: {hint}: `os\.system` is not on the list"):
            from_zoo({hint: "os.system"})
