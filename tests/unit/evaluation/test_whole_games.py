"""Games that wrappers cut into lives are measured whole, by the score inside, as SB3's own evaluation does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from acclimate.agents.load import load
from acclimate.evaluation.evaluate import Evaluation, evaluate, evaluate_random
from acclimate.evaluation.film import record
from acclimate.evaluation.transitions import Transitions
from acclimate.shifts import RewardScale, SensorNoise
from acclimate.tasks.repeated import repeated
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import Atari, FrameStack
from tests.lives import LIVES, Lives
from tests.unit.evaluation.test_evaluate import Counter

Factory = Callable[..., gym.Env]
EPISODES, SEED = 7, 40


def by_life(*, count: Any = Monitor, **given: Any) -> gym.Env:
    return EpisodicLifeEnv(count(Lives(**given)))


def as_the_zoo(**given: Any) -> gym.Env:
    env = EpisodicLifeEnv(MaxAndSkipEnv(NoopResetEnv(Monitor(Lives(**given))), 2))
    return ClipRewardEnv(FireResetEnv(env))


WRAPPED: dict[str, Factory] = {
    "whole": lambda **given: Monitor(Lives(**given)),
    "counted twice": lambda **given: Monitor(ClipRewardEnv(Monitor(Lives(**given)))),
    "by life": by_life,
    "clipped": lambda **given: ClipRewardEnv(by_life(**given)),
    "fired": lambda **given: FireResetEnv(by_life(**given)),
    "as the zoo": as_the_zoo,
    "in parts": lambda **given: TimeLimit(by_life(**given), 4),
}


class Plays(Counter):
    """Fires where it stands, and else acts by what it sees."""

    observation_space, action_space = Lives().observation_space, Lives().action_space

    def __init__(self, action: int | None = None) -> None:
        super().__init__()
        self.action = action

    def predict(self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False) -> Any:
        chosen = np.where(obs[:, 1] > 0, 1, obs[:, 2].astype(int) % 4)
        return chosen if self.action is None else np.full(len(obs), self.action), state


def stock(model: Any, env: Factory) -> list[float]:
    """Return what SB3 says of each seed, on an environment of its own.

    A game that ends within a reset it leaves out, and plays another: there the Monitor knows.
    """
    found, left_out = [], 0
    for seed in range(SEED, SEED + EPISODES):
        venv = DummyVecEnv([env])
        venv.seed(seed)
        said = evaluate_policy(model, venv, 1, return_episode_rewards=True)[0]
        played = venv.env_method("get_wrapper_attr", "episode_returns")[0]
        assert said == played[-1:]
        found.append(played[0])
        left_out += len(played) > 1
    assert left_out <= 2
    return found


@pytest.mark.parametrize("name", WRAPPED)
def test_a_game_is_worth_what_sb3_says(name: str) -> None:
    env = WRAPPED[name]
    expected = stock(Plays(), env)
    found = evaluate(Plays(), Task(env), episodes=EPISODES, seed=SEED)
    assert len(set(expected)) > 3
    np.testing.assert_allclose(found.returns, expected)
    assert found.inside == (name not in ("whole", "counted twice"))
    assert Evaluation.from_json(found.to_json()).inside == found.inside


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_game_is_the_same_alone_and_beside_others(name: str, n_envs: int) -> None:
    task = Task(WRAPPED[name])
    some = evaluate(Plays(), task, episodes=EPISODES, seed=SEED, n_envs=n_envs)
    every = evaluate(Plays(), task, episodes=EPISODES, seed=SEED)
    later = evaluate(Plays(), task, episodes=2, seed=SEED + 4, n_envs=n_envs)
    assert some.returns.tolist() == every.returns.tolist()
    assert some.lengths.tolist() == every.lengths.tolist()
    assert later.returns.tolist() == every.returns[4:6].tolist()


def test_a_state_begins_anew_with_each_life_as_under_sb3() -> None:
    """Else a recurrent agent would go on with the state of the life that it lost, which training never did."""

    class Counts(Plays):
        def predict(self, obs: Any, state: Any = None, *args: Any, **given: Any) -> Any:
            count, state = Counter.predict(self, obs, state, *args, **given)
            return (count + 1) % 4, state

    found = evaluate(Counts(), Task(WRAPPED["fired"]), episodes=EPISODES, seed=SEED, n_envs=2)
    np.testing.assert_allclose(found.returns, stock(Counts(), WRAPPED["fired"]))


def test_gymnasiums_own_count_serves_as_well() -> None:
    task = Task(by_life, env_kwargs={"count": RecordEpisodeStatistics})
    found = evaluate(Plays(), task, episodes=EPISODES, seed=SEED, n_envs=2)
    np.testing.assert_allclose(found.returns, stock(Plays(), by_life))


def test_what_is_cut_outside_of_the_count_ends_there() -> None:
    """SB3 never counts such an episode, as its Monitor does not see the end."""
    found = evaluate(Plays(1), Task(lambda: TimeLimit(Monitor(Lives()), 2)), episodes=4, seed=SEED, n_envs=2)
    assert (found.returns.tolist(), found.lengths.tolist()) == ([1.0] * 4, [2] * 4)
    assert not found.inside


def test_a_game_that_ends_within_a_reset_has_ended() -> None:
    """The wrapper's idle step loses the last life, and it begins the next game in the same reset, without a seed."""
    task = Task(by_life, env_kwargs={"fragile": True})
    alone = evaluate(Plays(), task, episodes=EPISODES, seed=SEED, n_envs=1)
    every = evaluate(Plays(), task, episodes=EPISODES, seed=SEED)
    first = [evaluate(Plays(), task, episodes=1, seed=SEED + i).returns[0] for i in range(EPISODES)]
    assert alone.returns.tolist() == every.returns.tolist() == first


