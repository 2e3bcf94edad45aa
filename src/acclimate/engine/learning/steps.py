"""Optimizer steps on one flat array, with the moments where torch's own optimizer keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop

from acclimate.engine.arrays import operators
from acclimate.engine.arrays.flat import Flat

Array = NDArray[Any]


@dataclass
class Run:
    """Neighbours in the flat array that step alike."""

    place: slice
    rate: float
    """Factor of the learning rate."""
    members: slice
    """Which of the flat array's parameters these are."""
    steps: int
    """How many were taken."""
    count: Tensor
    """The same as a tensor, which torch's own Adam counts on."""
    arrays: tuple[Array, ...] = ()
    """Values, gradient and moments there."""
    tensors: tuple[Tensor, ...] = ()
    """The same as tensors."""


class FlatStep:
    """What Adam and SB3's RMSprop have in common: moments as views, and parameters that step alike side by side."""

    moments: tuple[str, ...]
    initial: float = 0.0
    """What a moment is before the first step."""

    def __init__(self, optimizer: Optimizer, flat: Flat) -> None:
        """Take over the optimizer's state; its tensors are views of the arrays here from `begin` on."""
        self.optimizer, self.flat = optimizer, flat
        self.arrays = [flat.vector() for _ in self.moments]
        self._counts = np.zeros(len(flat.parameters), np.float32)
        self._runs: list[Run] = []
        self._key: Any = None
        self._groups: list[Any] = []
        self._entries: dict[Parameter, Any] = {}

    def begin(self) -> None:
        """Take over what the optimizer holds, where somebody has changed it since."""
        if self._is_ours():
            return
        self._key, self._runs = None, []
        self._groups, self._entries = list(self.optimizer.param_groups), {}
        held = {p for group in self._groups for p in group["params"]}
        for index, (parameter, place) in enumerate(self.flat.slices.items()):
            state = self.optimizer.state.get(parameter, {})
            self._counts[index] = float(state.get("step", 0))
            for name, array in zip(self.moments, self.arrays, strict=True):
                moment = state.get(name)
                array[place] = self.initial if moment is None else moment.detach().numpy().reshape(-1)
            if parameter in held:
                self._entries[parameter] = self.optimizer.state[parameter] = self._entry(index, place, parameter)

    def _is_ours(self) -> bool:
        groups, state = self.optimizer.param_groups, self.optimizer.state
        return (
            bool(self._groups)
            and len(groups) == len(self._groups)
            and all(group is known for group, known in zip(groups, self._groups, strict=True))
            and all(state.get(parameter) is entry for parameter, entry in self._entries.items())
        )

    def _entry(self, index: int, place: slice, parameter: Parameter) -> dict[str, Any]:
        """Return what the optimizer keeps of a parameter, as views of what is kept here."""
        shape = tuple(parameter.shape)
        moments = {
            name: torch.from_numpy(array[place].reshape(shape))
            for name, array in zip(self.moments, self.arrays, strict=True)
        }
        return {"step": self._step_of(index), **moments}

    def _step_of(self, index: int) -> Any:
        return torch.from_numpy(self._counts)[index]

    def end(self) -> None:
        """Bring the optimizer's counts of steps up to date; the moments are so at any time."""
        for run in self._runs:
            self._counts[run.members] = run.steps

    def _plan(self, skipped: frozenset[int]) -> None:
        """Find which parameters step alike now; those without a gradient keep their numbers and moments."""
        self.end()
        rates = {p: group.get("scale", 1.0) for group in self.optimizer.param_groups for p in group["params"]}
        runs: list[Run] = []
        for index, (parameter, place) in enumerate(self.flat.slices.items()):
            if parameter not in rates or id(parameter) in skipped:
                continue
            last, rate, steps = runs[-1] if runs else None, rates[parameter], int(self._counts[index])
            alike = last is not None and (last.rate, last.steps) == (rate, steps)
            if last is not None and alike and self.flat.touch(last.place, place):
                last.place = slice(last.place.start, place.stop)
                last.members = slice(last.members.start, index + 1)
            else:
                runs.append(Run(place, rate, slice(index, index + 1), steps, torch.tensor(float(steps))))
        for run in runs:
            run.arrays = tuple(array[run.place] for array in (self.flat.values, self.flat.gradient, *self.arrays))
            run.tensors = tuple(torch.from_numpy(array) for array in run.arrays)
        self._runs = runs

    def step(self, skipped: frozenset[int] = frozenset()) -> None:
        """Take a step along the flat gradient.

        Args:
            skipped: the ids of parameters that have no gradient, which an optimizer passes over.
        """
        if self._key != skipped:
            self._plan(skipped)
            self._key = skipped
        group = self.optimizer.param_groups[0]
        for run in self._runs:
            run.steps += 1
            self._advance(run, group["lr"] * run.rate, group)

    def _advance(self, run: Run, rate: float, group: dict[str, Any]) -> None:
        raise NotImplementedError


