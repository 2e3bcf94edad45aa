"""Choose the learning rate by how far each rollout's updates move the policy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.nets.experience import READ, Batch
from acclimate.nets.modes import still
from acclimate.nets.net import Net
from acclimate.nets.outputs import Drawn, Outputs, as_policy, divergence
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals

ROWS = 256
"""Rows of a minibatch that are kept to measure on."""


@dataclass(frozen=True, kw_only=True)
class KLAdaptive(Method):
    """Lower the rate where the policy moved too far in the updates of a rollout, raise it where it hardly moved.

    kl = mean_s KL(pi_before(.|s) || pi_after(.|s)) over the states of the first minibatch, in closed form, from before
    the first update to the end of the last. As the next rollout begins:
    rate <- rate / 1.5 if kl > 2 * target, rate <- rate * 1.5 if 0 < kl < target / 2, within `lowest` and `highest`
    times the rate that the algorithm itself sets, schedules included.

    It holds for every network that puts out a policy, PPO's trunk among them; critics, and features that SAC or TD3
    trains by its critic, keep their rate. A policy that puts out one action counts as a Gaussian of standard deviation
    `std` around it, a Q-network as softmax(Q / temperature). The divergence is that to the policy of the rollout, and
    not to the pretrained one: `kl` is for that.

    Source: the rule and its numbers are those of rsl_rl, where it runs after each minibatch and may raise the rate to
    0.01. Here scales are read once a rollout, and the rate it started with is the limit: a pretrained policy moves
    little at first, which would raise it just when the critic is wrong. Use it where a policy must not break. It loses
    on hard shifts: in a pilot (PPO on HalfCheetah at half gravity, one seed) it fell from 3e-4 to 1.8e-5 and
    learnt less than the fixed rate. A method that makes rates itself (`plateau`, `cosine`) works against it.
    """

    name: ClassVar[str] = "kl-adaptive"
    family: ClassVar[str] = "learning-rate"

    target: float = 0.01
    """Divergence in nats that the updates of a rollout should make. Higher: a higher rate."""
    factor: float = 1.5
    """What the rate is divided or multiplied by. Higher: it finds its level in fewer rollouts, and swings about it."""
    lowest: float = 0.01
    """Share of the rate it started with that it does not fall below. Higher: it cannot be slowed down as far."""
    highest: float = 1.0
    """Multiple of the rate it started with that it does not rise above. Higher: faster where the policy hardly moves,
    and the least safe of these fields."""
    updates: int = 10
    """Updates that a measurement spans at least. Off-policy and A2C agents make one in a rollout, which moves a policy
    by far less than `target`: give them about as many as should move it that far, 100 or 1000. Higher: a slower
    response."""
    temperature: float = 1.0
    """Of the softmax over action values, in units of value. Higher: differences of value count less. Q-networks
    only."""
    std: float = 0.2
    """Of the Gaussian around a single action, in units of the action. Higher: differences count less. TD3 and DDPG
    only."""
    on: Select = Select("*")
    """Which networks; those that put out no policy keep their rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target", "temperature", "std"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"kl-adaptive.{name} is {getattr(self, name)}; give a number above 0")
        if self.factor <= 1:
            raise ConfigError(f"kl-adaptive.factor is {self.factor}; give a number above 1, 1.5 for example")
        if not 0 < self.lowest <= 1 <= self.highest:
            raise ConfigError(
                f"kl-adaptive.lowest is {self.lowest} and highest {self.highest}; give 0 < lowest <= 1 <= highest"
            )
        if self.updates < 1:
            raise ConfigError(f"kl-adaptive.updates is {self.updates}; give 1 or more")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the factor of the rate, and that nothing is being measured."""
        return {"rate": 1.0, "updates": 0, "observations": None, "before": {}}

    def scales(self, net: Net, state: dict[str, Any] | None, signals: Signals) -> Scales:
        """Return the factor of now."""
        return {} if state is None else dict.fromkeys(self.constrains(net), state["rate"])

    def gradient(self, net: Net, state: dict[str, Any], signals: Signals) -> None:
        """Note what the policy is on a minibatch before the first update."""
        if state["before"] or not net.puts_out_policy:
            return
        if signals.batch is None:
            raise TrainingError("`kl-adaptive` measures on the minibatch at hand; call tuner.penalty(batch) before")
        batch = signals.batch.rows(slice(ROWS))
        state.update(batch.read())
        outputs = _outputs(net, batch)
        if isinstance(outputs, Drawn):
            kind = type(outputs.distribution).__name__
            raise SurgeryError(f"`kl-adaptive` on `{net.role}`: it keeps policies, and no {kind} can be; leave it out")
        before = vars(outputs)
        # A parameter among them, such as a log std that no observation changes, would move along.
        state["before"] = {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in before.items()}

    def after(self, net: Net, state: dict[str, Any], signals: Signals) -> dict[str, Any]:
        """Count the updates."""
        return {**state, "updates": state["updates"] + 1}

    def rollout(self, net: Net, state: dict[str, Any], signals: Signals) -> dict[str, Any]:
        """Measure how far the policy went, and change the rate."""
        if not state["before"] or state["updates"] < self.updates:
            return state
        now = _outputs(net, Batch(**{name: state[name] for name in READ if name in state}))
        both = dataclasses.replace(now, **state["before"]), now
        before, after = (as_policy(item, temperature=self.temperature, std=self.std) for item in both)
        kl, rate = float(divergence(before, after).mean()), state["rate"]
        if kl > 2 * self.target:
            rate = max(rate / self.factor, self.lowest)
        elif 0 < kl < self.target / 2:
            rate = min(rate * self.factor, self.highest)
        return {"rate": rate, "updates": 0, "observations": None, "before": {}}

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that put out a policy."""
        return net.parameters() if net.puts_out_policy else []


@torch.no_grad()
def _outputs(net: Net, batch: Batch) -> Outputs:
    """Return what a network puts out in evaluation mode, where no mask is drawn and no statistics move."""
    with still(tuple(net.module.modules())):
        return net.apply(net.module, batch)
