"""Optimizer steps on one flat array, with the moments where torch's own optimizer keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop

from acclimate.engine.flat import Flat

Array = NDArray[Any]


@dataclass
class Run:
    """Neighbours in the flat array that step alike."""

    place: slice
    rate: float
    """Factor of the learning rate."""
    parameters: list[Parameter]
    steps: int
    """How many were taken."""


class FlatStep:
    """What Adam and SB3's RMSprop have in common: moments as views, and parameters that step alike side by side."""

    moments: tuple[str, ...]
    initial: float = 0.0
    """What a moment is before the first step."""

    def __init__(self, optimizer: Optimizer, flat: Flat) -> None:
        """Take over the optimizer's state; its tensors are views of the arrays here from now on."""
        self.optimizer, self.flat = optimizer, flat
        self.arrays = [flat.vector() for _ in self.moments]
        self._scratch = flat.vector(), flat.vector()
        self._counts: dict[Parameter, int] = {}
        self._runs: list[Run] = []
        self._key: Any = None

    def begin(self) -> None:
        """Take over what the optimizer holds before an update: groups, moments and counts of steps."""
        self._key = None
        for parameter, place in self.flat.slices.items():
            state = self.optimizer.state.get(parameter, {})
            self._counts[parameter] = int(state.get("step", 0))
            for name, array in zip(self.moments, self.arrays, strict=True):
                held = state.get(name)
                array[place] = self.initial if held is None else held.detach().numpy().reshape(-1)
        # Who sets moments to zero in the middle of an update finds them where an optimizer keeps them.
        self._show()

    def end(self) -> None:
        """Write how many steps were taken to where the optimizer keeps it."""
        self._count()
        self._show()

    def _show(self) -> None:
        """Let the optimizer's state be the moments here, as views, and the counts of steps."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                shape, place = tuple(parameter.shape), self.flat.slices[parameter]
                moments = {
                    name: torch.from_numpy(array[place].reshape(shape))
                    for name, array in zip(self.moments, self.arrays, strict=True)
                }
                self.optimizer.state[parameter] = {"step": self._step_of(self._counts[parameter]), **moments}

    def _step_of(self, count: int) -> Any:
        return torch.tensor(float(count))

    def _count(self) -> None:
        for run in self._runs:
            self._counts.update(dict.fromkeys(run.parameters, run.steps))

    def _plan(self, skipped: frozenset[int]) -> None:
        """Find which parameters step alike now; those without a gradient keep their numbers and moments."""
        self._count()
        rates = {p: group.get("scale", 1.0) for group in self.optimizer.param_groups for p in group["params"]}
        self._runs = []
        for parameter, place in self.flat.slices.items():
            if parameter not in rates or id(parameter) in skipped:
                continue
            last, rate, steps = self._runs[-1] if self._runs else None, rates[parameter], self._counts[parameter]
            if last and (last.place.stop, last.rate, last.steps) == (place.start, rate, steps):
                last.place = slice(last.place.start, place.stop)
                last.parameters.append(parameter)
            else:
                self._runs.append(Run(place, rate, [parameter], steps))

    def step(self, skipped: frozenset[int] = frozenset()) -> None:
        """Take a step along the flat gradient.

        Args:
            skipped: the ids of parameters that have no gradient, which an optimizer passes over.
        """
        if self._key != skipped:
            self._key = skipped
            self._plan(skipped)
        group = self.optimizer.param_groups[0]
        for run in self._runs:
            run.steps += 1
            values, gradient = self.flat.values[run.place], self.flat.gradient[run.place]
            if group["weight_decay"]:
                gradient = gradient + group["weight_decay"] * values
            values -= self._move(gradient, run, group["lr"] * run.rate, group)

    def _move(self, gradient: Array, run: Run, rate: float, group: dict[str, Any]) -> Array:
        raise NotImplementedError


class AdamStep(FlatStep):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), in the form that torch computes."""

    moments = ("exp_avg", "exp_avg_sq")

    def _move(self, gradient: Array, run: Run, rate: float, group: dict[str, Any]) -> Array:
        first, second = (array[run.place] for array in self.arrays)
        move, room = (array[run.place] for array in self._scratch)
        beta1, beta2 = group["betas"]
        np.subtract(gradient, first, out=room)
        room *= 1.0 - beta1
        first += room
        second *= beta2
        np.multiply(gradient, gradient, out=room)
        room *= 1.0 - beta2
        second += room
        np.sqrt(second, out=room)
        room *= 1.0 / math.sqrt(1.0 - beta2**run.steps)
        room += group["eps"]
        np.divide(first, room, out=move)
        move *= rate / (1.0 - beta1**run.steps)
        return move


class RMSpropStep(FlatStep):
    """RMSprop (Hinton, lecture 6e of his 2012 course) in the form that torch computes: A2C's default."""

    moments = ("square_avg",)

    def _move(self, gradient: Array, run: Run, rate: float, group: dict[str, Any]) -> Array:
        square = self.arrays[0][run.place]
        move, room = (array[run.place] for array in self._scratch)
        square *= group["alpha"]
        np.multiply(gradient, gradient, out=room)
        room *= 1.0 - group["alpha"]
        square += room
        self._root(square, group["eps"], room)
        np.divide(gradient, room, out=move)
        move *= rate
        return move

    def _root(self, square: Array, epsilon: float, out: Array) -> None:
        np.sqrt(square, out=out)
        out += epsilon


class TensorFlowRMSpropStep(RMSpropStep):
    """RMSprop as in TensorFlow, of old A2C agents: epsilon inside of the root, moments that begin at one."""

    initial = 1.0

    def _step_of(self, count: int) -> Any:
        return count

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
