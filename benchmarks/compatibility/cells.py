"""The cells of the matrix: what is observed, what is done, and which algorithm learns it."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from acclimate.sb3.vocabulary import ALGORITHMS, OFF_POLICY, VALUE_BASED
from acclimate.tasks.task import Task
from benchmarks.compatibility.worlds import ACTIONS, OBSERVATIONS, UNUSUAL, UNUSUAL_ACTIONS, World

_ON = {"n_steps": 8}
_OFF = {"learning_starts": 4, "batch_size": 4, "buffer_size": 64, "train_freq": 8}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "a2c": _ON,
    "trpo": {**_ON, "batch_size": 4, "cg_max_steps": 3, "n_critic_updates": 1},
    **{name: {**_ON, "batch_size": 4, "n_epochs": 1} for name in ("ppo", "recurrent_ppo", "maskable_ppo")},
    "ars": {"n_delta": 1},
    **dict.fromkeys(["dqn", "qrdqn", "sac", "td3", "ddpg", "tqc", "crossq"], _OFF),
}
_REFUSALS = (AssertionError, ValueError, NotImplementedError, TypeError, RuntimeError, IndexError)


_BOX_ALONE = OFF_POLICY - VALUE_BASED
_SIZED_BY_NUMPY = ("MultiDiscrete", "Dict")
"""Observations whose size SB3 counts in numpy's own whole numbers, which torch's LSTM does not take."""


class Cell(NamedTuple):
    """One combination; its fields are the columns of the table."""

    observation: str
    action: str
    algorithm: str

    @property
    def policy(self) -> str:
        """SB3's name of the policy, whether the algorithm has it or not."""
        return f"{seen_of(self).policy}{'Lstm' * (self.algorithm == 'recurrent_ppo')}Policy"

    @property
    def allowed(self) -> bool:
        """Whether SB3 has such an agent; that `model` refuses exactly the others is tried with each cell."""
        if self.policy not in ALGORITHMS[self.algorithm].policy_aliases:
            return False
        if self.algorithm == "recurrent_ppo":
            return self.action != "MultiBinary" and self.observation not in _SIZED_BY_NUMPY
        if self.algorithm == "ars":
            return self.action in ("Box", "Discrete")
        if self.algorithm in _BOX_ALONE:
            return self.action == "Box"
        if self.algorithm in VALUE_BASED:
            return self.action == "Discrete"
        return self.action != "Box" or self.algorithm != "maskable_ppo"

    def vector(self, *, shift: float = 0.0) -> VecEnv:
        """Return SB3's vector of one environment, with the normaliser where there is one."""
        seen, task = seen_of(self), self.task(shift=shift)
        venv: VecEnv = DummyVecEnv([lambda: Monitor(task.make())])
        if not seen.normalized:
            return venv
        return VecNormalize(venv, gamma=0.9, norm_obs_keys=None if seen.keys is None else list(seen.keys))

    def task(self, *, shift: float = 0.0) -> Task:
        """Return the world, as Acclimate takes it."""
        masked = self.algorithm == "maskable_ppo"
        given = {
            "seen": seen_of(self).space,
            "taken": {**ACTIONS, **UNUSUAL_ACTIONS}[self.action],
            "shift": shift,
            "masked": masked,
        }
        return Task(World, env_kwargs=given)

    def model(self) -> BaseAlgorithm:
        """Return a tiny stock model, trained for a few steps.

        Raises:
            Refused: SB3 has no such agent; the message is its own.
        """
        cls = ALGORITHMS[self.algorithm]
        arguments = {"policy_kwargs": self._networks(), "device": "cpu", "seed": 3, **_ARGUMENTS[self.algorithm]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return cls(self.policy, self.vector(), **arguments).learn(16)
            except _REFUSALS as error:
                raise Refused((str(error).strip().splitlines() or [type(error).__name__])[0]) from error

    def _networks(self) -> dict[str, Any]:
        small: dict[str, Any] = {"net_arch": [6]}
        if seen_of(self).policy == "Cnn":
            small["features_extractor_kwargs"] = {"features_dim": 6}
        elif seen_of(self).policy == "MultiInput":
            small["features_extractor_kwargs"] = {"cnn_output_dim": 6}
        if self.algorithm in ("tqc", "qrdqn"):
            small["n_quantiles"] = 4
        return {**small, "lstm_hidden_size": 4} if self.algorithm == "recurrent_ppo" else small


class Refused(Exception):  # noqa: N818  (SB3 refuses; nothing went wrong)
    """SB3 has no agent for a cell; the message is its own."""


def seen_of(cell: Cell) -> Any:
    """Return what the agent of a cell observes."""
    return {**OBSERVATIONS, **UNUSUAL}[cell.observation]


def cells() -> list[Cell]:
    """Return all cells, those that SB3 refuses as well."""
    return [Cell(seen, done, name) for name in ALGORITHMS for seen in OBSERVATIONS for done in ACTIONS]
