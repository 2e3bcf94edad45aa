"""An agent: policy, value networks, spaces, normaliser, and the SB3 algorithm that can train it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.assembly import assemble
from acclimate.agents.predict.shortcut import Shortcut
from acclimate.errors import ConfigError
from acclimate.formats import writers
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.normalizer import Normalizer, Observation
from acclimate.sb3.parts import Origin, Parts, parts_of
from acclimate.sb3.policies.values import value as critic_value
from acclimate.tuning.method import Method


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
        """Hold what an agent is made of; `of` puts it together, `around` holds another model."""
        self.blueprint = blueprint
        self.model = model
        self.normalizer = normalizer
        self.origin = origin or Origin()
        self.methods = methods
        self._shortcut = Shortcut(model)

    @classmethod
    def of(cls, parts: Parts, normalizer: Normalizer | None = None, device: str | torch.device = "cpu") -> Agent:
        """Return the agent that these parts make.

        Raises:
            SourceError: The weights are not those of the described network, or the normaliser is another's.
            UnsafeFileError: The described network is far larger than its weights.
        """
        model, unread = assemble(parts, device=device)
        if normalizer is not None:
            normalizer.check(parts.blueprint.observation_space, parts.where)
        origin = dataclasses.replace(parts.origin, unread=(*parts.origin.unread, *unread))
        return cls(parts.blueprint, model, normalizer, origin, parts.methods)

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
    def masked(self) -> bool:
        """Whether it chooses among the actions that an environment's `action_masks()` allows."""
        return self.algorithm == "maskable_ppo"

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
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """Return actions for raw observations, and the state of a recurrent policy.

        Args:
            obs: One observation or a batch, as the environment gives them.
            state: What the last call returned, for a recurrent policy.
            episode_start: Which of the batch begin an episode, shape (batch,).
            deterministic: The most likely action instead of a sample.
            action_masks: Which actions are allowed, for a `masked` agent; shape (choices,) or (batch, choices).
        """
        scaled = self._scaled(obs)
        if action_masks is not None:
            if not self.masked:
                raise ConfigError(f"a {self.algorithm} agent takes no `action_masks`; leave them out")
            return self.model.predict(scaled, state, episode_start, deterministic, action_masks=action_masks)
        self._shortcut = self._shortcut.serving(self.model)
        actions = self._shortcut.act(scaled, deterministic)
        return self.model.predict(scaled, state, episode_start, deterministic) if actions is None else (actions, state)

    def values(self, obs: Observation) -> np.ndarray | None:
        """Return the critic's value of raw observations, shape (batch,); None for an agent without a critic.

        The unit is that of the rewards it was trained on: scaled ones if its normaliser scaled them. Of
        several critics the smallest counts, as in training; a recurrent critic starts from an empty state.
        """
        policy = self.model.policy
        policy.set_training_mode(False)
        with torch.no_grad():
            tensors, _ = policy.obs_to_tensor(self._scaled(obs))
            found = critic_value(self.algorithm, policy, tensors)
        return None if found is None else found.reshape(-1).cpu().numpy()

    def _scaled(self, obs: Observation) -> Observation:
        return obs if self.normalizer is None else self.normalizer.normalize_obs(obs)

    def around(
        self,
        model: BaseAlgorithm,
        *,
        normalizer: Normalizer | None,
        methods: tuple[Method, ...] | None = None,
        blueprint: Blueprint | None = None,
    ) -> Agent:
        """Return an agent of the same origin around another model, which is not copied.

        Args:
            model: what its training made.
            normalizer: as it stands then.
            methods: those that the model's networks carry; this agent's by default.
            blueprint: how the model is built; as this agent's by default.
        """
        methods = self.methods if methods is None else methods
        learnt = dataclasses.replace(self.origin, fresh=False)
        return Agent(blueprint or self.blueprint, model, normalizer, learnt, methods)

    def parts(self) -> Parts:
        """Return copies of all that the model holds, from which an equal agent can be put together."""
        return parts_of(self.model, self.blueprint, origin=self.origin, methods=self.methods)

    def copy(self) -> Agent:
        """Return an agent that acts identically and shares nothing that can change."""
        normalizer = None if self.normalizer is None else self.normalizer.copy()
        # Its weights are copied where they are put in.
        own = self.model.policy.state_dict()
        held = parts_of(self.model, self.blueprint, weights=own, origin=self.origin, methods=self.methods)
        return Agent.of(held, normalizer, self.device)

    def save(self, path: str | Path) -> Path:
        """Write the agent, and return where.

        Args:
            path: Ends in ``.zip`` for a plain SB3 zip, with ``vecnormalize.pkl`` in SB3's format beside it; without an
                ending it is the folder of a bundle, which `load` reads.

        Raises:
            ExportError: The format is unknown or cannot hold this agent, or the folder cannot be written.
        """
        return writers.save(self, path)
