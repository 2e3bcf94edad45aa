"""Methods in a training loop of one's own; nothing is patched.

Example:
    >>> import torch
    >>> from acclimate.methods.l2sp import L2SP
    >>> q = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> optimizer = torch.optim.Adam(q.parameters(), lr=1e-3)
    >>> tuner = attach(L2SP(weight=0.1), {"q": q}, optimizer=optimizer)
    >>> observations = torch.zeros(16, 4)
    >>> loss = q(observations).square().mean() + tuner.penalty(observations)
    >>> loss.backward()
    >>> optimizer.step()
    >>> tuner.step()
    >>> tuner.fold()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from acclimate.errors import ConfigError, TrainingError
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Outputs, Values
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method
from acclimate.tuning.tuner import Tuner

Reader = Callable[[Any], Outputs]

_READERS: dict[str, Reader] = {"q": ActionValues, "critic": Values}


def attach(
    method: Method,
    nets: Mapping[str, nn.Module | tuple[nn.Module, nn.Module]],
    *,
    optimizer: Optimizer | Sequence[Optimizer] = (),
    outputs: Mapping[str, Reader] | None = None,
    on_policy: Iterable[str] = (),
    updates: int | None = None,
    context: Context | None = None,
) -> Attached:
    """Apply a method to networks in place, and return what the training loop calls.

    Args:
        method: one method or a chain.
        nets: networks by role, `q`, `actor`, `critic` or a name of your own; (network, target) if it has one.
        optimizer: the optimizer of the networks, or several. What the method added joins it, what it froze
            leaves it. Without one, make it from `groups`.
        outputs: by role, what makes an `Outputs` of what the module returns, `Categorical` or
            `lambda mean: Gaussian(mean, log_std)`. Those of `q` and `critic` are known.
        on_policy: roles whose outputs training compares with those of the rollout, as PPO's actor.
        updates: how many times `step` will be called, for schedules.
        context: data and judgement for methods that want them.

    Raises:
        SurgeryError: if the method cannot be applied to these networks, or an optimizer holds none of them.
        ConfigError: if `outputs` or `on_policy` names a role that is not there.
    """
    readers = {**_READERS, **(outputs or {})}
    on_policy = tuple(on_policy)
    for role in (*(outputs or ()), *on_policy):
        if role not in nets:
            raise ConfigError(f"attach: there is no network `{role}`; there are {', '.join(nets)}")
    found = []
    for role, net in nets.items():
        module, twin = net if isinstance(net, tuple) else (net, None)
        apply = _apply(role, readers.get(role))
        decides = role != "critic" and role in readers
        found.append(Net(role, module, apply, twin=twin, on_policy=role in on_policy, decides=decides))
    tuner = Attached(method, found, context=context)
    tuner.updates = updates
    for one in (optimizer,) if isinstance(optimizer, Optimizer) else optimizer:
        tuner.adopt(one)
    return tuner


def _apply(role: str, read: Reader | None) -> Callable[[nn.Module, Batch], Outputs]:
    def apply(module: nn.Module, batch: Batch) -> Outputs:
        if read is None:
            raise ConfigError(
                f"attach: what `{role}` puts out is not known; pass outputs={{{role!r}: Categorical}} or so"
            )
        reads_actions = role == "critic" and batch.actions is not None
        inputs = (batch.observations, batch.actions) if reads_actions else (batch.observations,)
        return read(module(*inputs))

    return apply


class Attached(Tuner):
    """What a loop of one's own calls: `penalty`, `step`, `fold`; on-policy also `rollout` and `acting`.

    Methods that act or bring data are reached by `act` and `minibatch`.
    """

    updates: int | None = None
    """How many times `step` will be called."""
    _grouped = False
    _edited = False
    _acted = False

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Return parameter groups to make an optimizer from: what is trained, each at its own rate.

        Args:
            lr: the learning rate of what has scale 1.
        """
        self._grouped = True
        self.signals.learning_rate = lr
        scales = dict.fromkeys(scale for scale in self.scales.values() if scale > 0)
        return [
            {"params": [p for p in self.parameters if self.scales[p] == scale], "lr": lr * scale} for scale in scales
        ]

    def apply(self, scales: dict[Parameter, float]) -> None:
        """Apply the scales.

        Raises:
            TrainingError: if they changed, and the optimizer that was made from `groups` cannot follow.
        """
        if self._grouped and scales != self.scales:
            raise TrainingError(
                "a method changes learning rates in training; pass `optimizer` to attach instead of groups()"
            )
        super().apply(scales)

    def penalty(self, batch: Any, nets: Sequence[Net] | None = None) -> Tensor:
        """Return what the methods add to the loss.

        Args:
            batch: observations as the networks read them, or a `Batch` where a critic reads actions too.
            nets: only the penalties on these; on all by default.
        """
        self.signals.batch = batch if isinstance(batch, Batch) else Batch(batch)
        return super().penalty(self.signals.batch, nets)

    def gradient(self) -> None:
        """Let the methods edit the gradients, after clipping; an optimizer given to `attach` does it itself."""
        self._edited = True
        self.composition.gradient()

    def act(self, decision: Decision) -> Decision:
        """Return what the methods do in a step of a rollout, in the place of what the policy has sampled."""
        self._acted = True
        with torch.no_grad():
            return self.composition.act(decision)

    def minibatch(self, batch: Batch) -> Batch:
        """Return what an off-policy update is to be computed from, in the place of what was sampled."""
        return self.composition.minibatch(batch)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Surround the choice of actions that on-policy networks are then trained on."""
        for net in self.nets:
            net.acting.on = net.on_policy
        try:
            yield
        finally:
            for net in self.nets:
                net.acting.on = False

    def step(self, *, progress: float | None = None) -> None:
        """Let the methods act after the optimizer's step, and count it.

        Args:
            progress: the share of the run that is over, for schedules; by default that of `updates`.

        Raises:
            TrainingError: if a method edits gradients, or acts, and had no chance to.
        """
        actors = [part.method.name for part, view in self.composition.each("act") if view.decides]
        if actors and not self._acted:
            raise TrainingError(f"`{actors[0]}` acts in rollouts; call tuner.act() where an action is sampled")
        if not self._adopted:
            editors = [part.method.name for part, _ in self.composition.each("gradient")]
            if editors and not self._edited:
                raise TrainingError(f"`{editors[0]}` edits gradients; call tuner.gradient() before optimizer.step()")
            self._edited = False
            self.composition.after()
            if self.signals.forget:
                raise TrainingError(
                    "a method lets the optimizer forget moments; pass `optimizer` to attach instead of groups()"
                )
        self._steps += 1
        if progress is not None:
            self.signals.progress = progress
        elif self.updates:
            self.signals.progress = min(self._steps / self.updates, 1.0)

    def finish(self) -> None:
        """Let the methods change the weights after the last step, before the end of training is measured."""
        self._finished = True
        super().finish()

    def fold(self) -> None:
        """Undo every injection, keep what was learnt, and give the networks back trainable.

        Raises:
            TrainingError: if a method has a last word to say, and had no chance to.
            SurgeryError: if a method cannot end as a stock network.
        """
        if self.finishes and not self._finished:
            last = next(part.method.name for part, _ in self.composition.each("finish"))
            raise TrainingError(
                f"`{last}` changes the weights at the end of training; call tuner.finish() before fold()"
            )
        super().fold()

    _steps = 0
    _finished = False
