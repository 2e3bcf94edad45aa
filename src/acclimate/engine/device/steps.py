"""Optimizer steps on lists of tensors, with every number that changes in a tensor on the device.

Moments are the optimizer's own tensors, so what it holds is right at any time but for its counts of steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop

from acclimate.engine.arrays.operators import each
from acclimate.engine.device.numbers import Number, Refused
from acclimate.engine.learning.steps import flat_step


@dataclass
class Run:
    """Parameters of one group that have taken as many steps."""

    group: int
    rate: Number
    """The learning rate of the group, its scale included."""
    count: Tensor
    """How many steps were taken; it counts on the device."""
    parameters: list[Parameter] = field(default_factory=list)
    moments: tuple[list[Tensor], ...] = ()


class ListStep:
    """What Adam and the RMSprops have in common."""

    moments: tuple[str, ...]
    initial: float = 0.0
    """What a moment is before the first step."""

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        """Step for an optimizer; `begin` comes first."""
        self._optimizer, self._device = optimizer, device
        self._runs: list[Run] | None = None
        self._of: list[int] = []
        self._counts: dict[Parameter, int] = {}
        self._left: Any = None

    @property
    def key(self) -> Any:
        """Something that is another one when what was captured of a step no longer holds."""
        groups = self._optimizer.param_groups
        options = [{k: v for k, v in g.items() if k not in ("params", "lr", "scale", "origin")} for g in groups]
        members = tuple(tuple(map(id, group["params"])) for group in groups)
        return members, str(options), self._holds()

    @property
    def tensors(self) -> list[Tensor]:
        """Moments and counts."""
        return [t for run in self._runs or () for t in (run.count, *(m for moments in run.moments for m in moments))]

    def _holds(self) -> Any:
        """Return which tensors the optimizer keeps its moments in."""
        state = self._optimizer.state
        return tuple(
            (id(p), *(id(state[p].get(name)) for name in self.moments))
            for group in self._optimizer.param_groups
            for p in group["params"]
            if state.get(p)
        )

    def begin(self) -> None:
        """Begin updates: see which parameters there are and what the optimizer holds of them."""
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if not self._optimizer.state.get(parameter):
                    self._optimizer.state[parameter] = self._fresh(parameter)
        if self.key != self._left:
            self._runs = None
            state = self._optimizer.state
            held = [p for group in self._optimizer.param_groups for p in group["params"]]
            self._counts = {p: int(state[p].get("step", 0)) for p in held}
        for run in self._runs or ():
            self._write(run)

    def _fresh(self, parameter: Parameter) -> dict[str, Any]:
        moments = {name: torch.full_like(parameter, self.initial, requires_grad=False) for name in self.moments}
        return {"step": self._step(0), **moments}

    def _step(self, count: int) -> Any:
        return torch.tensor(float(count))

    def end(self) -> None:
        """Bring the optimizer's counts of steps up to date."""
        for parameter, count in self._counts.items():
            entry = self._optimizer.state[parameter]
            if isinstance(entry.get("step"), Tensor):
                entry["step"].fill_(count)
            else:
                entry["step"] = count
        self._left = self.key

    def _write(self, run: Run) -> None:
        group = self._optimizer.param_groups[run.group]
        run.rate.write(group["lr"] * group.get("scale", 1.0))

    def _plan(self, used: Sequence[Parameter]) -> list[Run]:
        """Find which parameters step alike."""
        if self._device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise Refused("an optimizer whose parameters have a gradient in some updates and none in others")
        chosen, found = set(map(id, used)), defaultdict(list)
        for place, group in enumerate(self._optimizer.param_groups):
            for parameter in group["params"]:
                if id(parameter) in chosen:
                    found[place, self._counts[parameter]].append(parameter)
        runs = []
        for (place, count), parameters in found.items():
            counting = torch.full((), float(count), dtype=torch.float64, device=self._device)
            moments = tuple([self._optimizer.state[p][name] for p in parameters] for name in self.moments)
            runs.append(Run(place, Number(self._device), counting, parameters, moments))
            self._write(runs[-1])
        return runs

    @torch.no_grad()
    def step(self, used: Sequence[Parameter]) -> None:
        """Step these along their `.grad`; `counted` has to follow once the step was taken, at each replay too."""
        ids = list(map(id, used))
        if self._runs is None or self._of != ids:
            self._runs, self._of = self._plan(used), ids
        for run in self._runs:
            group = self._optimizer.param_groups[run.group]
            gradients = [p.grad for p in run.parameters]
            if group["weight_decay"]:
                gradients = each("add", gradients, run.parameters, alpha=group["weight_decay"])
            run.count.add_(1.0)
            self._advance(run, gradients, group)

    def counted(self, used: Sequence[Parameter]) -> None:
        """Note that these have taken a step."""
        for parameter in used:
            self._counts[parameter] += 1

    def _advance(self, run: Run, gradients: Any, group: dict[str, Any]) -> None:
        raise NotImplementedError


class AdamStep(ListStep):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) in the order of operations of torch's own."""

    moments = ("exp_avg", "exp_avg_sq")

    def _advance(self, run: Run, gradients: Any, group: dict[str, Any]) -> None:
        first, second = run.moments
        beta1, beta2 = group["betas"]
        each("lerp_", first, gradients, 1 - beta1)
        each("mul_", second, beta2)
        each("addcmul_", second, gradients, gradients, value=1 - beta2)
        dtype = run.parameters[0].dtype
        size = (run.rate.tensor / (1 - beta1**run.count)).to(dtype)
        root = (1 - beta2**run.count).sqrt().to(dtype)
        below = each("sqrt", second)
        each("div_", below, root)
        each("add_", below, group["eps"])
        _move(run, each("div", first, below), size)


class RMSpropStep(ListStep):
    """RMSprop (Hinton, lecture 6e of his 2012 course) in the form that torch computes: A2C's default."""

    moments = ("square_avg",)

    def _advance(self, run: Run, gradients: Any, group: dict[str, Any]) -> None:
        (square,) = run.moments
        each("mul_", square, group["alpha"])
        each("addcmul_", square, gradients, gradients, value=1 - group["alpha"])
        size = run.rate.tensor.to(run.parameters[0].dtype)
        _move(run, each("div", gradients, self._root(square, group["eps"])), size)

    def _root(self, square: list[Tensor], epsilon: float) -> Any:
        root = each("sqrt", square)
        each("add_", root, epsilon)
        return root


class TensorFlowRMSpropStep(RMSpropStep):
    """RMSprop as in TensorFlow, of old A2C agents: epsilon inside of the root, moments that begin at one."""

    initial = 1.0

    def _step(self, count: int) -> Any:
        return count

    def _root(self, square: list[Tensor], epsilon: float) -> Any:
        return each("sqrt", each("add", square, epsilon))


def _move(run: Run, way: Any, size: Tensor) -> None:
    each("mul_", way, size)
    each("sub_", run.parameters, way)


_STEPS: dict[type, type[ListStep]] = {Adam: AdamStep, RMSprop: RMSpropStep, RMSpropTFLike: TensorFlowRMSpropStep}


def list_step(optimizer: Optimizer) -> type[ListStep] | str:
    """Return the steps of an optimizer, or why it has none here: for the same reasons as on the CPU."""
    usual = flat_step(optimizer)
    return usual if isinstance(usual, str) else _STEPS[type(optimizer)]
