"""The running statistics by which an agent's observations and rewards were scaled.

The arithmetic is that of SB3's ``VecNormalize``, to the bit; what differs is that it is data: it needs no
environment, never updates itself and never holds a pickle.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from acclimate.errors import SourceError

Statistics = np.ndarray | dict[str, np.ndarray]
Observation = np.ndarray | dict[str, np.ndarray]


@dataclass(frozen=True)
class Drift:
    """How far one normaliser's observations lie from another's, feature by feature."""

    features: tuple[str, ...]
    """``3``, or ``key[3]`` for a Dict space."""
    mean_shift: np.ndarray
    """How far the mean moved, in standard deviations of the first normaliser."""
    std_ratio: np.ndarray
    """The other standard deviation over the first."""


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Means and variances of observations and returns, and how they are applied."""

    obs_mean: Statistics
    obs_var: Statistics
    obs_count: float | dict[str, float]
    ret_mean: float
    ret_var: float
    ret_count: float
    clip_obs: float = 10.0
    clip_reward: float = 10.0
    gamma: float = 0.99
    epsilon: float = 1e-8
    norm_obs: bool = True
    norm_reward: bool = True
    norm_obs_keys: tuple[str, ...] | None = None

    @classmethod
    def identity(cls, space: spaces.Space, keys: tuple[str, ...] | None = None) -> Normalizer:
        """Return a normaliser that has seen nothing yet, as a new ``VecNormalize`` starts.

        Args:
            space: Of the observations.
            keys: The parts of a Dict that are normalised; all that can be by default.

        Raises:
            SourceError: The space is not one that can be normalised.
        """
        shapes = _shapes(space)
        if shapes is None:
            raise SourceError(f"a {type(space).__name__} space has no statistics; only Box and Dict of Box have.")
        if isinstance(shapes, dict):
            shapes = {key: shape for key, shape in shapes.items() if keys is None or key in keys}
            return cls(
                obs_mean={key: np.zeros(shape) for key, shape in shapes.items()},
                obs_var={key: np.ones(shape) for key, shape in shapes.items()},
                obs_count=dict.fromkeys(shapes, 1e-4),
                norm_obs_keys=tuple(shapes),
                **_NO_RETURNS,
            )
        return cls(obs_mean=np.zeros(shapes), obs_var=np.ones(shapes), obs_count=1e-4, **_NO_RETURNS)

    @classmethod
    def from_vec_normalize(cls, vec: VecNormalize) -> Normalizer:
        """Return a copy of the statistics of SB3's wrapper."""
        rms = getattr(vec, "obs_rms", None) if vec.norm_obs else None
        if rms is None:
            mean, var, count = np.zeros(()), np.ones(()), 1e-4
        elif isinstance(rms, dict):
            mean = {key: part.mean.copy() for key, part in rms.items()}
            var = {key: part.var.copy() for key, part in rms.items()}
            count = {key: float(part.count) for key, part in rms.items()}
        else:
            mean, var, count = rms.mean.copy(), rms.var.copy(), float(rms.count)
        return cls(
            obs_mean=mean,
            obs_var=var,
            obs_count=count,
            ret_mean=float(vec.ret_rms.mean),
            ret_var=float(vec.ret_rms.var),
            ret_count=float(vec.ret_rms.count),
            clip_obs=float(vec.clip_obs),
            clip_reward=float(vec.clip_reward),
            gamma=float(vec.gamma),
            epsilon=float(vec.epsilon),
            norm_obs=bool(vec.norm_obs),
            norm_reward=bool(vec.norm_reward),
            norm_obs_keys=tuple(vec.norm_obs_keys) if vec.norm_obs_keys is not None else None,
        )

    @property
    def features(self) -> tuple[str, ...]:
        """What the entries of an observation are called: ``3``, or ``key[3]`` for a Dict space."""
        return _labels(self.obs_mean)

    @property
    def shapes(self) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """The shapes of the observations that it has statistics of."""
        if isinstance(self.obs_mean, dict):
            return {key: mean.shape for key, mean in self.obs_mean.items()}
        return self.obs_mean.shape

    def normalize_obs(self, obs: Observation) -> Observation:
        """Return scaled observations, of the same shape, single or batched."""
        if not self.norm_obs:
            return obs
        if isinstance(obs, dict) and isinstance(self.obs_mean, dict) and isinstance(self.obs_var, dict):
            scaled = {key: self._scale(obs[key], self.obs_mean[key], self.obs_var[key]) for key in self.obs_mean}
            return {**obs, **scaled}
        return self._scale(obs, self.obs_mean, self.obs_var)

    def _scale(self, obs: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        scaled = (obs - mean) / np.sqrt(var + self.epsilon)
        # The numbers of `np.clip`, which takes longer for a few of them than all the rest.
        return np.minimum(np.maximum(scaled, -self.clip_obs), self.clip_obs).astype(np.float32)

    def fits(self, space: spaces.Space) -> bool:
        """Return whether the statistics are those of this observation space."""
        return not self.norm_obs or self.shapes == self._shapes_in(space)

    def _shapes_in(self, space: spaces.Space) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
        expected = _shapes(space)
        if isinstance(expected, dict):
            known = self.norm_obs_keys if self.norm_obs_keys is not None else tuple(expected)
            expected = {key: shape for key, shape in expected.items() if key in known}
        return expected

    def check(self, space: spaces.Space, where: str) -> None:
        """Raise a `SourceError` unless the statistics are those of this observation space."""
        if not self.fits(space):
            raise SourceError(
                f"{where}: the normaliser holds observations of shape {self.shapes}, not {self._shapes_in(space)}; "
                "give the agent's own normaliser, or normalizer=None if it needs none."
            )

    def vec_normalize(self, venv: VecEnv, *, training: bool, norm_reward: bool) -> VecNormalize:
        """Wrap `venv` in SB3's ``VecNormalize`` that starts from these statistics.

        Args:
            venv: The raw vector of environments.
            training: Whether its statistics go on moving.
            norm_reward: Whether it scales rewards.
        """
        # SB3 writes the space of scaled images into a Dict, which the environments may share with all others.
        venv.observation_space = copy.deepcopy(venv.observation_space)
        vec = VecNormalize(
            venv,
            training=training,
            norm_obs=self.norm_obs,
            norm_reward=norm_reward,
            clip_obs=self.clip_obs,
            clip_reward=self.clip_reward,
            gamma=self.gamma,
            epsilon=self.epsilon,
            norm_obs_keys=list(self.norm_obs_keys) if self.norm_obs_keys is not None else None,
        )
        if self.norm_obs:
            self.check(venv.observation_space, "this environment")
            if isinstance(self.obs_mean, dict):
                for key, rms in vec.obs_rms.items():
                    _fill(rms, self.obs_mean[key], self.obs_var[key], self.obs_count[key])
            else:
                _fill(vec.obs_rms, self.obs_mean, self.obs_var, self.obs_count)
        _fill(vec.ret_rms, np.array(self.ret_mean), np.array(self.ret_var), self.ret_count)
        return vec

    def copy(self) -> Normalizer:
        """Return a copy that shares no memory."""
        return dataclasses.replace(self, obs_mean=_copied(self.obs_mean), obs_var=_copied(self.obs_var))

    def drift(self, other: Normalizer) -> Drift:
        """Return how far the observations of `other` lie from those of this one.

        Raises:
            SourceError: They are statistics of observations of different shape.
        """
        if self.shapes != other.shapes:
            raise SourceError(f"normalisers of shapes {self.shapes} and {other.shapes} cannot be compared.")
        std = np.sqrt(_flat(self.obs_var) + self.epsilon)
        shift = (_flat(other.obs_mean) - _flat(self.obs_mean)) / std
        return Drift(_labels(self.obs_mean), shift, np.sqrt(_flat(other.obs_var) + self.epsilon) / std)


_NO_RETURNS = {"ret_mean": 0.0, "ret_var": 1.0, "ret_count": 1e-4}


def _shapes(space: spaces.Space) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
    if isinstance(space, spaces.Dict):
        return {key: part.shape for key, part in space.spaces.items() if isinstance(part, spaces.Box)}
    return space.shape if isinstance(space, spaces.Box) else None


def _fill(rms: RunningMeanStd, mean: np.ndarray, var: np.ndarray, count: float) -> None:
    rms.mean, rms.var, rms.count = np.array(mean, np.float64), np.array(var, np.float64), float(count)


def _copied(values: Statistics) -> Statistics:
    return {key: value.copy() for key, value in values.items()} if isinstance(values, dict) else values.copy()


def _flat(values: Statistics) -> np.ndarray:
    return np.concatenate([v.ravel() for v in values.values()]) if isinstance(values, dict) else values.ravel()


def _labels(values: Statistics) -> tuple[str, ...]:
    if isinstance(values, dict):
        return tuple(f"{key}[{i}]" for key, value in values.items() for i in range(value.size))
    return tuple(str(i) for i in range(values.size))


def hold_observations(normalize: VecNormalize) -> None:
    """Stop the observation statistics from moving while the reward's still do."""
    kept = normalize.obs_rms
    for statistics in kept.values() if isinstance(kept, dict) else (kept,):
        statistics.update = _unmoved  # type: ignore[method-assign]


def _unmoved(*_: Any) -> None:
    return None


def save_vec_normalize(normalize: VecNormalize | None) -> Normalizer | None:
    """Return the statistics of a training normaliser as they stand now."""
    return None if normalize is None else Normalizer.from_vec_normalize(normalize)
