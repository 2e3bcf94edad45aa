"""Look at the networks, values, observations and the policy when the agent is measured, and log what was seen."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.diagnosis.gradients import at_bound, cosine, gradient_norm, late
from acclimate.diagnosis.history import History
from acclimate.diagnosis.reading import Glance
from acclimate.nets.surgery import still
from acclimate.seam.seam import Seam
from acclimate.tuning.groups import Groups

SAMPLED = 20
"""Gradients are measured at one step of the optimizer in so many."""
RATES_EVERY = 50
"""Off-policy algorithms begin a rollout each step or two."""
ROWS = 256
AT_ONCE = 16
"""Rows that a graph is kept of at once: a convolutional network puts out a megabyte for each of them."""
LOGGED = ("approx_kl", "clip_fraction", "explained_variance")
SECONDS = "cost/diagnosis_seconds"


class Diagnosing(BaseCallback):
    """Take a reading of a run at its start and whenever the agent is measured; TensorBoard shows it.

    Nothing is drawn at random and no environment is stepped while training goes on, so a run is the same with it.
    """

    def __init__(
        self, seam: Seam, glance: Glance, history: History, log: Mapping[str, list[float]], charged: Callable[[], int]
    ) -> None:
        """Prepare.

        Args:
            seam: the training.
            glance: takes the readings.
            history: what was seen already; it is added to.
            log: what SB3 logged, by the name of the value.
            charged: gives the target steps charged so far.
        """
        super().__init__()
        self.seam, self.glance, self.history, self.log, self.charged = seam, glance, history, log, charged
        self.seconds = history.last(SECONDS) or 0.0
        """What looking cost."""
        self.rates: list[float] = []
        self._norms: dict[str, list[float]] = defaultdict(list)
        self._cosine: float | None = None
        self._wants_cosine = True
        self._rollouts = 0

    def _on_training_start(self) -> None:
        for groups in self.seam.optimizers.values():
            groups.watch(self._sample, SAMPLED)
        if not len(self.history):
            self.look()
            self.logger.dump(self.num_timesteps)

    def _on_training_end(self) -> None:
        self.release()

    def release(self) -> None:
        """Stop looking at the optimizers."""
        for groups in self.seam.optimizers.values():
            groups.watch(None)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._rollouts += 1
        if hasattr(self.model, "rollout_buffer") or self._rollouts % RATES_EVERY == 0:
            rate, scales = self.seam.signals.learning_rate, self.seam.tuner.scales.values()
            if rate > 0:
                self.rates.append(rate * max(scales))

    def _on_rollout_end(self) -> None:
        if self._wants_cosine:
            self._wants_cosine = False
            begun = time.perf_counter()
            self._cosine = trunk_cosine(self.model, self.seam)
            self.seconds += time.perf_counter() - begun

    def _sample(self, groups: Groups) -> None:
        for net in groups.nets:
            norm = gradient_norm(net.parameters())
            if norm is not None:
                self._norms[net.role].append(norm)

    def look(self) -> None:
        """Take a reading, and log it."""
        begun = time.perf_counter()
        reading = {**self.glance.take(first=not len(self.history)), **self._training()}
        self.history.add(self.charged(), reading)
        for name, value in reading.items():
            if value is not None:
                self.logger.record(f"diagnosis/{name}", value)
        self._norms.clear()
        self._wants_cosine = True
        self.seconds += time.perf_counter() - begun

    def _training(self) -> dict[str, float | None]:
        found = {f"training/{name}": late(self.log.get(name, ())) for name in LOGGED}
        found |= {f"training/gradient/{role}": float(np.mean(norms)) for role, norms in self._norms.items()}
        seam = self.seam
        return {
            **found,
            "training/cosine": self._cosine,
            "training/learning_rate": self.rates[-1] if self.rates else None,
            "training/at_bound": float(at_bound(self.rates)),
            "cost/trainable": seam.trainable_parameters / max(seam.total_parameters, 1),
            "cost/steps": float(self.charged()),
            SECONDS: self.seconds,
        }


def trunk_cosine(model: Any, seam: Seam) -> float | None:
    """Return the cosine of the policy's and the critic's gradient on features that both train.

    The policy's is that of PPO's loss where its update begins (all ratios 1), which is A2C's at any time; the critic's
    that of its squared error. None where nothing is shared, or where the critic alone trains it, as off-policy.
    """
    trunk = next((net for net in seam.tuner.nets if net.role == "trunk" and net.on_policy), None)
    buffer = getattr(model, "rollout_buffer", None)
    shared = [] if trunk is None else [p for p in trunk.parameters() if p.requires_grad]
    if not shared or not isinstance(getattr(buffer, "observations", None), np.ndarray):
        return None
    rows = np.linspace(0, buffer.buffer_size * buffer.n_envs - 1, ROWS).astype(int)
    place = np.unravel_index(rows, (buffer.buffer_size, buffer.n_envs))
    advantages = torch.as_tensor(buffer.advantages[place], device=model.device)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    with _emptied(shared) as first:
        second = [torch.zeros_like(p) for p in shared]
        for begin in range(0, ROWS, AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            actors, critics = _losses(model, buffer, tuple(axis[part] for axis in place), advantages[part])
            actors.backward(retain_graph=True, inputs=shared)
            _add(second, torch.autograd.grad(critics, shared, allow_unused=True))
            del actors, critics
        return cosine(first, second)


@contextmanager
def _emptied(parameters: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Give out the parameters' own gradients as zeros; between two updates nobody reads them."""
    held = [p.grad for p in parameters]
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
    try:
        yield [p.grad for p in parameters]  # type: ignore[misc]
    finally:
        for p, before in zip(parameters, held, strict=True):
            p.grad = before


def _add(total: list[torch.Tensor], gradients: tuple[torch.Tensor | None, ...]) -> None:
    for held, new in zip(total, gradients, strict=True):
        if new is not None:
            held += new


def _losses(
    model: Any, buffer: Any, place: tuple[np.ndarray, ...], advantages: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the policy's and the critic's loss, summed over some rows of a rollout."""

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values[place], device=model.device)

    actions = tensor(buffer.actions)
    if actions.shape[-1] == 1 and not np.issubdtype(model.action_space.dtype, np.floating):
        actions = actions.long().flatten()
    with still(tuple(model.policy.modules())):
        values, likelihood, _ = model.policy.evaluate_actions(tensor(buffer.observations), actions)
    return -(advantages * likelihood).sum(), F.mse_loss(values.flatten(), tensor(buffer.returns), reduction="sum")
