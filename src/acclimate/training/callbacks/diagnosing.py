"""Look at the networks, values, observations and the policy when the agent is measured, and log what was seen."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.diagnosis.gradients import at_bound, gradient_norm, late, trunk_cosine
from acclimate.diagnosis.history import History
from acclimate.diagnosis.reading import STATES, Fixed, Glance
from acclimate.evaluation.rollouts import collect
from acclimate.evaluation.seeds import DIAGNOSIS_SEED
from acclimate.sb3.networks import find
from acclimate.seam.seam import Seam
from acclimate.training.job import Job
from acclimate.training.warm_start import WarmStarted
from acclimate.tuning.groups import Groups

SAMPLED = 20
"""Gradients are measured at one step of the optimizer in so many."""
RATES_EVERY = 50
"""Off-policy algorithms begin a rollout each step or two."""
LOGGED = ("approx_kl", "clip_fraction", "explained_variance")
SECONDS = "cost/diagnosis_seconds"
FEWEST = 32
"""States on which networks are compared, in the shortest run."""


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
        self.steps = 0
        """Environment steps by which the states were found."""
        self.rates: list[float] = []
        self._norms: dict[str, list[float]] = defaultdict(list)
        self._cosine: float | None = None
        self._wants_cosine = True
        self._rollouts = 0

    def state(self) -> dict[str, Any]:
        """Return what was seen since the last reading, as JSON-able data."""
        norms = {role: [float(norm) for norm in found] for role, found in self._norms.items()}
        return {"rates": self.rates, "norms": norms, "cosine": self._cosine, "wants_cosine": self._wants_cosine}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.rates = list(state["rates"])
        self._norms.update({role: list(norms) for role, norms in state["norms"].items()})
        self._cosine, self._wants_cosine = state["cosine"], state["wants_cosine"]

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
        """Take a reading, and log it; at a step at which one was taken there is nothing more to see."""
        if self.history.steps[-1:] == [self.charged()]:
            return
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


def diagnosing(
    job: Job,
    started: WarmStarted,
    seam: Seam,
    seen: Mapping[str, Any] | None,
    log: Mapping[str, list[float]],
    trained: Callable[[], int],
) -> Diagnosing:
    """Return what looks at a run, with the states on which it compares.

    They are fewer in a short run. Nothing is trained on them, so they are not charged, as evaluations are not.

    Args:
        job: the run.
        started: its model.
        seam: its methods.
        seen: what it saw before it was resumed.
        log: what SB3 logs.
        trained: gives the training steps taken.
    """
    begun = time.perf_counter()
    prior, steps = started.prior, max(FEWEST, min(STATES, job.case.recipe.steps // 20))
    target = collect(prior, job.case.task, steps, seed=DIAGNOSIS_SEED)
    source = None if job.case.source is None else collect(prior, job.case.source, steps, seed=DIAGNOSIS_SEED)
    with torch.no_grad():
        decides = next((net for net in find(prior.model) if net.decides), None)
        saved = None if decides is None else decides.apply(decides.module, target)
    device = started.model.device
    fixed = Fixed(target.to(device), None if source is None else source.to(device), saved, job.plan.temperature)
    looks = Diagnosing(
        seam,
        Glance(started.model, seam, fixed, prior.normalizer),
        History(seen),
        log,
        lambda: job.charged + trained() + seam.tuner.context.charged,
    )
    looks.seconds += time.perf_counter() - begun
    looks.steps = steps * (1 if source is None else 2)
    return looks
