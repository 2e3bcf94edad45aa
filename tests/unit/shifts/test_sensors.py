from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from acclimate.errors import TaskError
from acclimate.shifts import (
    ActionNoise,
    SensorBias,
    SensorDropout,
    SensorNoise,
    SensorPermutation,
    Shift,
)
from acclimate.shifts.sensors import estimate_scale
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import FrameStack, TimeFeature
from tests.unit.shifts.rollout import rollout


class Ramp(gym.Env):
    """Shows its step count and a constant; what it did last is `seen`."""

    def __init__(self, dtype: Any = np.float64, shape: tuple[int, ...] = (2,), n: int = 0) -> None:
        high = 255 if np.issubdtype(dtype, np.integer) else np.inf
        self.observation_space = gym.spaces.Box(0 if high == 255 else -high, high, shape, dtype)
        self.action_space = gym.spaces.Discrete(n) if n else gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.seen: list[Any] = []

    def _show(self) -> np.ndarray:
        shown = np.full(self.observation_space.shape, 7, dtype=self.observation_space.dtype)
        shown.flat[0] = self.time
        return shown

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._show(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.seen.append(action)
        self.time += 1
        return self._show(), 1.0, False, self.time == 10, {}


def test_the_estimated_scale_is_the_standard_deviation_under_random_actions() -> None:
    """The ramp shows 0 to 9 in each episode (the tenth step ends it) and a constant."""
    assert estimate_scale(Ramp(), steps=100) == pytest.approx((np.std(np.arange(10)), 0.0))


def test_the_estimated_scale_of_an_image_is_one_number() -> None:
    env = Ramp(np.uint8, (2, 2, 1))
    assert estimate_scale(env, steps=100) == pytest.approx((np.std(np.arange(10)) / 2,))


def test_the_estimate_is_of_the_unshifted_environment_and_always_the_same() -> None:
    task = Task("Pendulum-v1")
    one = SensorNoise(0.1).prepare(task.make)
    assert one == SensorNoise(0.1).prepare(task.make)
    assert one.scale == pytest.approx(np.std(rollout(task.make(), steps=999, seed=0)[:, :3], axis=0), rel=0.2)
    assert SensorNoise(0.1, (1.0,)).prepare(task.make).scale == (1.0,)


def errors(shift: Shift, steps: int = 2000) -> np.ndarray:
    """Return what a sensor shift adds to the observations of a long ramp."""
    env = shift.apply(Ramp())
    env.reset(seed=0)
    shown = np.array([env.step(np.zeros(3))[0] for _ in range(steps)])
    return shown - np.array([[time + 1, 7] for time in range(steps)])


def test_noise_has_the_declared_deviation() -> None:
    noise = errors(SensorNoise(0.5, (2.0, 0.1)))
    np.testing.assert_allclose(noise.std(axis=0), [1.0, 0.05], rtol=0.1)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.1)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.1


def test_bias_is_constant() -> None:
    np.testing.assert_allclose(errors(SensorBias(-0.5, (2.0, 0.1)), 5), [[-1.0, -0.05]] * 5)


def test_dropout_reads_zero_at_the_declared_rate() -> None:
    env = SensorDropout(0.25).apply(Ramp())
    env.reset(seed=0)
    constant = np.array([env.step(np.zeros(3))[0][1] for _ in range(4000)])
    assert set(constant) == {0.0, 7.0}
    assert np.mean(constant == 0) == pytest.approx(0.25, abs=0.03)


def test_permutation_is_fixed_and_never_the_identity() -> None:
    for seed in range(20):
        env = SensorPermutation(seed).apply(Ramp())
        assert [env.reset()[0][0], env.step(np.zeros(3))[0][1]] == [7, 1]


def test_images_stay_in_their_bounds_and_type() -> None:
    env = SensorNoise(1.0, (300.0,)).apply(Ramp(np.uint8, (8, 8, 1)))
    shown = env.reset(seed=0)[0]
    assert shown.dtype == np.uint8
    assert {0, 255} <= set(shown.ravel().tolist())


NOISY = [SensorNoise(0.2), SensorDropout(0.3), ActionNoise(0.3)]


@pytest.mark.parametrize("shift", NOISY)
@pytest.mark.parametrize("env_id", ["LunarLander-v3", "Pendulum-v1"])
def test_seeded_episodes_repeat_and_seeds_differ(shift: Shift, env_id: str) -> None:
    env = Task(env_id, (shift,)).make()

    def episode(seed: int) -> np.ndarray:
        env.action_space.seed(0)
        first = env.reset(seed=seed)[0]
        return np.array([first, *(env.step(env.action_space.sample())[0] for _ in range(30))])

    one, two, three = episode(1), episode(2), episode(1)
    np.testing.assert_array_equal(one, three)
    assert not np.array_equal(one, two)


def test_noise_leaves_the_world_as_it_was() -> None:
    """The lander's engines are random; the noise must not draw from the same stream."""
    truths = []
    for shifts in ((), (SensorNoise(0.5),), (SensorNoise(0.5), SensorNoise(0.5))):
        env = Task("LunarLander-v3", shifts).make()
        env.reset(seed=4)
        for _ in range(20):
            env.step(2)
        truths.append(tuple(env.unwrapped.lander.position))
    assert truths[0] == truths[1] == truths[2]


def test_stacked_noises_are_independent() -> None:
    env = SensorNoise(1.0, (1.0,)).apply(SensorNoise(1.0, (1.0,)).apply(Ramp()))
    env.reset(seed=0)
    noise = np.array([env.step(np.zeros(3))[0][1] - 7 for _ in range(4000)])
    assert noise.std() == pytest.approx(np.sqrt(2), rel=0.05)


def test_unseeded_episodes_differ() -> None:
    env = SensorNoise(1.0, (1.0,)).apply(Ramp())
    env.reset(seed=0)
    assert not np.array_equal(env.reset()[0], env.reset()[0])


def test_a_declared_scale_of_another_length() -> None:
    with pytest.raises(TaskError, match="its observation has 3 entries and the scale 2"):
        Task("Pendulum-v1", (SensorNoise(0.1, (1.0, 2.0)),)).make()


def test_a_task_scaled_by_a_normaliser() -> None:
    shifts = (SensorNoise(0.1), SensorBias(0.1, (3.0,)), SensorDropout(0.1))
    scaled = Task("Pendulum-v1", shifts).scaled(np.array([1.0, 2.0, 3.0]))
    assert scaled.shifts == (SensorNoise(0.1, (1.0, 2.0, 3.0)), *shifts[1:])


def test_the_scale_of_a_wrapped_observation_is_that_of_the_sensors() -> None:
    wrappers = (TimeFeature(), FrameStack(2))
    task = Task("Pendulum-v1", (SensorNoise(0.1),), wrappers=wrappers).scaled(np.arange(8.0))
    assert task.shifts[0].scale == (4.0, 5.0, 6.0)
    assert task.describe() == "Pendulum-v1 with sensor_noise=0.1"
    task.make().close()


def test_sensors_need_a_box() -> None:
    with pytest.raises(TaskError, match="its observation is Discrete and no Box"):
        Task("FrozenLake-v1", (SensorNoise(0.1),)).make()
