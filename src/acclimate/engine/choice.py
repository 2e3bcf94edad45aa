"""Which engine trains an agent with its methods, and why."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import nn

from acclimate.engine.arrays import operators, products
from acclimate.engine.arrays.native import kernel
from acclimate.engine.device import engine as device
from acclimate.engine.modules import off_policy as modular_off
from acclimate.engine.modules import on_policy as modular
from acclimate.engine.modules.collect import ModuleRollout
from acclimate.engine.off_policy import perceptrons
from acclimate.engine.off_policy.collect import Explorer
from acclimate.engine.on_policy import update as on_policy
from acclimate.engine.on_policy.collect import collect, fill
from acclimate.engine.threads import are_small, beside, one, threads
from acclimate.seam.seam import Seam

Wanted = Literal["auto", "sb3", "device"]


class OnPolicyEngine:
    """Collects and updates a PPO or A2C agent without autograd."""

    def __init__(self, seam: Seam, stock: type[BaseAlgorithm]) -> None:
        """Move the agent's parameters; `attach` has found out that all of it can be run."""
        self._model: Any = seam.model
        self._update = on_policy.OnPolicyUpdate(self._model, seam.tuner)
        self._kernel = kernel()
        self._acting = [net.acting for net in seam.tuner.nets if net.on_policy]

    @property
    def by(self) -> str:
        """What runs the perceptrons, if it is not numpy."""
        oracle = self._update.oracle
        return " by the native kernel" if oracle.actor.kernel and oracle.critic.kernel else ""

    @property
    def kept(self) -> str:
        """What is kept of a rollout, in words; empty if nothing is."""
        return _through_a_rollout(self._update.oracle.keeps(self._model.rollout_buffer.values.size))

    def collect(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the rollout buffer."""
        self._update.ready()
        with threads(self._kernel):
            oracle = self._update.oracle
            return collect(self._model, oracle, self._acting, env, callback, rollout_buffer, n_rollout_steps)

    def train(self) -> None:
        """Update on the rollout buffer."""
        with threads(self._kernel):
            self._update.train()


class ModularEngine:
    """Collects and updates a PPO or A2C agent through its own modules, by autograd."""

    def __init__(self, seam: Seam, stock: type[BaseAlgorithm]) -> None:
        """Move the agent's parameters; `attach` has found out that all of it can be run."""
        self._model: Any = seam.model
        self._decisions = seam.decisions
        self._update = modular.ModularUpdate(self._model, seam.tuner, seam.decisions)
        rows = getattr(self._model, "batch_size", self._model.rollout_buffer.values.size)
        self._threads = one if are_small([self._model.policy], rows) else nullcontext
        self._acting = [net.acting for net in seam.tuner.nets if net.on_policy]

    @property
    def kept(self) -> str:
        """What is kept of a rollout, in words; empty if nothing is."""
        space, prefix = self._model.observation_space, self._update.oracle.prefix
        if not isinstance(space, Box):
            return ""
        nothing = torch.zeros((1, *space.shape), dtype=torch.from_numpy(np.empty(0, space.dtype)).dtype)
        prefix.begin(nothing, self._model.rollout_buffer.values.size)
        return _through_a_rollout(prefix.bytes)

    def collect(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the rollout buffer."""
        self._update.ready()

        def begun() -> ModuleRollout:
            return ModuleRollout(self._model, self._update.oracle, self._acting, self._decisions)

        with self._threads(), beside(env):
            return fill(self._model, begun, env, callback, n_rollout_steps)

    def train(self) -> None:
        """Update on the rollout buffer."""
        with self._threads():
            self._update.train()


def _through_a_rollout(size: int) -> str:
    """Say that so many bytes are kept; nothing where it is none."""
    return f"; what frozen first layers put out is kept through a rollout, {size / 1e6:.3g} MB" if size else ""


class OffPolicyEngine:
    """Collects and updates a SAC, TD3, DDPG or DQN agent."""

    def __init__(self, seam: Seam, stock: type[BaseAlgorithm], of: Any = perceptrons) -> None:
        """Move the agent's parameters; `attach` has found out that all of it can be run.

        Args:
            seam: of the model.
            stock: the model's class.
            of: the module that has its updates.
        """
        self._update = of.update_of(seam.model, stock, seam.tuner)
        built = kernel()
        small = are_small([seam.model.policy], seam.model.batch_size)  # type: ignore[attr-defined]
        # Modules have torch's threads, where those are of use.
        self._threads = partial(threads, built) if of is perceptrons else one if small else nullcontext
        self._explorer = Explorer(seam.model, self._update)

    @property
    def by(self) -> str:
        """What runs the perceptrons, if it is not numpy."""
        return " by the native kernel" if self._update.acting.kernel else ""

    @property
    def kept(self) -> str:
        """What is kept beside the replay buffer, in words."""
        self._update.look()
        return self._update.replay.kept

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """Fill the replay buffer."""
        return self._explorer.collect(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Update from the replay buffer."""
        with self._threads():
            self._update.train(gradient_steps, batch_size)


def attach(seam: Seam, stock: type[BaseAlgorithm], wanted: Wanted) -> tuple[str, str]:
    """Put an engine in the place of SB3's own training where one can be, and return which trains and why.

    Args:
        seam: of the model, before it is entered for training.
        stock: the model's class.
        wanted: `sb3` keeps SB3's own; `device` tries what is experimental on a GPU, and has never run on one.
    """
    if wanted == "sb3":
        return "sb3", "asked for"
    if wanted == "device":
        seam.engine, why = device.choose(seam, stock)
        return ("sb3", f"{why}: left to Stable-Baselines3 itself") if seam.engine is None else ("acclimate", why)
    if seam.model.device.type != "cpu":
        return "sb3", f"networks on `{seam.model.device.type}` (`engine: device` is experimental there)"
    engine: OnPolicyEngine | OffPolicyEngine | ModularEngine
    off = issubclass(stock, OffPolicyAlgorithm)
    why = (perceptrons if off else on_policy).cannot(seam.model, stock, seam.tuner)
    if why is None:
        seam.engine = engine = plain = (OffPolicyEngine if off else OnPolicyEngine)(seam, stock)
        how = f"perceptrons trained without autograd{plain.by}"
    elif off and modular_off.cannot(seam.model, stock, seam.tuner) is None:
        seam.engine = engine = OffPolicyEngine(seam, stock, modular_off)
        how = f"trained through its own modules ({why})"
    elif not off and modular.cannot(seam.model, stock, seam.tuner) is None:
        seam.engine = engine = ModularEngine(seam, stock)
        how = f"trained through its own modules ({why})"
    else:
        return "sb3", f"{why}: left to Stable-Baselines3 itself"
    return (
        "acclimate",
        f"{how}: the same updates, faster{engine.kept}{operators.without(_operators(seam.model.policy))}",
    )


def _operators(policy: nn.Module) -> tuple[str, ...]:
    """Return what the updates of a policy are likely to use of torch that is not public."""
    convolves = any(isinstance(part, nn.Conv2d) for part in policy.modules())
    return (*operators.ARRAYS, *products.uses(), *(operators.CONVOLUTIONS if convolves else ()))