class AdamStep(FlatStep):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), by torch's own fused kernel on the flat array where it is right."""

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(self, optimizer: Optimizer, flat: Flat) -> None:
        """Look for the kernel."""
        super().__init__(optimizer, flat)
        self._fused = operators.operator(operators.ADAM)

    def _advance(self, run: Run, rate: float, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        options = {"lr": rate, "beta1": beta1, "beta2": beta2}
        options.update(weight_decay=group["weight_decay"], eps=group["eps"])
        if self._fused is None:
            operators.adam(*run.tensors, run.steps, **options)
            return
        values, gradient, first, second = run.tensors
        run.count.fill_(run.steps)
        # What `torch.optim.adam.adam(fused=True)` comes down to, without the forty microseconds around it.
        self._fused([values], [gradient], [first], [second], [], [run.count], **options, amsgrad=False, maximize=False)


class RMSpropStep(FlatStep):
    """RMSprop (Hinton, lecture 6e of his 2012 course) in the form that torch computes: A2C's default."""

    moments = ("square_avg",)

    def __init__(self, optimizer: Optimizer, flat: Flat) -> None:
        """Make room for what a step computes on its way."""
        super().__init__(optimizer, flat)
        self._scratch = flat.vector(), flat.vector()

    def _advance(self, run: Run, rate: float, group: dict[str, Any]) -> None:
        values, gradient, square = run.arrays
        move, room = (array[run.place] for array in self._scratch)
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * values
        square *= group["alpha"]
        np.multiply(gradient, gradient, out=room)
        room *= 1.0 - group["alpha"]
        square += room
        self._root(square, group["eps"], room)
        np.divide(gradient, room, out=move)
        move *= rate
        values -= move

    def _root(self, square: Array, epsilon: float, out: Array) -> None:
        np.sqrt(square, out=out)
        out += epsilon


class TensorFlowRMSpropStep(RMSpropStep):
    """RMSprop as in TensorFlow, of old A2C agents: epsilon inside of the root, moments that begin at one."""

    initial = 1.0

    def _step_of(self, index: int) -> Any:
        return int(self._counts[index])

    def end(self) -> None:
        """Bring the optimizer's counts of steps up to date: they are no tensors."""
        super().end()
        for index, parameter in enumerate(self.flat.parameters):
            if parameter in self._entries:
                self._entries[parameter]["step"] = int(self._counts[index])

    def _root(self, square: Array, epsilon: float, out: Array) -> None:
        np.add(square, epsilon, out=out)
        np.sqrt(out, out=out)


def flat_step(optimizer: Optimizer) -> type[FlatStep] | str:
    """Return the steps of an optimizer, or why it has none here."""
    groups = optimizer.param_groups
    if type(optimizer) is Adam:
        if any(group["amsgrad"] or group["maximize"] for group in groups):
            return "Adam with amsgrad or maximize"
        return AdamStep
    if type(optimizer) in (RMSprop, RMSpropTFLike):
        if any(group["momentum"] or group["centered"] or group.get("maximize") for group in groups):
            return "RMSprop with momentum, centred or maximising"
        return RMSpropStep if type(optimizer) is RMSprop else TensorFlowRMSpropStep
    return f"the optimizer {type(optimizer).__name__}"
