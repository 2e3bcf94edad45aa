"""Evaluation on environments whose returns are known, and against SB3's own `predict`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.load import load
from acclimate.errors import ConfigError, SpaceMismatchError, TaskError
from acclimate.evaluation.evaluate import Evaluation, evaluate, evaluate_random
from acclimate.evaluation.players import AgentPlayer
from acclimate.tasks.task import Task


def small() -> dict[str, Any]:
    return {"policy_kwargs": {"net_arch": [8]}, "seed": 0, "device": "cpu"}  # anew: SB3 writes into it


class Counting(gym.Env):
    """Lasts 3 to 9 steps by its seed; pays 1 where the action is the number of steps taken before."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Discrete(10)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.steps, self.length = 0, int(self.np_random.integers(3, 10))
        return np.zeros(1, np.float32), {}

    def step(self, action):
        reward = float(int(action) == self.steps)
        self.steps += 1
        return np.zeros(1, np.float32), reward, self.steps == self.length, False, {}


class Counter:
    """A recurrent agent in miniature: its action is the number of steps since its episode began."""

    observation_space, action_space, device, normalizer = (
        Counting.observation_space,
        Counting.action_space,
        "cpu",
        None,
    )
    masked = False

    def __init__(self) -> None:
        self.model = SimpleNamespace(policy=None, action_space=self.action_space)

    def predict(self, obs, state=None, episode_start=None, deterministic=False):
        count = np.zeros(len(obs), int) if state is None else np.where(episode_start, 0, state[0])
        return count, (count + 1,)


def lengths(seeds: range) -> list[int]:
    env = Counting()
    return [(env.reset(seed=seed), env.length)[1] for seed in seeds]


@pytest.mark.parametrize("n_envs", [1, 3, 8, 20])
def test_episodes_states_and_order_do_not_depend_on_the_number_of_environments(n_envs: int) -> None:
    found = evaluate(Counter(), Task(Counting), episodes=11, seed=70, n_envs=n_envs)
    assert found.lengths.tolist() == lengths(range(70, 81))
    assert found.returns.tolist() == found.lengths.tolist()  # every action right: each state began with its episode
    assert found.seeds.tolist() == list(range(70, 81))


def agent_for(algorithm, env: str, **more: Any):
    policy = "MlpLstmPolicy" if algorithm is RecurrentPPO else "MlpPolicy"
    return load(algorithm(policy, env, **small(), **more))


def normalized_agent():
    venv = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]), norm_reward=True)
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=32, n_epochs=1, **small())
    model.learn(64)
    return load(model)


def test_raw_returns_are_summed_and_the_normaliser_is_left_alone() -> None:
    agent = normalized_agent()
    kept = agent.normalizer.obs_mean.copy(), agent.normalizer.obs_var.copy(), float(agent.normalizer.obs_count)
    found = evaluate(agent, Task("Pendulum-v1"), episodes=2)
    assert found.returns.max() < -100.0  # raw costs of Pendulum, not rewards of about unit size
    assert np.array_equal(agent.normalizer.obs_mean, kept[0])
    assert np.array_equal(agent.normalizer.obs_var, kept[1])
    assert float(agent.normalizer.obs_count) == kept[2]


def test_an_agent_that_acts_otherwise_is_asked_by_its_predict() -> None:
    """An agent may do more than its network, as a subclass or a wrapper would."""
    agent = agent_for(PPO, "CartPole-v1")
    plain = agent.predict

    def other(obs, *args: Any, **kwargs: Any):
        actions, state = plain(obs, *args, **kwargs)
        return 1 - actions, state

    agent.predict = other
    player, seen = AgentPlayer(agent, deterministic=True), [np.full(4, 0.1, np.float32)]
    assert np.array_equal(player.act(seen, np.ones(1, bool), [None]), 1 - plain(np.stack(seen), deterministic=True)[0])


@pytest.mark.parametrize("deterministic", [True, False])
def test_an_evaluation_is_that_of_sb3s_own_predict(deterministic: bool) -> None:
    """Step by step the same actions, so the same returns to the last bit."""
    agent = normalized_agent()
    ours = evaluate(agent, Task("Pendulum-v1"), episodes=3, deterministic=deterministic)

    def theirs(obs, state=None, episode_start=None, deterministic=False):
        return agent.model.predict(agent.normalizer.normalize_obs(obs), state, episode_start, deterministic)

    agent.predict = theirs
    by_sb3 = evaluate(agent, Task("Pendulum-v1"), episodes=3, deterministic=deterministic)
    assert ours.returns.tolist() == by_sb3.returns.tolist()


def test_a_recurrent_agent_returns_the_same_alone_and_in_a_batch() -> None:
    agent = agent_for(RecurrentPPO, "CartPole-v1")
    together, alone = (evaluate(agent, Task("CartPole-v1"), episodes=5, n_envs=n) for n in (5, 1))
    assert together.returns.tolist() == alone.returns.tolist()


