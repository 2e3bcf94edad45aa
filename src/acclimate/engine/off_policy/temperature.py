"""The weight of the entropy in SAC's losses: fixed, or learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.learning.steps import flat_step

Array = NDArray[Any]


class Temperature:
    """SB3's entropy coefficient, and its optimizer where it has one."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._flat: Flat | None = None
        if model.ent_coef_optimizer is not None:
            steps = flat_step(model.ent_coef_optimizer)
            if isinstance(steps, str):
                raise TypeError(steps)
            self._flat = Flat([model.log_ent_coef])
            self._steps = steps(model.ent_coef_optimizer, self._flat)

    def ready(self) -> None:
        """Take back what somebody has given other storage since."""
        if self._flat is not None:
            if not self._flat.bound:
                self._flat.bind()
            self._steps.begin()

    def end(self) -> None:
        """Bring what the optimizer keeps up to date."""
        if self._flat is not None:
            self._steps.end()

    def step(self, likelihood: Array, logged: dict[str, list[float]]) -> float:
        """Return the coefficient, and learn from the log-likelihoods of actions if it is learnt."""
        flat = self._flat
        if flat is None:
            coefficient = float(self._model.ent_coef_tensor)
        else:
            coefficient = float(np.exp(flat.values[0]))
            gap = float(np.mean(likelihood + self._model.target_entropy))
            logged["ent_coef_loss"].append(-float(flat.values[0]) * gap)
            flat.gradient[0] = -gap
            self._steps.step()
        logged["ent_coef"].append(coefficient)
        return coefficient
