"""Agents whose networks are on a GPU: SB3 collects, and updates are captured as CUDA graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3.common.buffers import DictRolloutBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from acclimate.engine.device import algorithms, on_policy
from acclimate.engine.device.captured import Cuda, Recorder
from acclimate.engine.device.rehearsal import distance
from acclimate.engine.device.steps import list_step
from acclimate.engine.learning import refusals
from acclimate.engine.on_policy.update import unfit
from acclimate.seam.seam import Seam
from acclimate.tuning.tuner import Tuner

APART = 1e-3
"""How far captured updates may end from SB3's in a rehearsal, as a share of the way."""


class DeviceEngine:
    """Updates an agent by what is captured once and replayed; its rollouts are collected by SB3."""

    def __init__(self, seam: Seam, stock: type, recorder: Recorder | None) -> None:
        """Prepare; `cannot` has said that all of this can be run.

        Args:
            seam: of the model.
            stock: the model's class.
            recorder: captures updates; None runs them as they are.
        """
        self._model, self._stock = seam.model, stock
        if issubclass(stock, OffPolicyAlgorithm):
            self.update: Any = algorithms.update_of(seam.model, stock, seam.tuner, recorder)
        else:
            self.update = on_policy.update_of(seam.model, seam.tuner, recorder)

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """Fill the buffer, as the algorithm itself does."""
        return self._stock.collect_rollouts(self._model, *args, **kwargs)  # type: ignore[attr-defined]

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Update from the buffer."""
        self.update.train(*args, **kwargs)


def choose(seam: Seam, stock: type) -> tuple[DeviceEngine | None, str]:
    """Return the engine of an agent that is not on the CPU, or none, and why.

    Args:
        seam: of the model, not entered.
        stock: the model's class.
    """
    device = torch.device(seam.model.device)
    if device.type != "cuda":
        return None, f"parameters on `{device.type}`, which has no CUDA graphs"
    if not torch.cuda.is_available():
        return None, "a torch without CUDA"
    return proven(seam, stock, lambda: Cuda(device))


def proven(seam: Seam, stock: type, record: Callable[[], Recorder]) -> tuple[DeviceEngine | None, str]:
    """Return an engine whose captured updates were SB3's in a rehearsal, or none, and why.

    Args:
        seam: of the model, not entered.
        stock: the model's class.
        record: returns what captures updates.
    """
    if (why := cannot(seam.model, stock, seam.tuner)) is not None:
        return None, why
    try:
        rehearsed = DeviceEngine(seam, stock, record())
        rehearsed.update.warm(1)
        with warnings.catch_warnings():
            # That a capture fails is a warning in a run; here it is the answer.
            warnings.simplefilter("ignore")
            apart = distance(seam, stock, rehearsed.train)
    except (RuntimeError, TypeError, ValueError) as error:
        return None, f"updates that cannot be captured ({_first_line(error)})"
    runner = rehearsed.update.runner
    if runner.failure is not None or not runner.replays:
        return None, f"updates that cannot be captured ({runner.failure or 'none was replayed in a rehearsal'})"
    if not apart <= APART:
        return None, f"captured updates that end {apart:.1e} of the way from Stable-Baselines3's in a rehearsal"
    said = f"updates captured as CUDA graphs, in a rehearsal {apart:.1e} of the way from Stable-Baselines3's"
    return DeviceEngine(seam, stock, record()), f"{said}{rehearsed.update.without}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why the updates of an agent with these methods are not captured, None if they may be.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    off = issubclass(stock, OffPolicyAlgorithm)
    why = (_off_policy(model, stock) if off else _on_policy(model, stock)) or refusals.deciding(tuner)
    if why is not None:
        return why
    for part, _ in tuner.composition.each("gradient", "after"):
        # `l2` and `l2sp` do nothing there unless they are decoupled.
        if getattr(part.method, "decoupled", True):
            return f"`{part.method.name}`, which acts around each step"
    if any(not groups.trained() for groups in tuner.adopted):
        return "an optimizer that trains nothing"
    return refusals.stepping(refusals.stepped(model, tuner), list_step)


def _off_policy(model: Any, stock: type) -> str | None:
    why = refusals.algorithm(stock, algorithms.UPDATES) or refusals.buffer(model.replay_buffer, ReplayBuffer)
    if why is not None:
        return why
    if model.replay_buffer.optimize_memory_usage:
        return "a replay buffer that keeps no next observations"
    return refusals.noise_of_states(model) or refusals.shared_extractor(model, stock)


def _on_policy(model: Any, stock: type) -> str | None:
    why = unfit(model, stock, RolloutBuffer, DictRolloutBuffer)
    return why or refusals.policy(model.policy, *refusals.ACTOR_CRITICS)
