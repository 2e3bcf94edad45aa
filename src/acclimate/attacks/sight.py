"""An agent's view of what its sensors show, through which gradients go."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.evaluation.players import Mask
from acclimate.nets.experience import Batch
from acclimate.nets.modes import still
from acclimate.nets.near.neighbours import units
from acclimate.nets.outputs import Outputs
from acclimate.sb3.networks import find
from acclimate.sb3.policies.intake import tensors
from acclimate.sb3.policies.recurrent import remembers


class Sight:
    """What the network that decides reads of raw observations, and what sensors would have to show for it."""

    def __init__(self, agent: Agent) -> None:
        """Find the network.

        Raises:
            ConfigError: What it does depends on what it remembers.
            SurgeryError: Its networks are not known, or its observations have no neighbours.
        """
        policy = agent.model.policy
        if remembers(policy):
            raise ConfigError(
                f"an attack sees one observation, and what a {agent.algorithm} agent does depends on what it "
                "remembers; measure it under the shift `sensor_noise`"
            )
        self.units = units(policy.observation_space)
        self.net = next(net for net in find(agent.model) if net.decides)
        self._agent, self._modules = agent, tuple(self.net.module.modules())

    def read(self, raw: Any, masks: Mask = None) -> Batch:
        """Return a batch of raw observations as the network reads it.

        Args:
            raw: An array, or a dict of them.
            masks: (rows, choices), what may be chosen.
        """
        normalizer = self._agent.normalizer
        scaled = raw if normalizer is None else normalizer.normalize_obs(raw)
        allowed = None if masks is None else torch.from_numpy(np.asarray(masks, bool)).to(self._agent.device)
        return Batch(tensors(self._agent.model.policy, scaled), masks=allowed)

    def outputs(self, seen: Batch) -> Outputs:
        """Return what the network puts out, as when it is evaluated."""
        with still(self._modules):
            return self.net.apply(self.net.module, seen)

    def shown(self, raw: Any, before: Any, after: Any) -> Any:
        """Return the raw observations that are read as `after` where `raw` is read as `before`.

        Parts that have no neighbours stay as they are; whole numbers move by whole ones, and no further.
        """
        if not isinstance(raw, dict):
            return self._moved("", raw, before, after)
        return {
            key: self._moved(key, raw[key], before[key], after[key]) if key in self.units else raw[key] for key in raw
        }

    def _moved(self, key: str, raw: Any, before: Any, after: Any) -> Any:
        old = np.asarray(raw)
        change = (after.detach().double() - before.double()).cpu().numpy()
        if change.shape != old.shape:  # images that the network reads with their channels first
            change = np.moveaxis(change, 1, -1)
        change = change * self._width(key)
        if old.dtype.kind == "f":
            return (old + change).astype(old.dtype)
        room = np.iinfo(old.dtype)
        return (old.astype(np.int64) + np.trunc(change).astype(np.int64)).clip(room.min, room.max).astype(old.dtype)

    def _width(self, key: str) -> Any:
        """Return how much of each raw entry is 1 in what the network reads."""
        normalizer = self._agent.normalizer
        if normalizer is None or not normalizer.norm_obs:
            return 1.0
        var = normalizer.obs_var
        if isinstance(var, dict):
            return np.sqrt(var[key] + normalizer.epsilon) if key in var else 1.0
        return np.sqrt(var + normalizer.epsilon)
