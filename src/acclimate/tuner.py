"""Runs a method, or a chain of them, on networks; it knows no framework.

The phases are: every `inject`, then the scales, every `init`, training, every `fold` from right to left. In training the
tuner owns the parameter groups of the optimizers that it adopts. A group has a `scale`: its learning rate is multiplied
by it for the time of a step only, because Stable-Baselines3 writes one learning rate into every group at each `train()`.
What has scale 0 is in no group at all and has no gradient: with a zero rate alone, Adam's moments would still move it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.groups import Groups
from acclimate.method import Batch, Context, Method, Signals
from acclimate.net import Net
from acclimate.outputs import Outputs, as_policy, divergence
from acclimate.state import pack, unpack
from acclimate.surgery import frozen_copy, statistics_modules, still

PENALTIES = ("weight_penalty", "output_penalty", "module_penalty")


@dataclasses.dataclass(frozen=True)
class Part:
    """A single method, the networks that it acts on, and its state on each, by role."""

    method: Method
    views: tuple[Net, ...]
    states: dict[str, Any]


class Tuner:
    """Applies a method to networks in place, helps to train them, and ends with stock networks again."""

    def __init__(
        self,
        method: Method,
        nets: Iterable[Net],
        *,
        context: Context | None = None,
        signals: Signals | None = None,
        seen_as: Callable[[Any], Any] | None = None,
    ) -> None:
        """Inject, scale and initialise.

        Args:
            method: one method or a chain.
            nets: the networks, as they were pretrained.
            context: data and judgement for methods that want them.
            signals: what training knows; the tuner makes one if none is given.
            seen_as: maps observations as normalised now to what the pretrained networks would have read.

        Raises:
            SurgeryError: if a method matches nothing or would have no effect, or nothing is left to train.
        """
        self.context = context or Context()
        self.signals = signals or Signals()
        self.nets = _with_references(nets, seen_as)
        self.scales: dict[Parameter, float] = {}
        self._adopted: list[Groups] = []
        self._parts = [self._part(single) for single in method.parts()]
        for part, view in self._each():
            part.method.inject(view, self.context)
        self.parameters = list({id(p): p for net in self.nets for p in net.parameters()}.values())
        self._statistics = {net.role: statistics_modules(net.module) for net in self.nets}
        self.refresh()
        for part, view in self._each():
            part.states[view.role] = part.method.init(view, self.context)
        self.refresh()
        self._refuse_vacuous()

    def _part(self, method: Method) -> Part:
        method.on.check({net.role: net.paths() for net in self.nets}, method.name)
        if method.on.narrows and method.has("output_penalty"):
            raise ConfigError(
                f"`{method.name}` on `{method.on}`: it acts on what a whole network puts out; name a role without a part"
            )
        views = tuple(net.narrow(method.on) for net in self.nets if method.on.takes_role(net.role))
        return Part(method, views, {view.role: None for view in views})

    def _each(self, *hooks: str) -> Iterator[tuple[Part, Net]]:
        """Yield every method with every network it acts on, only those that define one of the hooks if any is named."""
        for part in self._parts:
            if not hooks or part.method.has(*hooks):
                for view in part.views:
                    yield part, view

    def _refuse_vacuous(self) -> None:
        """Refuse methods without effect, and a run without training."""
        if not any(scale > 0 for scale in self.scales.values()):
            raise SurgeryError("the methods together freeze every weight; leave something to train")
        for part in self._parts:
            reach = {p: None for view in part.views for p in part.method.constrains(view)}
            if part.method.vacuous or any(self.scales[p] > 0 for p in reach):
                continue
            frozen = (
                f"{' and '.join(self._culprits(reach))} froze all {len(reach)}" if reach else "there are none"
            )
            raise SurgeryError(
                f"`{part.method.name}` on `{part.method.on}` constrains 0 trainable weights: {frozen}; leave one out, or "
                "choose other parts with `on`"
            )

    def _culprits(self, reach: Iterable[Parameter]) -> list[str]:
        wanted = set(reach)
        names = {
            f"`{part.method.name}`": None
            for part, view in self._each("scales")
            for parameter, scale in part.method.scales(view, part.states[view.role], self.signals).items()
            if scale == 0 and parameter in wanted
        }
        return list(names)

    def refresh(self) -> None:
        """Ask every method for its scales again, and apply what changed.

        Raises:
            SurgeryError: if a method returns a scale that is negative or not finite.
        """
        scales = dict.fromkeys(self.parameters, 1.0)
        for part, view in self._each("scales"):
            for parameter, scale in part.method.scales(view, part.states[view.role], self.signals).items():
                if not (math.isfinite(scale) and scale >= 0):
                    name = part.method.name
                    raise SurgeryError(
                        f"`{name}` on `{view.role}` scales a learning rate by {scale}; return 0 or more"
                    )
                scales[parameter] *= scale
        if scales == self.scales:
            return
        self.scales = scales
        for parameter, scale in scales.items():
            parameter.requires_grad_(scale > 0)
            if scale == 0:
                parameter.grad = None
        for groups in self._adopted:
            groups.apply(scales)

    def rollout(self) -> None:
        """Tell every method that a rollout begins, and read their scales again."""
        self.signals.rollout += 1
        for part, view in self._each("rollout"):
            part.states[view.role] = part.method.rollout(view, part.states[view.role], self.signals)
        self.refresh()

    def adopt(self, optimizer: Optimizer) -> Groups:
        """Take over the parameter groups of an optimizer, and act when it steps.

        Parameters that methods added join it, frozen ones leave it. Around each step gradients are edited, scales
        applied and the `after` hooks run.

        Raises:
            SurgeryError: if it holds no parameter of a network that has no optimizer yet.
        """
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        taken = {net.role for groups in self._adopted for net in groups.nets}
        homes = [n for n in self.nets if n.role not in taken and any(id(p) in held for p in n.pretrained)]
        if not homes:
            raise SurgeryError(
                "the optimizer holds no parameter of these networks; give the one that trains them"
            )
        groups = Groups(optimizer, homes, before=self._before, after=self._after)
        groups.apply(self.scales)
        self._adopted.append(groups)
        return groups

    def hold(self) -> None:
        """Act on the adopted optimizers again."""
        for groups in self._adopted:
            groups.hold()

    def release(self) -> None:
        """Stop acting on the adopted optimizers; their groups stay as they are."""
        for groups in self._adopted:
            groups.release()

    def gradient(self, roles: Iterable[str] | None = None) -> None:
        """Let the methods edit the gradients: after clipping, before the step. An adopted optimizer does it itself."""
        wanted = {net.role for net in self.nets} if roles is None else set(roles)
        for part, view in self._each("gradient"):
            if view.role in wanted:
                part.method.gradient(view, part.states[view.role], self.signals)

    def after(self, roles: Iterable[str] | None = None) -> None:
        """Let the methods act after a step. An adopted optimizer does it itself."""
        self.signals.updates += 1
        wanted = {net.role for net in self.nets} if roles is None else set(roles)
        for part, view in self._each("after"):
            if view.role in wanted:
                part.states[view.role] = part.method.after(view, part.states[view.role], self.signals)

    def _before(self, groups: Groups) -> None:
        self.signals.learning_rate = groups.learning_rate
        self.gradient(net.role for net in groups.nets)

    def _after(self, groups: Groups) -> None:
        self.after(net.role for net in groups.nets)

    def penalises(self, net: Net) -> bool:
        """Tell whether a method has a penalty on the network that is not idle now."""
        return any(v.role == net.role and not p.method.idle(self.signals) for p, v in self._each(*PENALTIES))

    def penalty(self, batch: Batch, nets: Sequence[Net] | None = None) -> Tensor:
        """Return the sum of the penalties on a batch, a scalar to add to the loss.

        Args:
            batch: the experience that the update is computed from.
            nets: only the penalties on these; on all by default.
        """
        roles = {net.role for net in (self.nets if nets is None else nets)}
        seen: dict[str, tuple[Outputs, Outputs]] = {}
        total = torch.zeros((), device=self.parameters[0].device)
        for part, view in self._each(*PENALTIES):
            if view.role in roles and not part.method.idle(self.signals):
                value = self._one_penalty(part, view, batch, seen)
                self.signals.penalties[f"{part.method.name}/{view.role}"] = value.detach()
                total = total + value
        return total

    def _one_penalty(
        self, part: Part, view: Net, batch: Batch, seen: dict[str, tuple[Outputs, Outputs]]
    ) -> Tensor:
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
        """Return what a network and its frozen prior put out on a batch; running statistics stay as they are."""
        with still(self._statistics[net.role]):
            now = net.apply(net.module, batch)
        with torch.no_grad():
            return now, net.prior(batch)

    @torch.no_grad()
    def drift(self, batch: Batch) -> float | None:
        """Return the mean KL(prior || policy) on a batch in nats, None where no network puts out a policy.

        Q-networks count as softmax(Q), single actions as Gaussians of standard deviation 0.2.
        """
        for net in self.nets:
            if net.decides:
                now, prior = (as_policy(item, temperature=1.0, std=0.2) for item in self.outputs(net, batch))
                return float(divergence(prior, now).mean())
        return None

    def accumulate(self, groups: Groups, batch: Batch) -> None:
        """Add the gradient of the penalties to the `.grad` of what one optimizer trains, and to nothing else."""
        nets = [net for net in groups.nets if self.penalises(net)]
        trained = groups.trained()
        if not nets or not trained:
            return
        penalty = self.penalty(batch, nets)
        if not penalty.requires_grad:
            return
        gradients = torch.autograd.grad(penalty, trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def fold(self) -> None:
        """Undo every injection from right to left, keep what was learnt, and give the networks back trainable.

        Raises:
            SurgeryError: if a method cannot end as a stock network.
        """
        for part in self._parts:
            if not part.method.foldable:
                raise SurgeryError(
                    f"`{part.method.name}` cannot end as a stock network; save the run's bundle or export ONNX instead"
                )
        self.release()
        for part in reversed(self._parts):
            for view in reversed(part.views):
                part.method.fold(view, part.states[view.role], self.context)
        for net in self.nets:
            for parameter in net.pretrained:
                parameter.requires_grad_(True)
                parameter.grad = None

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters if self.scales[p] > 0)

    @property
    def total_parameters(self) -> int:
        """How many numbers the networks have, what methods added included, target twins not."""
        return sum(p.numel() for p in self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the methods and the signals as plain data and tensors."""
        signals = {
            field.name: getattr(self.signals, field.name)
            for field in dataclasses.fields(self.signals)
            if field.name != "penalties"
        }
        states = [
            {"method": part.method.name, "states": pack(part.states, self.parameters)} for part in self._parts
        ]
        return {"signals": signals, "methods": states, "charged": self.context.charged}

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on with states that `state_dict` returned for the same methods on the same networks.

        Raises:
            TrainingError: if they are of other methods.
        """
        theirs, ours = (
            [item["method"] for item in data["methods"]],
            [part.method.name for part in self._parts],
        )
        if theirs != ours:
            raise TrainingError(
                f"the checkpoint is of the methods {theirs}, not {ours}; resume with the recipe it was made by"
            )
        for name, value in data["signals"].items():
            setattr(self.signals, name, value)
        self.context.charged = data["charged"]
        for part, item in zip(self._parts, data["methods"], strict=True):
            part.states.update(unpack(item["states"], self.parameters))
        self.refresh()


def _with_references(nets: Iterable[Net], seen_as: Callable[[Any], Any] | None) -> tuple[Net, ...]:
    """Give every network its frozen copy; networks in one module share one."""
    nets = tuple(nets)
    copies: dict[int, nn.Module] = {id(net.module): net.module for net in nets}
    copies = {key: frozen_copy(module) for key, module in copies.items()}
    return tuple(
        dataclasses.replace(
            net, reference=copies[id(net.module)], seen_as=seen_as, pretrained=tuple(net.parameters())
        )
        for net in nets
    )