@pytest.mark.parametrize("name", WRAPPED)
def test_the_seed_determines_a_whole_game(name: str) -> None:
    assert repeated(Task(WRAPPED[name]), SEED).differs is None


def test_where_nothing_counts_it_is_said() -> None:
    assert "does not determine" in repeated(Task(lambda: EpisodicLifeEnv(Lives())), SEED).differs
    assert not evaluate(Plays(), Task(lambda: EpisodicLifeEnv(Lives())), episodes=3).inside


def test_chance_plays_whole_games_too() -> None:
    found = evaluate_random(Task(by_life), episodes=4, seed=SEED, n_envs=1)
    assert found.returns.tolist() == evaluate_random(Task(by_life), episodes=4, seed=SEED).returns.tolist()
    assert found.inside


@pytest.mark.parametrize("name", WRAPPED)
def test_a_shifted_reward_counts_wherever_it_is_counted(name: str) -> None:
    """The shift stands outside of what a callable brings along: a Monitor in there does not see it."""
    whole = Task(WRAPPED[name])
    plain, twice = (
        evaluate(Plays(), task, episodes=3, seed=SEED) for task in (whole, whole.shifted(RewardScale(-2.0)))
    )
    if name in ("counted twice", "clipped", "fired", "as the zoo"):  # what is shifted is what comes out
        assert np.all(twice.returns < 0)
        assert np.all(-twice.returns / 2 <= plain.returns)
    else:
        np.testing.assert_allclose(twice.returns, -2 * plain.returns)
    noisy = evaluate(Plays(1), whole.shifted(SensorNoise(0.1)), episodes=3, seed=SEED)
    np.testing.assert_allclose(noisy.returns, evaluate(Plays(1), whole, episodes=3, seed=SEED).returns)


def test_what_is_learnt_from_is_cut_and_clipped() -> None:
    kept = Transitions()
    found = evaluate(Plays(), Task(WRAPPED["clipped"]), episodes=EPISODES, seed=SEED, record=kept)
    steps = list(kept)
    assert len(steps) == found.lengths.sum()
    assert sum(step.terminated for step in steps) > 2 * EPISODES
    assert {step.reward for step in steps} <= {0.0, 1.0}
    assert all(step.following[0] == step.observation[0] - 1 for step in steps if step.terminated)


class Strict(gym.Wrapper):
    """Raises where it is stepped after an end."""

    ended = False

    def reset(self, **given: Any) -> Any:
        self.ended = False
        return self.env.reset(**given)

    def step(self, action: Any) -> Any:
        if self.ended:
            raise RuntimeError("stepped after an end")
        *rest, terminated, truncated, info = self.env.step(action)
        self.ended = terminated or truncated
        return *rest, terminated, truncated, info


def test_a_film_goes_on_after_a_lost_life(tmp_path: Path) -> None:
    def world(render_mode: str | None = None) -> gym.Env:
        return Strict(by_life(render_mode=render_mode))

    clip = record(Plays(), Task(world), tmp_path / "game.mp4", seed=SEED)
    assert clip.path is not None, clip.reason


def frames(**given: Any) -> Task:
    pytest.importorskip("cv2")
    return Task(Lives, env_kwargs={"image": True}, wrappers=(Atari(screen_size=36, noop_max=3, **given), FrameStack(2)))


def test_the_atari_wrapper_cuts_and_clips_training_alone() -> None:
    task = frames()
    model = PPO("CnnPolicy", task.vector(1, seed=0), n_steps=8, batch_size=8, seed=0, device="cpu")
    found = evaluate(load(model), task, episodes=4, seed=SEED, n_envs=2)
    plain = evaluate(load(model), frames(clip_reward=False), episodes=4, seed=SEED)
    assert found.returns.tolist() == plain.returns.tolist()
    assert found.inside
    venv, paid, lives = task.vector(1, seed=SEED), set(), set()
    venv.reset()
    for _ in range(100):
        _, rewards, dones, _ = venv.step(np.array([1]))
        paid.add(float(rewards[0]))
        lives |= {venv.envs[0].unwrapped.ale.lives()} if dones[0] else set()
    assert (paid, lives) == ({1.0}, {LIVES, 2, 1})


def test_a_shifted_score_is_the_score_of_the_atari_wrapper() -> None:
    task = frames()
    plain, twice = (evaluate_random(each, episodes=3, seed=SEED) for each in (task, task.shifted(RewardScale(2.0))))
    assert plain.returns.sum() > 0
    np.testing.assert_allclose(twice.returns, 2 * plain.returns)


def test_a_game_of_atari_is_worth_what_sb3_says() -> None:
    pytest.importorskip("ale_py")
    game, kwargs = "ALE/Breakout-v5", {"frameskip": 1}
    task = Task(game, env_kwargs=kwargs, wrappers=(Atari(), FrameStack(4)))

    def theirs(seed: int) -> VecFrameStack:
        return VecFrameStack(make_atari_env(game, 1, seed=seed, env_kwargs=kwargs), 4)

    model = PPO("CnnPolicy", theirs(0), n_steps=8, batch_size=8, seed=0, device="cpu")
    found = evaluate(load(model), task, episodes=2, seed=SEED)
    expected = [evaluate_policy(model, theirs(SEED + i), 1, return_episode_rewards=True)[0][0] for i in range(2)]
    assert found.returns.tolist() == expected
    assert repeated(task, SEED).differs is None
