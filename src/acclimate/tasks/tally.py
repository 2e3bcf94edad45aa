"""A count of whole episodes, kept inside of wrappers that end them early or change their rewards."""

from __future__ import annotations

from typing import Any

import gymnasium as gym


class Tally(gym.Wrapper):
    """Counts what each episode of an environment returns, from a reset that reaches it to the environment's own end."""

    def __init__(self, env: gym.Env) -> None:
        """Begin to count."""
        super().__init__(env)
        self.scores: list[float] = []
        """Returns of the episodes so far, the last one up to now."""
        self.over = True
        """Whether the last one has ended."""
        self._seen: Any = None
        self._left = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self.scores.append(0.0)
        self.over = self._left = False
        self._seen, info = self.env.reset(seed=seed, options=options)
        return self._seen, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step, or end the episode that was left."""
        if self._left:
            self.over = True
            return self._seen, 0.0, False, True, {}
        self._seen, reward, terminated, truncated, info = self.env.step(action)
        self.scores[-1] += float(reward)
        self.over = bool(terminated or truncated)
        return self._seen, reward, terminated, truncated, info

    def leave(self) -> None:
        """Let the next step end the episode and change nothing: wrappers that go on until then have to reset it."""
        self._left = True


def counted(env: gym.Env) -> Tally | None:
    """Return the count that stands furthest outside in an environment, None where nothing counts.

    A `Monitor` of Stable-Baselines3 or a `RecordEpisodeStatistics` of Gymnasium marks the place: it gets one inside.
    """
    from stable_baselines3.common.monitor import Monitor

    while isinstance(env, gym.Wrapper):
        if isinstance(env, Tally):
            return env
        if isinstance(env, (Monitor, gym.wrappers.RecordEpisodeStatistics)) and not isinstance(env.env, Tally):
            env.env = Tally(env.env)
        env = env.env
    return None
