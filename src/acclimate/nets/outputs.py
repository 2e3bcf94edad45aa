"""What networks put out, as plain tensors, and how far apart two of them are.

A policy puts out a distribution over actions (`Gaussian`, `Categorical`, `Bernoulli`, or a `Drawn` one of any other
kind) or one action (`Point`), a Q-network a value of each action (`ActionValues`), a critic the values of its heads
(`Values`).
Methods that speak of what a network puts out see these and never the network's own classes.

The divergences are the closed forms, one number for each row of the batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.errors import SurgeryError


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions of the action's axes, before squashing if the policy squashes.

    Squashing both of two distributions by the same invertible function leaves their divergence as it is, so
    that of a squashed policy is taken here, where it has a closed form.
    """

    mean: Tensor
    """(batch, axes)"""
    log_std: Tensor
    """(batch, axes), or (axes,) where it does not depend on the observation."""
    squashed: bool = False
    """Whether the action is the hyperbolic tangent of the sample."""

    def kl(self, other: Gaussian) -> Tensor:
        """Return KL(self || other), shape (batch,), in nats."""
        gap = other.log_std - self.log_std
        spread = torch.exp(-2.0 * gap)
        shift = (self.mean - other.mean).square() * torch.exp(-2.0 * other.log_std)
        return (gap + 0.5 * (spread + shift - 1.0)).sum(-1)

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return an action for each row: the mean, or one that the generator draws."""
        action = self.mean
        if generator is not None:
            action = action + self.log_std.exp() * torch.randn(action.shape, generator=generator).to(action)
        return action.tanh() if self.squashed else action


@dataclasses.dataclass(frozen=True)
class Categorical:
    """One choice, or several independent ones side by side."""

    logits: Tensor
    """(batch, sum of sizes), not normalised."""
    sizes: tuple[int, ...] = ()
    """How many options each choice has; empty for one choice."""
    allowed: Tensor | None = None
    """(batch, sum of sizes) of bool: which options there are, the logits of others being `FORBIDDEN`; None for all."""

    def spread(self) -> tuple[Tensor, Tensor]:
        """Return the entropy of each row and the greatest it could have (float64), (batch,) both, in nats."""
        sizes = self.sizes or (self.logits.shape[-1],)
        allowed = torch.ones_like(self.logits, dtype=torch.bool) if self.allowed is None else self.allowed
        now = [torch.special.entr(part.softmax(-1)).sum(-1) for part in self.logits.split(sizes, -1)]
        most = [part.sum(-1).double().log() for part in allowed.split(sizes, -1)]
        return torch.stack(now).sum(0), torch.stack(most).sum(0)

    def heated(self, temperature: float) -> Categorical:
        """Return the same choices with their logits divided by a temperature."""
        logits = self.logits / temperature
        if self.allowed is not None:
            logits = logits.where(self.allowed, FORBIDDEN)
        return dataclasses.replace(self, logits=logits)

    def kl(self, other: Categorical) -> Tensor:
        """Return KL(self || other), summed over the choices, shape (batch,), in nats."""
        sizes = self.sizes or (self.logits.shape[-1],)
        total = self.logits.new_zeros(self.logits.shape[:-1])
        for own, others in zip(self.logits.split(sizes, -1), other.logits.split(sizes, -1), strict=True):
            log_p, log_q = F.log_softmax(own, -1), F.log_softmax(others, -1)
            total = total + (log_p.exp() * (log_p - log_q)).sum(-1)
        return total

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return an option for each row, (batch,), or of each choice: the likeliest, or one that is drawn."""
        chosen = []
        for logits in self.logits.split(self.sizes or (self.logits.shape[-1],), -1):
            if generator is not None:
                odds = F.softmax(logits, -1).cpu()
                chosen.append(torch.multinomial(odds, 1, generator=generator)[:, 0].to(logits.device))
            else:
                chosen.append(logits.argmax(-1))
        return torch.stack(chosen, -1) if self.sizes else chosen[0]


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Independent yes-or-no actions."""

    logits: Tensor
    """(batch, actions): the log odds of yes."""

    def kl(self, other: Bernoulli) -> Tensor:
        """Return KL(self || other), summed over the actions, shape (batch,), in nats."""
        yes = self.logits.sigmoid()
        gain = F.logsigmoid(self.logits) - F.logsigmoid(other.logits)
        loss = F.logsigmoid(-self.logits) - F.logsigmoid(-other.logits)
        return (yes * gain + (1.0 - yes) * loss).sum(-1)

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return 1 or 0 for each action: the likelier, or one that the generator draws."""
        if generator is None:
            return (self.logits > 0).to(self.logits)
        return (torch.rand(self.logits.shape, generator=generator).to(self.logits) < self.logits.sigmoid()).to(
            self.logits
        )


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Actions of a distribution of another kind: a Beta, a mixture, one of a user's own."""

    distribution: Any
    """torch's distribution with a row for each row of the batch; anything else is not compared."""
    actions: Callable[[bool], Tensor]
    """Returns an action for each row, in the policy's own units: the likeliest (True), or one that is drawn."""

    def kl(self, other: Drawn) -> Tensor:
        """Return KL(self || other), summed over what torch takes as independent, shape (batch,), in nats.

        Raises:
            SurgeryError: if torch knows no closed form.
        """
        one, another = (type(each.distribution).__name__ for each in (self, other))
        apart = f"how far a {one} is from {'another' if one == another else f'a {another}'}"
        if not all(isinstance(each.distribution, torch.distributions.Distribution) for each in (self, other)):
            raise SurgeryError(f"it is not known {apart}, as it is none of torch's distributions")
        try:
            total = torch.distributions.kl_divergence(self.distribution, other.distribution)
        except NotImplementedError as error:
            raise SurgeryError(
                f"torch does not know {apart}; give it the closed form by torch.distributions.register_kl, or choose "
                "methods that do not compare policies"
            ) from error
        return total.flatten(1).sum(-1) if total.dim() > 1 else total

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return an action for each row: the likeliest, or one that is drawn, seeded by the generator."""
        if generator is None:
            return self.actions(True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            return self.actions(False)


@dataclasses.dataclass(frozen=True)
class Point:
    """One action, without a distribution around it."""

    action: Tensor
    """(batch, axes), in the policy's own units: [-1, 1] where it squashes."""

    def around(self, std: float) -> Gaussian:
        """Return the normal distribution of this standard deviation around the action."""
        return Gaussian(self.action, torch.full_like(self.action, math.log(std)))

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return the action; there is nothing to draw."""
        return self.action


@dataclasses.dataclass(frozen=True)
class ActionValues:
    """The value of each of a finite number of actions."""

    values: Tensor
    """(batch, actions)"""

    def softmax(self, temperature: float) -> Categorical:
        """Return the policy that prefers actions by the exponential of their value over the temperature."""
        return Categorical(self.values / temperature)

    def choose(self, generator: torch.Generator | None = None) -> Tensor:
        """Return the best action of each row, (batch,); there is nothing to draw."""
        return self.values.argmax(-1)


@dataclasses.dataclass(frozen=True)
class Values:
    """What the heads of a critic say of a state, or of a state and an action."""

    values: Tensor
    """(batch, heads)"""


FORBIDDEN = -1e8
"""The logit of an option that there is not, as sb3-contrib has it."""
Outputs = Gaussian | Categorical | Bernoulli | Drawn | Point | ActionValues | Values
Policy = Gaussian | Categorical | Bernoulli | Drawn


def as_policy(outputs: Outputs, *, temperature: float, std: float) -> Policy:
    """Return a distribution over actions, making one where the network puts out none.

    Args:
        outputs: what a network put out.
        temperature: of the softmax over action values, in units of value.
        std: of the normal distribution around a single action, in units of the action.

    Raises:
        SurgeryError: for values of states, which say nothing of actions.
    """
    if isinstance(outputs, ActionValues):
        return outputs.softmax(temperature)
    if isinstance(outputs, Point):
        return outputs.around(std)
    if isinstance(outputs, Values):
        raise SurgeryError("a critic puts out no policy to compare; choose the `actor`, or a Q-network")
    return outputs


def divergence(first: Policy, second: Policy) -> Tensor:
    """Return KL(first || second) of two distributions of one kind, shape (batch,), in nats.

    Raises:
        SurgeryError: if they are of different kinds.
    """
    if isinstance(first, Gaussian) and isinstance(second, Gaussian):
        return first.kl(second)
    if isinstance(first, Categorical) and isinstance(second, Categorical):
        return first.kl(second)
    if isinstance(first, Bernoulli) and isinstance(second, Bernoulli):
        return first.kl(second)
    if isinstance(first, Drawn) and isinstance(second, Drawn):
        return first.kl(second)
    raise SurgeryError(
        f"a {type(first).__name__} and a {type(second).__name__} cannot be compared; give two policies of one kind"
    )


def apart(first: Policy, second: Policy) -> float | None:
    """Return the mean KL(first || second) in nats, None where it has no closed form."""
    try:
        return float(divergence(first, second).mean())
    except SurgeryError:
        return None


def choose(outputs: Outputs, generator: torch.Generator | None = None) -> Tensor:
    """Return an action for each row, in the policy's own units: the likeliest, or one that the generator draws.

    Raises:
        SurgeryError: for values of states, which say nothing of actions.
    """
    if isinstance(outputs, Values):
        raise SurgeryError("a critic puts out no action; choose the `actor`, or a Q-network")
    return outputs.choose(generator)
