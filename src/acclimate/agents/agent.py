"""An agent: policy, value networks, spaces, normaliser, and the SB3 algorithm that can train it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from acclimate.agents.predict.shortcut import Shortcut
from acclimate.errors import SourceError, UnsafeFileError
from acclimate.nets.copies import copied
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.budget import Budget

if TYPE_CHECKING:
    from gymnasium import spaces
    from stable_baselines3.common.base_class import BaseAlgorithm

    from acclimate.sb3.normalizer import Normalizer, Observation
    from acclimate.tuning.method import Method

OPTIMIZERS = ("policy.optimizer", "actor.optimizer", "critic.optimizer", "ent_coef_optimizer")
VARIABLES = ("log_ent_coef", "ent_coef_tensor")
COUNTERS = ("num_timesteps", "_total_timesteps", "_n_updates", "_episode_num")
RATES = ("_current_progress_remaining", "exploration_rate")


@dataclass(frozen=True)
class Origin:
    """Where an agent came from, and what could be learnt about it there."""

    path: str | None = None
    sha256: str | None = None
    revision: str | None = None
    """The commit of a Hub repository."""
    env_id: str | None = None
    """From the files beside it, or from its name; the id of the time of training."""
    versions: Mapping[str, str] = field(default_factory=dict)
    steps: int = 0
    """Environment steps it was trained for."""
    unread: tuple[tuple[str, str], ...] = ()
    """Fields that were not read, each with the reason."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Hints of a config file beside it: ``env_wrapper``, ``frame_stack``, ``normalize``, ``env_kwargs``."""


@dataclass(frozen=True)
class Parts:
    """What a source yields: everything of an agent but its normaliser, not yet put together."""

    blueprint: Blueprint
    weights: Mapping[str, torch.Tensor]
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, torch.Tensor] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    methods: tuple[Method, ...] = ()
    """Those that its networks carry, in the order of their injection."""

    def from_revision(self, commit: str) -> Parts:
        """Return the same parts, known to come from this commit of a Hub repository."""
        return dataclasses.replace(self, origin=dataclasses.replace(self.origin, revision=commit))


class Agent:
    """A pretrained agent, ready to act.

    Attributes:
        blueprint: How its model is built.
        model: The SB3 model; it has no environment.
        normalizer: How raw observations are scaled before the model sees them, if they are.
        origin: Where it came from.
        methods: Those of its fine-tuning that stay in its networks, because they cannot end as stock ones; mostly none.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        model: BaseAlgorithm,
        normalizer: Normalizer | None = None,
        origin: Origin | None = None,
        methods: tuple[Method, ...] = (),
    ) -> None:
        """Hold the parts of an agent; `load` makes them from a file."""
        self.blueprint = blueprint
        self.model = model
        self.normalizer = normalizer
        self.origin = origin or Origin()
        self.methods = methods
        self._shortcut = Shortcut(model)

    @property
    def algorithm(self) -> str:
        """Our name of its algorithm."""
        return self.blueprint.algorithm

    @property
    def observation_space(self) -> spaces.Space:
        """What its model takes, before normalisation."""
        return self.blueprint.observation_space

    @property
    def action_space(self) -> spaces.Space:
        """What it does."""
        return self.blueprint.action_space

    @property
    def device(self) -> torch.device:
        """Where its networks live."""
        return self.model.device

    def __repr__(self) -> str:
        environment = self.origin.env_id or "unknown environment"
        kind = "normalised" if self.normalizer is not None else "raw"
        return f"Agent({self.algorithm}, {environment}, {kind} observations)"

    def predict(
        self,
        obs: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Return actions for raw observations, and the state of a recurrent policy.

        Args:
            obs: One observation or a batch, as the environment gives them.
            state: What the last call returned, for a recurrent policy.
            episode_start: Which of the batch begin an episode, shape (batch,).
            deterministic: The most likely action instead of a sample.
        """
        self._shortcut = self._shortcut.serving(self.model)
        scaled = self._scaled(obs)
        actions = self._shortcut.act(scaled, deterministic)
        return self.model.predict(scaled, state, episode_start, deterministic) if actions is None else (actions, state)

    def values(self, obs: Observation) -> np.ndarray | None:
        """Return the critic's value of raw observations, shape (batch,); None for an agent without a critic.

        The unit is that of the rewards it was trained on: scaled ones if its normaliser scaled them. Of
        several critics the smallest counts, as in training; a recurrent critic starts from an empty state.
        """
        from acclimate.sb3 import values as critics

        policy = self.model.policy
        policy.set_training_mode(False)
        with torch.no_grad():
            tensors, _ = policy.obs_to_tensor(self._scaled(obs))
            found = critics.value(self.algorithm, policy, tensors)
        return None if found is None else found.reshape(-1).cpu().numpy()

    def _scaled(self, obs: Observation) -> Observation:
        return obs if self.normalizer is None else self.normalizer.normalize_obs(obs)

    def parts(self) -> Parts:
        """Return copies of all that the model holds, from which an equal agent can be put together."""
        return self._parts(copied(self.model.policy))

    def _parts(self, weights: Mapping[str, torch.Tensor]) -> Parts:
        model = self.model
        optimizers = {name: _reach(model, name) for name in OPTIMIZERS}
        variables = {name: getattr(model, name, None) for name in VARIABLES}
        return Parts(
            blueprint=self.blueprint,
            weights={name: tensor.cpu() for name, tensor in weights.items()},
            optimizers={name: copy.deepcopy(found.state_dict()) for name, found in optimizers.items() if found},
            variables={n: v.detach().cpu().clone() for n, v in variables.items() if isinstance(v, torch.Tensor)},
            counters={name: getattr(model, name) for name in (*COUNTERS, *RATES) if hasattr(model, name)},
            origin=self.origin,
            methods=self.methods,
        )

    def copy(self) -> Agent:
        """Return an agent that acts identically and shares nothing that can change."""
        normalizer = None if self.normalizer is None else self.normalizer.copy()
        # Its weights are copied where they are put in.
        return assemble(self._parts(self.model.policy.state_dict()), normalizer=normalizer, device=self.device)

    def save(self, path: str | Path) -> Path:
        """Write the agent, and return where.

        Args:
            path: Ends in ``.zip`` for a plain SB3 zip, with ``vecnormalize.pkl`` in SB3's format beside it; without an
                ending it is the folder of a bundle, which `load` reads.

        Raises:
            ExportError: The format is unknown or cannot hold this agent, or the folder cannot be written.
        """
        from acclimate.formats import writers as export

        return export.save(self, path)