@pytest.mark.parametrize(("algorithm", "env"), [(PPO, "Pendulum-v1"), (DQN, "CartPole-v1"), (SAC, "Pendulum-v1")])
def test_sampling_repeats_and_leaves_the_global_random_states(algorithm, env: str) -> None:
    agent = agent_for(algorithm, env)
    if algorithm is DQN:
        agent.model.exploration_rate = 0.5
    torch.manual_seed(5)
    np.random.seed(5)
    agent.model.action_space.seed(5)
    torch_state, space_state = torch.get_rng_state(), agent.model.action_space.np_random.bit_generator.state
    numpy_state = np.random.get_state()[1].copy()
    first = evaluate(agent, Task(env), episodes=3, deterministic=False)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert agent.model.action_space.np_random.bit_generator.state == space_state
    torch.rand(7)
    np.random.rand(7)
    agent.model.action_space.sample()
    again = evaluate(agent, Task(env), episodes=3, deterministic=False)
    assert first.returns.tolist() == again.returns.tolist()
    assert not first.deterministic
    assert first.returns.tolist() != evaluate(agent, Task(env), episodes=3).returns.tolist()


def test_time_limits_end_episodes() -> None:
    found = evaluate(agent_for(PPO, "Pendulum-v1"), Task("Pendulum-v1"), episodes=2)
    assert found.lengths.tolist() == [200, 200]


def test_random_play_meets_the_same_episodes_and_repeats() -> None:
    task = Task(Counting)
    one, many = (
        evaluate_random(task, episodes=9, seed=70, n_envs=1),
        evaluate_random(task, episodes=9, seed=70, n_envs=4),
    )
    assert one.lengths.tolist() == lengths(range(70, 79))
    assert one.returns.tolist() == many.returns.tolist()
    assert 0 < one.returns.sum() < one.lengths.sum() / 2  # right one time in ten


class Failing(Counting):
    """Raises in the third step of the episode that was reset with 72."""

    error: Exception = ValueError("joint 3\nleft its limits")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.seeded = seed
        return super().reset(seed=seed)

    def step(self, action):
        if self.seeded == 72 and self.steps == 2:
            return self.fail(action)
        return super().step(action)

    def fail(self, action):
        raise self.error


class OddError(Exception):
    """An exception of the environment's own."""


class Unheard(Failing):
    error = OddError()


class NotANumber(Failing):
    def fail(self, action):
        return np.zeros(1, np.float32), float("nan"), False, False, {}


class Blind(Failing):
    def fail(self, action):
        return np.full(1, np.inf, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (Failing, "raised ValueError: joint 3 left its limits"),
        (Unheard, "raised OddError: no message"),
        (NotANumber, "gave the reward nan"),
        (Blind, "gave an observation with a number that is not finite"),
    ],
)
def test_a_failing_environment_is_named_with_episode_and_step(env, said: str) -> None:
    with pytest.raises(TaskError) as caught:
        evaluate(Counter(), Task(env), episodes=4, seed=70, n_envs=2)
    message = str(caught.value)
    assert f"{env.__name__}, episode 2 (seed 72), step 3, {said}" in message
    assert "\n" not in message


def test_environments_are_closed_even_after_a_failure() -> None:
    closed: list[int] = []

    class Closing(Failing):
        def close(self) -> None:
            closed.append(1)

    task = Task(Closing)
    task.action_space  # noqa: B018 - its spaces are read from an environment that is closed before
    before = len(closed)
    with pytest.raises(TaskError):
        evaluate(Counter(), task, episodes=4, seed=70, n_envs=3)
    assert len(closed) - before == 3


def test_an_agent_of_other_spaces_is_refused_before_it_plays() -> None:
    with pytest.raises(SpaceMismatchError):
        evaluate(Counter(), Task("CartPole-v1"), episodes=1)


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"n_envs": 0}])
def test_nothing_to_play_is_an_error(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least one episode and one environment"):
        evaluate(Counter(), Task(Counting), **wrong)


def played(returns: list[float], seed: int = 0) -> Evaluation:
    return Evaluation(np.array(returns), np.full(len(returns), 7), seed + np.arange(len(returns)))


def test_the_summary_by_hand() -> None:
    summary = played([0.0, 2.0, 4.0, 10.0]).summary()
    low, high = summary.pop("ci95")
    assert summary == {"mean": 4.0, "iqm": 3.0, "std": pytest.approx(np.sqrt(14.0)), "episodes": 4, "seeds": 1}
    assert 0.0 < low < 4.0 < high < 10.0


def test_agents_are_compared_on_the_same_episodes_only() -> None:
    gap = played([3.0, 5.0, 9.0]).minus(played([1.0, 3.0, 7.0]))
    assert (gap.value, gap.low, gap.n) == (2.0, 2.0, 3)
    with pytest.raises(ConfigError, match="different episodes"):
        played([1.0, 2.0]).minus(played([1.0, 2.0], seed=5))
