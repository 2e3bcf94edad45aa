"""Rollouts of the engine against those of Stable-Baselines3: the same buffer, in the same environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.engine.choice import attach
from acclimate.methods.full import Full
from acclimate.seam.seam import Seam

BUFFER = ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "advantages", "returns")


class Short(gym.Wrapper):
    """Cuts episodes by a time limit after a few steps, so that rollouts meet cut and ended episodes alike."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(gym.wrappers.TimeLimit(env, 13))


def model(algorithm: type, env_id: str, *, normalize: bool, n_envs: int) -> Any:
    env: Any = make_vec_env(env_id, n_envs, seed=3, wrapper_class=Short)
    if normalize:
        env = VecNormalize(env)
    return algorithm("MlpPolicy", env, n_steps=40, seed=5, device="cpu", gamma=0.9, policy_kwargs={"net_arch": [8]})


class Watch(BaseCallback):
    """Keeps what callbacks are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []
        self.ended = 0

    def _on_step(self) -> bool:
        infos, dones, actions = (self.locals[name] for name in ("infos", "dones", "actions"))
        assert len(infos) == len(dones) == len(actions) == self.training_env.num_envs
        self.steps.append((self.num_timesteps, int(dones.sum())))
        return True

    def _on_rollout_end(self) -> None:
        self.ended += 1


def collected(ours: bool, *args: Any, rollouts: int = 2, **kwargs: Any) -> tuple[list[dict[str, Any]], Any, Watch]:
    """Return the buffer after each of some rollouts, without any update between them."""
    made, watch = model(*args, **kwargs), Watch()
    seam = Seam(made, Full(), total_steps=1000)
    if ours:
        assert attach(seam, type(made), "auto")[0] == "acclimate"
    total, callback = made._setup_learn(1000, watch)
    callback.on_training_start(locals(), globals())
    buffers = []
    with seam:
        for _ in range(rollouts):
            assert made.collect_rollouts(made.env, callback, made.rollout_buffer, made.n_steps)
            buffers.append({name: getattr(made.rollout_buffer, name).copy() for name in BUFFER})
    return buffers, made, watch


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_buffer_is_that_of_sb3(env_id: str, n_envs: int, normalize: bool) -> None:
    theirs, their_model, their_watch = collected(False, PPO, env_id, normalize=normalize, n_envs=n_envs)
    ours, our_model, our_watch = collected(True, PPO, env_id, normalize=normalize, n_envs=n_envs)
    for one, other in zip(theirs, ours, strict=True):
        for name in BUFFER:
            np.testing.assert_allclose(other[name], one[name], rtol=2e-4, atol=2e-5, err_msg=name)
    assert our_watch.steps == their_watch.steps
    assert our_watch.ended == their_watch.ended == 2
    assert [e["l"] for e in our_model.ep_info_buffer] == [e["l"] for e in their_model.ep_info_buffer]
    assert any(done for _, done in our_watch.steps), "the rollouts met the end of an episode"


def test_a_callback_can_stop_a_rollout() -> None:
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 25

    made = model(PPO, "CartPole-v1", normalize=False, n_envs=1)
    seam = Seam(made, Full(), total_steps=1000)
    attach(seam, PPO, "auto")
    with seam:
        made.learn(1000, callback=Stop())
    assert made.num_timesteps == 25


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_a_short_training_ends_where_sb3s_ends(algorithm: type) -> None:
    """Collecting, updating and collecting again: the same actions on the way, and nearly the same weights."""
    ended = []
    for ours in (False, True):
        made = model(algorithm, "CartPole-v1", normalize=True, n_envs=2)
        seam = Seam(made, Full(), total_steps=320)
        if ours:
            attach(seam, algorithm, "auto")
        with seam:
            made.learn(320)
        ended.append(made)
    theirs, ours_ = ended
    assert [e["r"] for e in theirs.ep_info_buffer] == [e["r"] for e in ours_.ep_info_buffer]
    for one, other in zip(theirs.policy.parameters(), ours_.policy.parameters(), strict=True):
        np.testing.assert_allclose(other.detach(), one.detach(), atol=1e-4)
    assert theirs._n_updates == ours_._n_updates
