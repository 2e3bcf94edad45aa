"""The noise on actions by which an off-policy agent explored, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from acclimate.config import from_dict
from acclimate.errors import ConfigError

NORMAL, WANDERING = "normal", "ornstein-uhlenbeck"
KINDS: Mapping[type[ActionNoise], str] = {NormalActionNoise: NORMAL, OrnsteinUhlenbeckActionNoise: WANDERING}
_FIELDS = {"mean": "_mu", "std": "_sigma", "theta": "_theta", "dt": "_dt", "initial": "initial_noise"}


@dataclass(frozen=True)
class Noise:
    """What is added to an action in [-1, 1]; each tuple has a number for each entry of it."""

    kind: Literal["normal", "ornstein-uhlenbeck"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    theta: float = 0.15
    """How fast an Ornstein-Uhlenbeck process returns to its mean."""
    dt: float = 1e-2
    """Its step of time."""
    initial: tuple[float, ...] | None = None
    """Where it begins each episode; None is at zero."""

    def __post_init__(self) -> None:
        numbers = np.array([*self.mean, *self.std, self.theta, self.dt, *(self.initial or ())])
        sizes = {len(self.mean), len(self.std), len(self.initial or self.mean)}
        if not np.isfinite(numbers).all() or min(self.std, default=0.0) < 0 or self.dt < 0 or len(sizes) > 1:
            raise ConfigError("is no noise: give finite numbers, as many means as deviations, none of these below 0")

    @classmethod
    def of(cls, kind: str, fields: Mapping[str, Any], size: int) -> Noise:
        """Return the noise that SB3's object has in its fields, numbers or arrays.

        Args:
            kind: of it, of `KINDS`.
            fields: by SB3's names.
            size: how many entries an action has.

        Raises:
            ConfigError: They are those of no such noise.
        """
        found: dict[str, Any] = {"kind": kind}
        for name, place in _FIELDS.items():
            value = fields.get(place)
            if value is not None and name in ("theta", "dt"):
                found[name] = float(value)
            elif value is not None:
                found[name] = _numbers(value, size)
        return from_dict(cls, found, path="action_noise")

    @classmethod
    def around(cls, noise: Any, size: int) -> Noise | None:
        """Return the noise of a live model; None where it has none, or one that is no class of SB3's."""
        base = noise.base_noise if isinstance(noise, VectorizedActionNoise) else noise
        return cls.of(KINDS[type(base)], vars(base), size) if type(base) in KINDS else None

    def make(self, shape: tuple[int, ...]) -> ActionNoise:
        """Return SB3's object for actions of this shape; it makes one for each environment itself."""
        mean, std = (np.reshape(values, shape) for values in (self.mean, self.std))
        if self.kind == NORMAL:
            return NormalActionNoise(mean, std)
        initial = None if self.initial is None else np.reshape(self.initial, shape)
        return OrnsteinUhlenbeckActionNoise(mean, std, theta=self.theta, dt=self.dt, initial_noise=initial)

    def __str__(self) -> str:
        """Say it in a few words."""
        name = "Gaussian" if self.kind == NORMAL else "Ornstein-Uhlenbeck"
        return f"{name}, std {float(np.mean(self.std)):.3g} of an action in [-1, 1]"


def _numbers(value: Any, size: int) -> list[float]:
    try:
        return np.broadcast_to(np.asarray(value, np.float64).ravel(), (size,)).tolist()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"action_noise is not for {size} entries of an action ({error})") from error
