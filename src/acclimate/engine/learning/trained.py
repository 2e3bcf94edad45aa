"""A network that one optimizer trains, with its target: flat parameters, steps, penalties and what surrounds a step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.penalties import Penalties, clip
from acclimate.engine.learning.prior import prior_of
from acclimate.engine.learning.steps import flat_step
from acclimate.engine.learning.targets import Following
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.surgery import Computing
from acclimate.tuning.tuner import Tuner


class Trained:
    """The parameters of a module and of its target network, each in one array."""

    def __init__(self, module: nn.Module, target: nn.Module | None, optimizer: Optimizer, tuner: Tuner) -> None:
        """Move the parameters.

        Args:
            module: it is trained.
            target: it follows, if there is one.
            optimizer: of the module.
            tuner: it has adopted the optimizer.
        """
        self.flat = Flat(list(module.parameters()))
        self.target = None if target is None else Flat(list(target.parameters()))
        self.following = None if self.target is None else Following(self.flat, self.target)
        (self._groups,) = (groups for groups in tuner.adopted if groups.optimizer is optimizer)
        roles = [net.role for net in self._groups.nets]
        self.penalties = Penalties(tuner.composition, self.flat, roles)
        self.penalties.prior_of.update({net.role: prior_of(net) for net in self._groups.nets})
        steps = flat_step(optimizer)
        if isinstance(steps, str):
            raise TypeError(steps)
        self._steps = steps(optimizer, self.flat)
        self._signals = tuner.signals
        self._adds = any(isinstance(part, Computing) for part in module.modules())
        self._hooked = any(True for _ in tuner.composition.each("gradient", "after", roles=roles))

    @property
    def nets(self) -> tuple[Net, ...]:
        """The networks that the optimizer trains."""
        return self._groups.nets

    def hold(self) -> None:
        """Take back parameters where somebody has given them other storage since."""
        for flat in (self.flat, self.target):
            if flat is not None and not flat.bound:
                flat.bind()

    def begin(self) -> None:
        """Begin updates: take in what the optimizer holds, where that is not what it was left with."""
        self._steps.begin()
        self._moving = self.flat.runs(p for p in self.flat.parameters if p.requires_grad)

    def clear(self) -> None:
        """Set the gradient of what is trained to zero."""
        for run in self._moving:
            self.flat.gradient[run] = 0.0

    def clip(self, most: float) -> None:
        """Scale the gradient of what is trained down to a norm."""
        first, *others = (self.flat.gradient[run] for run in self._moving)
        clip(first, most, *others)

    def open(self, batch: Batch) -> None:
        """Begin a minibatch."""
        if self._adds:
            # Where weights are computed, what they come from collects its gradient; elsewhere it is written over.
            self.clear()
        self.penalties.begin(batch)
        self.penalties.open()

    def step(self, unused: Sequence[Parameter] = ()) -> None:
        """Step along the gradient, with what the methods do before and after.

        Args:
            unused: parameters that nothing in the loss depends on: an optimizer passes them over.
        """
        if self._hooked:
            self.flat.show_gradients()
            for parameter in unused:
                parameter.grad = None
            self._groups.around(self._step_on_shown)
            return
        if self._groups.due():
            self.flat.show_gradients()
            self._groups.show()
        self._signals.learning_rate = self._groups.learning_rate
        self._signals.updates += 1
        self._steps.step(frozenset(map(id, unused)))

    def _step_on_shown(self) -> None:
        """Step by the gradients that the methods have left: one that was taken away is passed over."""
        self.flat.take_gradients()
        self._steps.step(frozenset(id(p) for p in self.flat.parameters if p.requires_grad and p.grad is None))

    def end(self) -> None:
        """Bring what the optimizer keeps up to date."""
        self._steps.end()

    def follow(self, tau: float) -> None:
        """Move the target by a share of the way, as SB3's `polyak_update` does."""
        if self.following is not None:
            self.following.follow(tau)
