"""What happens inside the policy: what its last layer reads and puts out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.nets.experience import Batch
from acclimate.nets.modes import still
from acclimate.sb3.networks import find
from acclimate.sb3.policies.intake import tensors
from acclimate.sb3.policies.recurrent import remembers


class Inside:
    """The last layer of the network that decides."""

    def __init__(self, agent: Agent) -> None:
        """Find it.

        Raises:
            ConfigError: The policy remembers, so that an observation alone tells nothing of its inside.
            SurgeryError: Its networks are not known.
        """
        if remembers(agent.model.policy):
            raise ConfigError(
                f"the tiers `latent` and `uncertainty` read the inside of the policy, and that of a {agent.algorithm} "
                "agent depends on what it remembers; leave them out"
            )
        self._agent = agent
        self._net = next(net for net in find(agent.model) if net.decides)
        self._head = self._net.module.get_submodule(self._net.heads[0])

    @torch.no_grad()
    def __call__(self, observations: Any) -> tuple[Tensor, Tensor]:
        """Return what the last layer reads and puts out for raw observations, (rows, units) and (rows, outputs)."""
        agent = self._agent
        scaled = observations if agent.normalizer is None else agent.normalizer.normalize_obs(observations)
        seen = Batch(tensors(agent.model.policy, scaled))
        latent, out = self.read(lambda: self._net.apply(self._net.module, seen))
        return latent.cpu(), out.cpu()

    def read(self, run: Callable[[], Any]) -> tuple[Tensor, Tensor]:
        """Return the same while the policy is run in any way; a trace goes through it."""
        found: list[tuple[Tensor, Tensor]] = []
        handle = self._head.register_forward_hook(lambda _, inputs, output: found.append((inputs[0], output)))
        try:
            with still(tuple(self._net.module.modules())):
                run()
        finally:
            handle.remove()
        latent, out = found[0]
        return latent.float(), out.float()


def fingerprint(model: nn.Module) -> str:
    """Return a hash of all weights of a policy."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
