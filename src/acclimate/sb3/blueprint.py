"""All that is needed to rebuild an agent's SB3 model, held as data."""

from __future__ import annotations

import copy
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from acclimate.config import from_dict
from acclimate.errors import ConfigError, SourceError, suggest
from acclimate.files import spaces as space_format
from acclimate.sb3 import vocabulary
from acclimate.sb3.buffers import unset
from acclimate.sb3.building import leave_compiler_out
from acclimate.sb3.hindsight import Hindsight
from acclimate.sb3.noise import Noise

# What a model without an environment may ever fill with experience; a real environment gets the full buffers.
IDLE_BUFFER_BYTES = 256 * 2**20
_BUILD_ERRORS = (
    ValueError,
    TypeError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    MemoryError,
)


@dataclass(frozen=True)
class Blueprint:
    """An SB3 model without its weights: which algorithm and policy, over which spaces, with what settings."""

    algorithm: str
    """Our name of the algorithm: ``ppo``, ``recurrent_ppo`` ..."""
    policy: str | type[BasePolicy]
    """SB3's name of the policy (``MlpPolicy``); a class only where a live model has one of its own."""
    policy_kwargs: dict[str, Any]
    """The policy's arguments; classes stand as our names (``relu``)."""
    observation_space: spaces.Space
    action_space: spaces.Space
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """Arguments of the algorithm that could be read as plain values."""
    hindsight: Hindsight | None = None
    """How its replay buffer draws goals, where it was trained with HER."""
    noise: Noise | None = None
    """What it added to its actions to explore."""

    @property
    def algorithm_class(self) -> type[BaseAlgorithm]:
        """SB3's class of the algorithm.

        Raises:
            SourceError: There is none of this name.
        """
        try:
            return vocabulary.ALGORITHMS[self.algorithm]
        except KeyError:
            hint = suggest(self.algorithm, vocabulary.ALGORITHMS)
            raise SourceError(f"no algorithm `{self.algorithm[:100]}`. {hint}") from None

    @property
    def policy_class(self) -> type[BasePolicy]:
        """The class of the policy.

        Raises:
            SourceError: The algorithm has no policy of this name.
        """
        if not isinstance(self.policy, str):
            return self.policy
        aliases = self.algorithm_class.policy_aliases
        if self.policy not in aliases:
            hint = suggest(self.policy, aliases)
            raise SourceError(f"`{self.algorithm}` has no policy `{self.policy[:100]}`. {hint}")
        return aliases[self.policy]

    def arguments(self) -> dict[str, Any]:
        """Return the policy's arguments with names resolved to classes, as SB3 takes them.

        Raises:
            SourceError: A name is none of ours.
        """
        return vocabulary.resolve(copy.deepcopy(self.policy_kwargs), self.algorithm)

    def build(self, *, env: Any = None, device: str | torch.device = "cpu", **overrides: Any) -> BaseAlgorithm:
        """Return a fresh SB3 model, its weights newly drawn.

        Args:
            env: What it trains on; without one the model can act and be saved, and its buffers stay small.
            device: Where its networks live.
            overrides: Arguments of SB3's constructor that replace those of the blueprint (``seed`` ...).

        Raises:
            SourceError: SB3 refuses to build it.
        """
        leave_compiler_out()
        cls = self.algorithm_class
        self._check_names(overrides)
        arguments = {"policy_kwargs": self.arguments(), **self._noise(), **self.hyperparameters, **overrides}
        if isinstance(arguments.get("train_freq"), list):
            arguments["train_freq"] = tuple(arguments["train_freq"])
        try:
            if env is not None:
                if self.hindsight is not None and "replay_buffer_class" not in overrides:
                    arguments |= self.hindsight.arguments(arguments.get("replay_buffer_kwargs"))
                return cls(self.policy_class, env, device=device, **arguments)
            return self._build_idle(device, arguments)
        except _BUILD_ERRORS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SourceError(
                f"SB3 cannot build this {self.algorithm} agent ({reason[:200]}); "
                "check its spaces and settings with `acclimate inspect`."
            ) from error

    def _noise(self) -> dict[str, Any]:
        """Return the noise as an argument, a new object each time: it may have a state of its own."""
        return {} if self.noise is None else {"action_noise": self.noise.make(self.action_space.shape or ())}

    def _check_names(self, overrides: Mapping[str, Any]) -> None:
        known = inspect.signature(self.algorithm_class.__init__).parameters
        for name in overrides:
            if name not in known:
                raise SourceError(f"{self.algorithm} has no argument `{name}`. {suggest(name, known)}")

    def _build_idle(self, device: str | torch.device, arguments: dict[str, Any]) -> BaseAlgorithm:
        """Build on an environment that only has spaces, then take it away."""
        arguments = dict(arguments)
        wanted = arguments.get("buffer_size")
        held = None if wanted is None else _held(int(wanted), self.observation_space, self.action_space)
        if held is not None:
            arguments["buffer_size"] = held
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = self.algorithm_class(
                self.policy_class,
                SpacesOnly(self.observation_space, self.action_space),
                device=device,
                **arguments,
            )
        model.env = None
        if wanted is not None:
            model.buffer_size = wanted  # type: ignore[attr-defined]
            unset(model.replay_buffer)  # type: ignore[attr-defined]
        if self.hindsight is not None:
            # Such a buffer computes rewards by an environment: who gives the saved agent one gets both.
            for name, value in self.hindsight.arguments(arguments.get("replay_buffer_kwargs")).items():
                setattr(model, name, value)
        return model

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description, complete with the spaces.

        Raises:
            SourceError: It holds a class that only this process knows.
        """
        data = {
            "algorithm": self.algorithm,
            "policy": self.policy,
            "policy_kwargs": self.policy_kwargs,
            "observation_space": space_format.to_json(self.observation_space),
            "action_space": space_format.to_json(self.action_space),
            "hyperparameters": self.hyperparameters,
            **({} if self.hindsight is None else {"hindsight": asdict(self.hindsight)}),
            **({} if self.noise is None else {"noise": asdict(self.noise)}),
        }
        try:
            return json.loads(json.dumps(data, default=_no_data))
        except TypeError as error:
            raise SourceError(
                f"this {self.algorithm} agent holds {error}, a class of its own and no data: only a zip can hold it."
            ) from error

    @property
    def is_data(self) -> bool:
        """Whether it names nothing but what is ours or SB3's, so that `to_json` can describe it."""
        try:
            self.to_json()
        except SourceError:
            return False
        return True

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Blueprint:
        """Return the blueprint that `to_json` described.

        Raises:
            SourceError: The description is broken.
        """
        try:
            space = space_format.from_json(data["observation_space"], "observation_space")
            hindsight, noise = data.get("hindsight"), data.get("noise")
            return cls(
                algorithm=_text(data["algorithm"]),
                policy=_text(data["policy"]),
                policy_kwargs=dict(data["policy_kwargs"]),
                observation_space=space,
                action_space=space_format.from_json(data["action_space"], "action_space"),
                hyperparameters=dict(data["hyperparameters"]),
                hindsight=None if hindsight is None else Hindsight.of(dict(hindsight), space, "hindsight"),
                noise=None if noise is None else from_dict(Noise, dict(noise), path="noise"),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise SourceError(f"broken description of an agent ({error}); save the agent again.") from error


def _no_data(value: Any) -> Any:
    raise TypeError(f"`{getattr(value, '__name__', type(value).__name__)}`")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a name")
    return value


def _held(size: int, observation_space: spaces.Space, action_space: spaces.Space) -> int:
    """Return for how many steps a replay buffer without an environment has room."""
    per_step = 2 * spaces_bytes(observation_space) + spaces_bytes(action_space) + 16
    return max(1, min(size, IDLE_BUFFER_BYTES // per_step))


def spaces_bytes(space: spaces.Space) -> int:
    """Return how much memory one element of a space takes."""
    if isinstance(space, spaces.Dict):
        return sum(spaces_bytes(part) for part in space.spaces.values())
    itemsize = space.dtype.itemsize if space.dtype is not None else 8
    return max(1, int(np.prod(space.shape or (1,), dtype=np.float64))) * itemsize


class SpacesOnly(VecEnv):
    """A vector of one environment that has spaces and nothing else."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.render_mode = None
        super().__init__(1, copy.deepcopy(observation_space), copy.deepcopy(action_space))

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise SourceError("this agent has no environment; give its model one with `set_env` first.")

    reset = step_async = step_wait = env_method = set_attr = _refuse

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return None for each attribute that SB3 looks at."""
        return [None]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that it is not wrapped."""
        return [False]
