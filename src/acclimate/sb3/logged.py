"""What Stable-Baselines3 logs of an update."""

from __future__ import annotations

import math

from stable_baselines3.common.logger import Logger

_OTHERWISE = {"approx_kl": "kl_divergence_loss"}
"""What TRPO logs under a name of its own."""


def logged(logger: Logger, name: str) -> float | None:
    """Return what was last logged as `train/name` and not written yet; None if it was not, or is no finite number."""
    values = logger.name_to_value
    value = values.get(f"train/{name}", values.get(f"train/{_OTHERWISE.get(name)}"))
    return float(value) if value is not None and math.isfinite(value) else None
