"""The rollouts of PPO and A2C without torch in each step: what runs in the place of SB3's `collect_rollouts`.

The policy acts in numpy, by noise of torch's generator as under SB3. The critic is asked once, for the whole rollout:
its values are needed only when the rollout is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from acclimate.engine.on_policy.actor_critic import ActorCritic
from acclimate.engine.on_policy.rows import as_drawn
from acclimate.nets.net import Acting
from acclimate.parallel.stepping import stepping

Array = NDArray[Any]


def collect(
    model: PPO | A2C,
    oracle: ActorCritic,
    acting: Iterable[Acting],
    env: VecEnv,
    callback: BaseCallback,
    buffer: RolloutBuffer,
    steps: int,
) -> bool:
    """Fill the buffer; return whether it was filled, and not stopped by the callback."""

    def begun() -> Rollout:
        _compute(oracle, acting)
        return Rollout(model, oracle, buffer)

    return fill(model, begun, env, callback, steps)


def fill(model: PPO | A2C, begun: Callable[[], Rollout], env: VecEnv, callback: BaseCallback, steps: int) -> bool:
    """Fill the model's buffer; return whether it was filled, and not stopped by the callback.

    Callbacks see the local variables that SB3 shows them, but for values and log-likelihoods of single steps.

    Args:
        model: it collects.
        begun: returns the rollout, once callbacks have done what they do as it begins.
        env: the environments.
        callback: of the training.
        steps: of each environment.
    """
    buffer = model.rollout_buffer
    if model.policy.training:
        model.policy.set_training_mode(False)
    buffer.reset()
    callback.on_rollout_start()
    rollout = begun()
    shown = {"self": model, "env": env, "rollout_buffer": buffer, "n_rollout_steps": steps}
    advance = stepping(env)
    for step in range(steps):
        actions, clipped = rollout.act()
        new_obs, rewards, dones, infos = advance(clipped)
        model.num_timesteps += env.num_envs
        seen = {"actions": actions, "new_obs": new_obs, "rewards": rewards, "dones": dones, "infos": infos}
        callback.update_locals({**shown, **seen, "n_steps": step, "clipped_actions": clipped})
        if not callback.on_step():
            return False
        model._update_info_buffer(infos, dones)
        rollout.store(step, actions, new_obs, rewards, dones, infos)
    rollout.judge()
    callback.update_locals(shown)
    callback.on_rollout_end()
    return True


def _compute(oracle: ActorCritic, acting: Iterable[Acting]) -> None:
    """Bring the weights up to what they are while the networks act, which masks of mixout depend on."""
    acting = list(acting)
    for flag in acting:
        flag.on = True
    try:
        oracle.compute()
    finally:
        for flag in acting:
            flag.on = False


class Rollout:
    """A rollout as it fills the buffer."""

    def __init__(self, model: PPO | A2C, oracle: ActorCritic, buffer: RolloutBuffer) -> None:
        self._model, self._oracle, self._buffer = model, oracle, buffer
        space = model.action_space
        self._box = space if isinstance(space, spaces.Box) else None
        self._shape = (-1, *(space.shape or ()))
        self._outputs: list[Array] = []
        self._cut: list[tuple[int, int, Any]] = []

    def act(self) -> tuple[Array, Array]:
        """Return actions as drawn, and as the environments take them."""
        policy = self._model.policy
        out = self._out()
        self._outputs.append(out)
        actions = self._chosen(self._oracle.distribution.sample(out).reshape(self._shape))
        if self._box is None:
            return actions, actions
        if policy.squash_output:
            return actions, policy.unscale_action(actions)
        return actions, np.clip(actions, self._box.low, self._box.high)

    def _out(self) -> Array:
        """Return what the actor puts out for the observations at hand, (environments, out)."""
        oracle = self._oracle
        return oracle.actor.forward(oracle.features(self._model._last_obs)).copy()

    def _chosen(self, sampled: Array) -> Array:
        """Return what is done, given what was drawn."""
        return sampled

    def store(self, step: int, actions: Array, new_obs: Any, rewards: Array, dones: Array, infos: Any) -> None:
        """Write a step, and remember episodes that a time limit cut: their value is added in the end."""
        model, buffer = self._model, self._buffer
        for place in np.flatnonzero(dones):
            info = infos[place]
            if info.get("terminal_observation") is not None and info.get("TimeLimit.truncated", False):
                self._cut.append((step, int(place), info["terminal_observation"]))
        self._keep(step)
        buffer.actions[step] = actions.reshape(buffer.actions.shape[1:])
        buffer.rewards[step] = rewards
        buffer.episode_starts[step] = model._last_episode_starts
        model._last_obs, model._last_episode_starts = new_obs, dones

    def _keep(self, step: int) -> None:
        """Write the observations of a step."""
        self._buffer.observations[step] = self._model._last_obs

    def _values(self) -> Array:
        """Return what the critic says of the rollout, (rows,)."""
        return self._values_at(self._buffer.observations.reshape(self._buffer.values.size, -1))

    def _values_at(self, observations: Any) -> Array:
        """Return what the critic says of some observations, (rows,)."""
        oracle = self._oracle
        return oracle.critic.forward(oracle.features(observations))[:, 0].astype(np.float32)

    def _drawn(self) -> Array:
        """Return the actions whose likelihood is kept, (rows, numbers)."""
        return as_drawn(self._buffer.actions).reshape(self._buffer.values.size, -1)

    def judge(self) -> None:
        """Write values, log-likelihoods, advantages and returns of the whole rollout."""
        model, oracle, buffer = self._model, self._oracle, self._buffer
        buffer.pos, buffer.full = buffer.buffer_size, True
        shape = buffer.values.shape
        buffer.values[...] = self._values().reshape(shape)
        prepared = oracle.distribution.prepared(self._drawn())
        log_likelihood = oracle.distribution.evaluate(np.concatenate(self._outputs), prepared)
        buffer.log_probs[...] = log_likelihood.reshape(shape)
        if self._cut:
            steps, places, terminal = zip(*self._cut, strict=True)
            buffer.rewards[list(steps), list(places)] += model.gamma * self._values_at(_stacked(terminal))
        _advantages(buffer, self._values_at(model._last_obs), model._last_episode_starts)


def _stacked(observations: Sequence[Any]) -> Any:
    """Return observations of single environments as those of several are."""
    if isinstance(observations[0], dict):
        return {key: np.stack([one[key] for one in observations]) for key in observations[0]}
    return np.stack(observations)


def _advantages(buffer: RolloutBuffer, last_values: Array, dones: Array) -> None:
    """Write advantages and returns, as SB3's `compute_returns_and_advantage` does from tensors."""
    after = 0.0
    following, going = last_values, 1.0 - dones.astype(np.float32)
    gamma, decay = buffer.gamma, buffer.gamma * buffer.gae_lambda
    for step in range(buffer.buffer_size - 1, -1, -1):
        values = buffer.values[step]
        after = buffer.rewards[step] + gamma * following * going - values + decay * going * after
        buffer.advantages[step] = after
        following, going = values, 1.0 - buffer.episode_starts[step]
    buffer.returns = buffer.advantages + buffer.values
