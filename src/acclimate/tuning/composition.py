"""The methods of a chain on the networks they act on: how they compose.

Injections, gradient edits and what comes after a step run from left to right, folds from right to left;
scales multiply, so that 0 wins; penalties add.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.modes import statistics_modules, still
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals
from acclimate.tuning.state import pack, unpack

_PENALTIES = ("weight_penalty", "output_penalty", "module_penalty")


@dataclasses.dataclass(frozen=True)
class Part:
    """A single method, what it sees of each network that it acts on, and its state on each, by role."""

    method: Method
    views: tuple[Net, ...]
    states: dict[str, Any]


class Composition:
    """Runs the hooks of all parts of a method. It keeps their states, and nothing else moves by itself."""

    def __init__(self, method: Method, nets: Sequence[Net], context: Context, signals: Signals) -> None:
        """Find what each part acts on.

        Raises:
            SurgeryError: if a pattern matches nothing.
            ConfigError: if a method of whole networks is limited to a part of one.
        """
        self.nets = tuple(nets)
        self.context = context
        self.signals = signals
        self.parts = tuple(self._part(single) for single in method.parts())
        self._statistics: dict[str, tuple[nn.Module, ...]] = {}

    def _part(self, method: Method) -> Part:
        method.on.check({net.role: net.paths() for net in self.nets}, method.name)
        if method.on.narrows and method.has("output_penalty"):
            raise ConfigError(
                f"`{method.name}` on `{method.on}`: it acts on what a whole network puts out; "
                "name a role without a part"
            )
        views = tuple(net.narrow(method.on) for net in self.nets if method.on.takes_role(net.role))
        return Part(method, views, {view.role: None for view in views})

    def each(self, *hooks: str, roles: Iterable[str] | None = None) -> Iterator[tuple[Part, Net]]:
        """Yield every part with every network it acts on.

        Args:
            hooks: only parts that define one of these; all if none is named.
            roles: only networks with these roles; all by default.
        """
        wanted = None if roles is None else set(roles)
        for part in self.parts:
            if not hooks or part.method.has(*hooks):
                for view in part.views:
                    if wanted is None or view.role in wanted:
                        yield part, view

    def inject(self) -> None:
        """Let every part add its modules."""
        for part, view in self.each():
            part.method.inject(view, self.context)
        self._statistics = {net.role: statistics_modules(net.module) for net in self.nets}

    def init(self) -> None:
        """Take the first state of every part."""
        for part, view in self.each():
            part.states[view.role] = part.method.init(view, self.context)

    def scales(self, parameters: Iterable[Parameter]) -> dict[Parameter, float]:
        """Return the product of the parts' scales of each parameter.

        Raises:
            SurgeryError: if a method returns a scale that is negative or not finite.
        """
        scales = dict.fromkeys(parameters, 1.0)
        for part, view in self.each("scales"):
            for parameter, scale in part.method.scales(view, part.states[view.role], self.signals).items():
                if not (math.isfinite(scale) and scale >= 0):
                    name = part.method.name
                    raise SurgeryError(f"`{name}` on `{view.role}` scales a learning rate by {scale}; return 0 or more")
                scales[parameter] *= scale
        return scales

    def kept(self) -> dict[Parameter, int]:
        """Return how many numbers of trained parameters stay as they are, by the part that keeps most of each."""
        kept: dict[Parameter, int] = {}
        for part, view in self.each("keeps"):
            for parameter, count in part.method.keeps(view, part.states[view.role]).items():
                kept[parameter] = max(kept.get(parameter, 0), count)
        return kept

    def left_out(self) -> dict[str, list[str]]:
        """Return the recurrent layers that methods which act layer by layer leave out, by the method's name."""
        found: dict[str, list[str]] = {}
        for part, view in self.each():
            if part.method.by_layer and view.recurrent():
                found.setdefault(part.method.name, []).extend(view.recurrent())
        return found

    def refuse_vacuous(self, scales: Mapping[Parameter, float]) -> None:
        """Refuse methods that act on no trained weight, and a run that trains nothing.

        Raises:
            SurgeryError: naming the method and those that froze what it acts on.
        """
        if not any(scale > 0 for scale in scales.values()):
            raise SurgeryError(f"{self._culprits(scales)} together freeze every weight; leave something to train")
        for part in self.parts:
            reach = {p: None for view in part.views for p in part.method.constrains(view)}
            if part.method.vacuous or any(scales[p] > 0 for p in reach):
                continue
            why = f"{self._culprits(reach)} froze all {len(reach)}" if reach else "it finds nothing there to act on"
            raise SurgeryError(
                f"`{part.method.name}` on `{part.method.on}` constrains 0 trainable weights: {why}; "
                "leave one out, or choose other parts with `on`"
            )

    def _culprits(self, reach: Iterable[Parameter]) -> str:
        wanted = set(reach)
        names = {
            f"`{part.method.name}`": None
            for part, view in self.each("scales")
            for parameter, scale in part.method.scales(view, part.states[view.role], self.signals).items()
            if scale == 0 and parameter in wanted
        }
        return " and ".join(names)

    def rollout(self) -> None:
        """Tell every part that a rollout begins."""
        self.signals.rollout += 1
        for part, view in self.each("rollout"):
            part.states[view.role] = part.method.rollout(view, part.states[view.role], self.signals)

    def gradient(self, roles: Iterable[str] | None = None) -> None:
        """Let every part edit the gradients of the networks with these roles."""
        for part, view in self.each("gradient", roles=roles):
            part.method.gradient(view, part.states[view.role], self.signals)

    def after(self, roles: Iterable[str] | None = None) -> None:
        """Let every part act after a step of the networks with these roles."""
        self.signals.updates += 1
        for part, view in self.each("after", roles=roles):
            part.states[view.role] = part.method.after(view, part.states[view.role], self.signals)

    def act(self, decision: Decision) -> Decision:
        """Let every part decide what is done, one after the other."""
        for part, view in self.each("act"):
            if view.decides:
                decision, part.states[view.role] = part.method.act(view, part.states[view.role], decision, self.signals)
        return decision

    def minibatch(self, batch: Batch) -> Batch:
        """Let every part change a minibatch of an off-policy update, once each."""
        for part in self.parts:
            if part.method.has("minibatch") and part.views:
                view = part.views[0]
                batch = part.method.minibatch(view, part.states[view.role], batch, self.signals)
        return batch

    def penalised(self, nets: Iterable[Net]) -> list[Net]:
        """Return those of the networks that a penalty is on now."""
        now = {v.role for part, v in self.each(*_PENALTIES) if not part.method.idle(self.signals)}
        return [net for net in nets if net.role in now]

    def penalty(self, batch: Batch, roles: Iterable[str] | None = None) -> Tensor:
        """Return the sum of the penalties on a batch, a scalar, and note each in `signals.penalties`."""
        seen: dict[str, tuple[Outputs, Outputs]] = {}
        total = torch.zeros((), device=self.nets[0].pretrained[0].device)
        for part, view in self.each(*_PENALTIES, roles=roles):
            if not part.method.idle(self.signals):
                value = self._penalty(part, view, batch, seen)
                self.signals.penalties[f"{part.method.name}/{view.role}"] = value.detach()
                total = total + value
        return total

    def _penalty(self, part: Part, view: Net, batch: Batch, seen: dict[str, tuple[Outputs, Outputs]]) -> Tensor:
        method, state, terms = part.method, part.states[view.role], []
        if method.has("weight_penalty"):
            terms.append(method.weight_penalty(view, state, self.signals))
        if method.has("output_penalty"):
            if view.role not in seen:
                seen[view.role] = self.outputs(view, batch)
            terms.append(method.output_penalty(*seen[view.role], self.signals))
        if method.has("module_penalty"):
            with still(self._statistics[view.role]):
                terms.append(method.module_penalty(view, state, batch, self.signals))
        return torch.stack(terms).sum()

    def outputs(self, net: Net, batch: Batch) -> tuple[Outputs, Outputs]:
        """Return what a network and its frozen prior put out on a batch; running statistics stay."""
        with still(self._statistics[net.role]):
            now = net.apply(net.module, batch)
        with torch.no_grad():
            return now, net.prior(batch)

    @torch.no_grad()
    def finish(self) -> None:
        """Let every part change the weights at the end of training."""
        for part in self.parts:
            if part.method.has("finish"):
                part.method.finish(part.views, part.states, self.context)

    def fold(self) -> None:
        """Let every part undo its injection, from right to left.

        Raises:
            SurgeryError: if one cannot end as a stock network; then none has been folded.
        """
        for part in self.parts:
            if not part.method.foldable:
                raise SurgeryError(
                    f"`{part.method.name}` cannot end as a stock network; `keep` it in place, and save the agent as a "
                    "bundle, a folder"
                )
        for part in reversed(self.parts):
            for view in reversed(part.views):
                part.method.fold(view, part.states[view.role], self.context)

    def keep(self) -> None:
        """Leave what the parts injected in place, and take out what only training needed."""
        for part in reversed(self.parts):
            if not part.method.lasting:
                for view in reversed(part.views):
                    part.method.fold(view, part.states[view.role], self.context)

    def state_dict(self, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
        """Return the states as plain data and tensors."""
        return [{"method": part.method.name, "states": pack(part.states, parameters)} for part in self.parts]

    def load_state_dict(self, data: Sequence[Mapping[str, Any]], parameters: Sequence[Parameter]) -> None:
        """Go on with states that `state_dict` returned.

        Raises:
            TrainingError: if they are of other methods.
        """
        theirs, ours = [item["method"] for item in data], [part.method.name for part in self.parts]
        if theirs != ours:
            raise TrainingError(
                f"the checkpoint is of the methods {theirs}, not {ours}; resume with the recipe it was made by"
            )
        for part, item in zip(self.parts, data, strict=True):
            states = unpack(item["states"], parameters, part.states)
            if not isinstance(states, dict) or states.keys() != part.states.keys():
                raise TrainingError(f"the checkpoint's states of `{part.method.name}` are of other networks")
            part.states.update(states)