def assemble(parts: Parts, *, normalizer: Normalizer | None = None, device: str | torch.device = "cpu") -> Agent:
    """Build the model that `parts` describe and put its weights in, strictly.

    Raises:
        SourceError: The weights are not those of the described network.
        UnsafeFileError: The described network is far larger than its weights.
    """
    from acclimate.agents.graft import graft

    blueprint, where = parts.blueprint, parts.origin.path or parts.blueprint.algorithm
    # What is drawn is thrown away; the caller's random numbers must not depend on it.
    try:
        with torch.random.fork_rng(devices=[]), Budget(parts.weights, where):
            model = blueprint.build(device=device)
            graft(model, parts.methods)
    except UnsafeFileError:
        raise
    except SourceError as error:
        raise SourceError(f"{where}: {error}") from error
    _load_weights(model, parts.weights, where)
    unread = list(parts.origin.unread)
    for name, state in parts.optimizers.items():
        if reason := _load_optimizer(_reach(model, name), state):
            unread.append((name, reason))
    for name, value in parts.variables.items():
        target = getattr(model, name, None)
        if isinstance(target, torch.Tensor) and target.shape == value.shape:
            target.data = value.detach().to(target.device, target.dtype)
    for name, count in parts.counters.items():
        setattr(model, name, count)
    origin = dataclasses.replace(parts.origin, unread=tuple(unread))
    if normalizer is not None:
        normalizer.check(blueprint.observation_space, where)
    return Agent(blueprint, model, normalizer, origin, parts.methods)


def _load_weights(model: BaseAlgorithm, weights: Mapping[str, torch.Tensor], where: str) -> None:
    expected = model.policy.state_dict()
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or extra:
        lacks = f"lacks {_some(missing)}" if missing else ""
        has = f"has {_some(extra)} that the network does not" if extra else ""
        raise SourceError(
            f"{where}: its weights do not fit its network: it {' and '.join(filter(None, [lacks, has]))}."
        )
    for name, tensor in expected.items():
        found, wanted = tuple(weights[name].shape), tuple(tensor.shape)
        if found != wanted:
            raise SourceError(f"{where}: `{name}` has the shape {found}, its network takes {wanted}.")
        if not torch.isfinite(weights[name]).all():
            raise SourceError(f"{where}: `{name}` is not finite, the agent diverged; load an earlier checkpoint.")
    model.policy.load_state_dict(weights, strict=True)
    if hasattr(model, "weights"):  # ARS perturbs this flat copy.
        model.weights = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _load_optimizer(optimizer: torch.optim.Optimizer | None, state: Any) -> str | None:
    """Put an optimizer's state back; return why not, where it does not fit."""
    if optimizer is None:
        return "the model has no such optimizer"
    from acclimate.sb3 import fit as optimizers

    fitted = optimizers.fit(optimizer, state)
    if isinstance(fitted, str):
        return fitted
    optimizer.load_state_dict(fitted)
    return None


def _reach(model: BaseAlgorithm, dotted: str) -> Any:
    found: Any = model
    for name in dotted.split("."):
        found = getattr(found, name, None)
    return found
