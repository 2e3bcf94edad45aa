"""The rollouts of off-policy algorithms without torch's modules in each step: what runs in the place of SB3's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv

from acclimate.engine.off_policy.update import OffPolicyUpdate
from acclimate.parallel.stepping import stepping

Array = NDArray[Any]


class Explorer:
    """Acts in the environments and fills the replay buffer, with the numbers that SB3 would draw."""

    def __init__(self, model: Any, update: OffPolicyUpdate) -> None:
        """Act by the networks of `update`."""
        self._model, self._update = model, update
        space = model.action_space
        self._box = space if isinstance(space, spaces.Box) else None
        self._shape = (-1, *(space.shape or ()))

    def collect(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: Any,
        replay_buffer: Any,
        action_noise: Any = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Collect as SB3's `collect_rollouts` does; callbacks see the local variables that SB3 shows them."""
        model = self._model
        if env.num_envs > 1 and train_freq.unit is not TrainFrequencyUnit.STEP:
            raise ValueError("training by whole episodes needs one environment; set train_freq in steps")
        shown = {"self": model, "env": env, "train_freq": train_freq, "replay_buffer": replay_buffer}
        shown.update(action_noise=action_noise, learning_starts=learning_starts, log_interval=log_interval)
        callback.on_rollout_start()
        self._update.ready(training=False)
        step = stepping(env)
        steps = episodes = 0
        while should_collect_more_steps(train_freq, steps, episodes):
            actions, stored = self._sample(learning_starts, action_noise, env.num_envs)
            new_obs, rewards, dones, infos = step(actions)
            model.num_timesteps += env.num_envs
            steps += 1
            seen = {"actions": actions, "buffer_actions": stored, "new_obs": new_obs, "rewards": rewards}
            counts = {"num_collected_steps": steps, "num_collected_episodes": episodes, "continue_training": True}
            callback.update_locals({**shown, **seen, **counts, "dones": dones, "infos": infos, "callback": callback})
            if not callback.on_step():
                return RolloutReturn(steps * env.num_envs, episodes, continue_training=False)
            model._update_info_buffer(infos, dones)
            model._store_transition(replay_buffer, stored, new_obs, rewards, dones, infos)
            self._update.replay.stored += 1
            model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
            model._on_step()
            for place in np.flatnonzero(dones):
                episodes += 1
                self._end_episode(int(place), env.num_envs, action_noise, log_interval)
        callback.on_rollout_end()
        return RolloutReturn(steps * env.num_envs, episodes, continue_training=True)

    def _end_episode(self, place: int, environments: int, action_noise: Any, log_interval: int | None) -> None:
        model = self._model
        model._episode_num += 1
        if action_noise is not None:
            action_noise.reset(**({"indices": [place]} if environments > 1 else {}))
        if log_interval is not None and model._episode_num % log_interval == 0:
            model.dump_logs()

    def _sample(self, learning_starts: int, action_noise: Any, environments: int) -> tuple[Array, Array]:
        """Return actions as the environments take them, and as the buffer keeps them."""
        model, box = self._model, self._box
        if model.num_timesteps < learning_starts:
            actions = np.array([model.action_space.sample() for _ in range(environments)])
        else:
            actions = self._own(environments)
        if box is None:
            return actions, actions
        # What a policy puts out passes through the environments' units and back, as under SB3.
        stored = model.policy.scale_action(actions)
        if action_noise is not None:
            stored = np.clip(stored + action_noise(), -1, 1)
        return model.policy.unscale_action(stored), stored

    def _own(self, environments: int) -> Array:
        """Return what the policy does, in the environments' units; of DQN a share of it is random."""
        model = self._model
        if isinstance(model, DQN) and np.random.rand() < model.exploration_rate:
            return np.array([model.action_space.sample() for _ in range(environments)])
        actions = self._update.act(self._update.read(model._last_obs)).reshape(self._shape)
        return actions if self._box is None else model.policy.unscale_action(actions)
