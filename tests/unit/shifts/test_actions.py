from __future__ import annotations

import numpy as np
import pytest

from acclimate.errors import TaskError
from acclimate.shifts import (
    ActionDelay,
    ActionGain,
    ActionNoise,
    FrameSkip,
    RewardScale,
    RewardWeights,
    Shift,
)
from acclimate.tasks.task import Task
from tests.unit.shifts.test_sensors import Ramp


def executed(shift: Shift, actions: list, n: int = 0) -> list:
    """Return what the environment gets for these actions."""
    env = shift.apply(Ramp(n=n))
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    return env.unwrapped.seen


def test_delay_of_continuous_actions_starts_with_zeros() -> None:
    sent = [np.full(3, value, dtype=np.float32) for value in (0.1, 0.2, 0.3, 0.4)]
    np.testing.assert_allclose(np.array(executed(ActionDelay(2), sent))[:, 0], [0, 0, 0.1, 0.2])


def test_delay_of_discrete_actions_starts_with_the_first() -> None:
    assert executed(ActionDelay(2), [3, 1, 2, 0, 1], n=4) == [3, 3, 3, 1, 2]


def test_delay_keeps_what_was_sent_though_the_caller_changes_it() -> None:
    env = ActionDelay(1).apply(Ramp())
    env.reset()
    action = np.ones(3)
    env.step(action)
    action[:] = -1
    env.step(action)
    np.testing.assert_array_equal(env.unwrapped.seen[1], np.ones(3))


def test_a_new_episode_forgets_the_actions_on_their_way() -> None:
    env = ActionDelay(1).apply(Ramp())
    for _ in range(2):
        env.reset()
        env.step(np.ones(3))
    np.testing.assert_array_equal(env.unwrapped.seen[1], np.zeros(3))


def test_gain_stays_within_the_bounds() -> None:
    sent = [np.array([0.2, -0.8, 0.0], dtype=np.float32)]
    np.testing.assert_allclose(executed(ActionGain(2), sent)[0], [0.4, -1.0, 0.0])
    np.testing.assert_allclose(executed(ActionGain(-1), sent)[0], [-0.2, 0.8, 0.0])


def test_gain_needs_bounded_continuous_actions() -> None:
    with pytest.raises(TaskError, match="its action is Discrete and no Box"):
        Task("CartPole-v1", (ActionGain(2),)).make()


def test_noise_of_continuous_actions_is_in_halves_of_the_range() -> None:
    noise = np.array(executed(ActionNoise(0.1), [np.zeros(3, dtype=np.float32)] * 2000))
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.std(axis=0), 0.1, rtol=0.1)
    far = np.array(executed(ActionNoise(5.0), [np.zeros(3, dtype=np.float32)] * 100))
    assert (far.min(), far.max()) == (-1.0, 1.0)


def test_noise_of_discrete_actions_is_a_probability() -> None:
    got = np.array(executed(ActionNoise(0.4), [3] * 4000, n=4))
    np.testing.assert_allclose([np.mean(got == a) for a in range(4)], [0.1, 0.1, 0.1, 0.7], atol=0.03)
    with pytest.raises(TaskError, match="for which the noise is a probability"):
        Task("CartPole-v1", (ActionNoise(1.5),)).make()


def test_frame_skip_holds_the_action_and_adds_the_rewards() -> None:
    env = FrameSkip(3).apply(Ramp())
    env.reset()
    steps = [env.step(np.ones(3)) for _ in range(4)]
    assert [step[0][0] for step in steps] == [3, 6, 9, 10]
    assert [step[1] for step in steps] == [3, 3, 3, 1]
    assert [step[3] for step in steps] == [False, False, False, True]


def test_reward_scale() -> None:
    env = RewardScale(-0.5).apply(Ramp())
    env.reset()
    assert env.step(np.ones(3))[1] == -0.5


def test_reward_weights_are_factors_on_the_environment_s_own() -> None:
    task = Task("HalfCheetah-v5", (RewardWeights(control=10), RewardWeights(control=0.5, forward=2)))
    env = task.make()
    env.reset(seed=0)
    action = np.full(6, 0.5, dtype=np.float32)
    _, reward, _, _, info = env.step(action)
    assert info["reward_ctrl"] == pytest.approx(-0.1 * 5 * 6 * 0.25)
    assert info["reward_forward"] == pytest.approx(2 * info["x_velocity"])
    assert reward == pytest.approx(info["reward_ctrl"] + info["reward_forward"])


def test_weights_that_the_reward_does_not_have() -> None:
    with pytest.raises(TaskError, match="its reward has forward, control and no healthy"):
        Task("HalfCheetah-v5", (RewardWeights(healthy=2),)).make()
    with pytest.raises(TaskError, match="its reward has no weights that are known"):
        Task("CartPole-v1", (RewardWeights(healthy=2),)).make()
