"""What happens inside the policy: what its last layer reads and puts out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.guard.filter import Filter
from acclimate.guard.tiers.tier import Inner
from acclimate.nets.experience import Batch
from acclimate.nets.masks import outlets
from acclimate.nets.modes import still
from acclimate.nets.net import Net
from acclimate.sb3.networks import find
from acclimate.sb3.policies.intake import tensors
from acclimate.sb3.policies.recurrent import remembers

Run = Callable[[Any], Any]
"""Runs the policy on observations as it reads them."""


class Inside:
    """The network that decides, as its last layer reads it, and as it votes while hidden units are left out."""

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
        nets = find(agent.model)
        self.net = next(net for net in nets if net.decides)
        self.nets = (*(net for net in nets if net.role == "trunk"), self.net)
        """Those that an action goes through."""
        self._head = self.net.module.get_submodule(self.net.heads[0])
        self._hidden = {outlet: width for net in self.nets for outlet, width in hidden(net).items()}

    @classmethod
    def of(cls, agent: Agent, filter_: Filter) -> Inside | None:
        """Return it where a filter reads it.

        Raises:
            ConfigError: The filter reads a network of other sizes.
        """
        if not filter_.reads_policy and filter_.masks is None:
            return None
        inside = cls(agent)
        head = inside._head
        known = {"latent": getattr(head, "in_features", None), "outputs": getattr(head, "out_features", None)}
        known["hidden"] = inside.units
        if any(known[name] not in (None, size) for name, size in filter_.reads.items()):
            raise ConfigError("the guard has learnt the inside of a policy of other sizes; fit one to this agent")
        return inside

    @property
    def units(self) -> int:
        """How many hidden units there are."""
        return sum(self._hidden.values())

    @torch.no_grad()
    def __call__(self, observations: Any) -> tuple[Tensor, Tensor]:
        """Return what the last layer reads and puts out for raw observations, (rows, units) and (rows, outputs)."""
        return self.read(self.asked, self.scaled(observations))

    def scaled(self, observations: Any) -> Any:
        """Return raw observations as the policy reads them."""
        agent = self._agent
        scaled = observations if agent.normalizer is None else agent.normalizer.normalize_obs(observations)
        return tensors(agent.model.policy, scaled)

    def asked(self, seen: Any) -> Any:
        """Run the network on observations as the policy reads them."""
        return self.net.apply(self.net.module, Batch(seen))

    def inner(self, filter_: Filter, run: Run, seen: Any) -> Inner:
        """Return what a filter reads of the policy.

        Args:
            filter_: tells what it is.
            run: runs the policy on such observations in any way; a trace goes through it.
            seen: observations as the policy reads them.
        """
        latent = self.read(run, seen)[0] if filter_.reads_policy else None
        return Inner(latent, None if filter_.masks is None else self.votes(filter_.masks, run, seen))

    def read(self, run: Run, seen: Any) -> tuple[Tensor, Tensor]:
        """Return what the last layer reads and puts out, on the CPU; of this thread, whoever else asks the network."""
        found: list[tuple[Tensor, Tensor]] = []
        handle = self._head.register_forward_hook(
            _of_this_thread(lambda _, inputs, output: found.append((inputs[0], output)))
        )
        try:
            with still(tuple(self.net.module.modules())):
                run(seen)
        finally:
            handle.remove()
        latent, out = found[0]
        return latent.float().cpu(), out.float().cpu()

    def votes(self, masks: Tensor, run: Run, seen: Any) -> Tensor:
        """Return what the last layer puts out under each mask, (masks, rows, outputs)."""
        handles, begin = [], 0
        for outlet, width in self._hidden.items():
            handles.append(outlet.register_forward_hook(_of_this_thread(_leaving_out(masks[:, begin : begin + width]))))
            begin += width
        try:
            _, out = self.read(run, _repeated(seen, len(masks)))
        finally:
            for handle in handles:
                handle.remove()
        return out.reshape(len(masks), -1, *out.shape[1:])


def hidden(net: Net) -> dict[nn.Module, int]:
    """Return what hidden units come out of in a network, and how many do."""
    found = {}
    made = outlets(net)
    for layer in net.layers():
        for outlet in (*layer.outlets[:1], layer.module):
            if not layer.head and outlet in made:
                width = layer.module.out_features if isinstance(layer.module, nn.Linear) else layer.module.out_channels
                found.setdefault(outlet, int(width))  # type: ignore[arg-type]
                break
    return found


def _of_this_thread(hook: Callable[[nn.Module, Any, Tensor], Tensor | None]) -> Callable[..., Tensor | None]:
    """Return a hook that hears this thread alone: others may let the same network act meanwhile."""
    thread = get_ident()
    return lambda *heard: hook(*heard) if get_ident() == thread else None


def _leaving_out(masks: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """Return a hook that multiplies units, (masks * rows, units, ...), by the mask of their rows."""

    def hook(_: nn.Module, __: Any, units: Tensor) -> Tensor:
        shaped = masks.reshape(len(masks), 1, -1, *(1 for _ in units.shape[2:])).to(units.device)
        return (units.reshape(len(masks), -1, *units.shape[1:]) * shaped).reshape(-1, *units.shape[1:])

    return hook


def _repeated(seen: Any, times: int) -> Any:
    """Return observations one batch after another."""
    if isinstance(seen, dict):
        return {key: _repeated(value, times) for key, value in seen.items()}
    return seen.repeat(times, *(1 for _ in seen.shape[1:]))


def fingerprint(model: nn.Module) -> str:
    """Return a hash of all weights of a policy."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
