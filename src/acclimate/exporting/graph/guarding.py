"""A guarded agent as one module: raw observations and the guard's state in, actions, reasons and the next state out."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.exporting.contract.ports import GUARD, MASKS, OBSERVATION, OTHER, STARTS, Ports, guarded_ports
from acclimate.exporting.graph.module import Graph
from acclimate.guard.filter import NOTHING
from acclimate.guard.guarded import Guarded
from acclimate.guard.inside import Inside
from acclimate.guard.layout import Layout, Part
from acclimate.guard.permitting import permitted
from acclimate.guard.tiers.reasons import SEVERE
from acclimate.guard.tiers.tier import Inner
from acclimate.sb3.policies.mode import scores as scores_of


class GuardedGraph(nn.Module):
    """Decides as `Guarded.predict(..., deterministic=True)` does.

    Attributes:
        bare: the agent alone.
        ports: What `forward` takes and returns, in this order.
    """

    def __init__(self, guarded: Guarded, *, channels_last: bool = True) -> None:
        """Copy all that decides.

        Args:
            guarded: stays as it is. Another agent that acts as its fallback goes into the graph; what a controller does
                is an input, as it is no graph.
            channels_last: as `Graph` has it.

        Raises:
            MisfitError: The policy is of a kind that cannot be written as a graph.
            ConfigError: The guard reads images the other way round, or the other agent cannot be in the graph.
        """
        super().__init__()
        guard, self.bare = guarded.guard, Graph(guarded.agent, channels_last=channels_last)
        self.filter, self.release = copy.deepcopy(guard.filter), copy.deepcopy(guard.release)
        self.inside = Inside.of(self.bare.agent, guard.filter)
        self.other = _other(guarded, channels_last)
        self._parts = {_name(part): part for part in guard.layout.parts}
        self._numbers, self._packing = len(guard.release.safe), guard.packing
        self.register_buffer("beginning", self._packing.pack(guard.initial(1)))
        self.register_buffer("severe", torch.tensor([reason in SEVERE for reason in guard.filter.reasons]))
        _check_layout(guard.layout, self.bare.ports)
        self._kinds = {port.name: getattr(torch, port.dtype) for port in self.bare.ports.observations}
        self.ports = guarded_ports(
            self.bare.ports,
            state=len(self._packing),
            tiers=len(guard.filter.reasons),
            controlled=guard.release.fallback == "other" and self.other is None,
        )

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return actions, the next state of a policy that remembers, flags, scores, two marks and the guard's state."""
        given = dict(zip((port.name for port in self.ports.inputs), inputs, strict=True))
        raw = {name: given[name] for name in self._parts}
        flat = [_flat(raw[name], part) for name, part in self._parts.items()]
        rows = torch.cat(flat, 1) if len(flat) > 1 else flat[0]
        # Begun anew in one piece: by itself each part of a state would be an operator more.
        state = self._packing.unpack(torch.where(given[STARTS][:, None], self.beginning, given[GUARD]))
        inner = NOTHING if self.inside is None else self._inner(self.filter.filled(rows, state))
        clean, flags, scores, after = self.filter.step(rows, state, inner)
        # Rows of 32 bits are what came, but for those that are refused; of other types they are a copy with less in it.
        alike = all(each.dtype == torch.float32 and each.dim() == 2 for each in raw.values())
        refused = flags.float().amax(1, keepdim=True) > 0
        seen = {n: self._part(n, clean) for n in self._parts} if alike else self._shown(raw, clean, refused)
        shown = {**given, **seen}
        actions, *memory = self.bare(*(shown[port.name] for port in self.bare.ports.inputs))
        proposed = self.release.narrowed(actions)
        elsewhere = self._elsewhere(given, raw, clean, flags)
        taken, mended = self.release(proposed, after["refusing"], state["action"], elsewhere)
        if self.bare.ports.masked:
            taken = torch.where(permitted(self.bare.actions, taken, given[MASKS])[:, None], taken, proposed)
        made = (taken if actions.dim() == 2 else taken.reshape(-1, *self.bare.actions.shape)).to(actions.dtype)
        told = (flags, scores, after["refusing"].reshape(-1) > 0, mended)
        return (made, *memory, *told, self._packing.pack({**after, "action": taken}))

    def _inner(self, rows: Tensor) -> Inner:
        """Return what the filter reads of the policy on rows."""
        seen = self.bare.seen({name: self._part(name, rows) for name in self._parts})
        policy = self.bare.policy
        return self.inside.inner(self.filter, lambda given: scores_of(policy, given), seen)  # type: ignore[union-attr]

    def _part(self, name: str, rows: Tensor) -> Tensor:
        """Return a part of rows in the type and shape of its input."""
        part = self._parts[name]
        shape = part.space.shape or ()
        values = rows if part.size == rows.shape[1] else rows[:, part.start : part.start + part.size]
        values = values if len(shape) == 1 else values.reshape(-1, *shape)
        return values.to(self._kinds[name])

    def _shown(self, raw: dict[str, Tensor], clean: Tensor, refused: Tensor) -> dict[str, Tensor]:
        """Return the observations, those of refused rows as they were last trusted and all others as they came."""
        found = {}
        for name, part in self._parts.items():
            axes = len(part.space.shape or ())
            marked = refused if axes == 1 else refused.reshape(-1, *(1 for _ in range(axes)))
            found[name] = torch.where(marked, self._part(name, clean), raw[name])
        return found

    def _elsewhere(
        self, given: dict[str, Tensor], raw: dict[str, Tensor], clean: Tensor, flags: Tensor
    ) -> Tensor | None:
        """Return what the other agent does, or what the controller does as the caller says."""
        if self.other is not None:
            shown = {**given, **self._shown(raw, clean, (flags & self.severe).any(1, keepdim=True))}
            (found,) = self.other(*(shown[port.name] for port in self.other.ports.inputs))
        elif OTHER in given:
            found = given[OTHER]
        else:
            return None
        return found.reshape(-1, self._numbers).float()


def _other(guarded: Guarded, channels_last: bool) -> Graph | None:
    """Return the other agent as a graph, None where there is none or a controller."""
    if not isinstance(guarded.other, Agent):
        return None
    graph = Graph(guarded.other, channels_last=channels_last)
    if graph.ports.remembers or graph.ports.masked:
        raise ConfigError(
            "the other agent has a memory or masks of its own, which the graph has no place for; give its actions as "
            "those of a controller"
        )
    return graph


def _check_layout(layout: Layout, ports: Ports) -> None:
    """Check that the guard reads observations as the graph takes them."""
    for port in ports.observations:
        part = next(part for part in layout.parts if _name(part) == port.name)
        # Rows hold numbers of any kind, so that a 32 and a 64 bit float are the same here too.
        if port.shape[1:] != (part.space.shape or ()) or np.dtype(port.dtype).kind != np.dtype(part.space.dtype).kind:
            raise ConfigError(
                f"the guard has learnt `{port.name}` as {part.space.dtype} {part.space.shape}, and the graph takes "
                f"{port.dtype} {port.shape[1:]}; export with the channels of images where the environment has them"
            )


def _flat(raw: Tensor, part: Part) -> Tensor:
    return (raw if raw.dim() == 2 else raw.reshape(-1, part.size)).float()


def _name(part: Part) -> str:
    return f"{OBSERVATION}.{part.key}" if part.key else OBSERVATION
