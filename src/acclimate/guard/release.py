"""What leaves the guard: an action of policy or fallback, finite, in its bounds and no faster than allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.guard.features import is_finite

FALLBACKS = ("hold", "safe", "other")
"""The last action, the safe one, or what another agent or a user's controller does."""


class Release(nn.Module):
    """Actions as rows of 32-bit numbers, (rows, numbers); a discrete one is its index. Pure tensor code."""

    low: Tensor
    high: Tensor
    safe: Tensor
    step: Tensor

    def __init__(self, low: Tensor, high: Tensor, safe: Tensor, step: Tensor, fallback: str) -> None:
        """Hold the limits.

        Args:
            low: (numbers,), smallest allowed.
            high: (numbers,), largest.
            safe: (numbers,), an action within them, which stands for the last one where an episode begins.
            step: (numbers,), the largest change from one step to the next, infinite for any.
            fallback: one of `FALLBACKS`.
        """
        super().__init__()
        for name, value in (("low", low), ("high", high), ("safe", safe), ("step", step)):
            self.register_buffer(name, value)
        self.fallback, self.slowed = fallback, bool(torch.isfinite(step).any())

    @classmethod
    def of(cls, space: spaces.Space, *, safe: Any = None, fallback: str = "hold", rate: float | None = None) -> Release:
        """Make it for an action space.

        Args:
            space: Box, Discrete, MultiDiscrete or MultiBinary.
            safe: the safe action; by default what is nearest to zero, or the first choice.
            fallback: one of `FALLBACKS`.
            rate: the largest change of a number from one step to the next, as a share of its range; any by default.

        Raises:
            ConfigError: The space is another, the safe action is none of it, or the rate cannot be.
        """
        if fallback not in FALLBACKS:
            raise ConfigError(f"no fallback `{fallback[:40]}`; there are {', '.join(FALLBACKS)}")
        low, high = limits(space)
        chosen = np.clip(np.zeros_like(low), low, high) if safe is None else _number(safe, space, low, high)
        step = np.full_like(low, np.inf)
        if rate is not None:
            if not isinstance(space, spaces.Box) or not np.isfinite(high - low).all() or not 0.0 < rate <= 1.0:
                raise ConfigError(f"a rate of {rate} of actions needs a bounded Box and a share between 0 and 1")
            step = rate * (high - low)
        return cls(*(torch.from_numpy(each) for each in (low, high, chosen, step)), fallback)

    def beginning(self) -> dict[str, Tensor]:
        """Return the state where an episode begins, without the axis of rows."""
        return {"action": self.safe}

    def narrowed(self, actions: Tensor) -> Tensor:
        """Return a batch of a policy's own actions as rows; what is within bounds in 64 bits is so in 32 as well."""
        rows = (actions if actions.dim() == 2 else actions.reshape(-1, len(self.low))).float()
        return torch.minimum(torch.maximum(rows, self.low), self.high) if actions.dtype == torch.float64 else rows

    def forward(
        self, proposed: Tensor, refusing: Tensor, last: Tensor, other: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the actions to take, and which of the chosen ones had to be mended, (rows,) of bool.

        Args:
            proposed: what the policy does on the filtered observations.
            refusing: (rows, 1), 1 where the fallback has to act.
            last: the actions that left last.
            other: what the other agent or controller does; needed where that is the fallback.
        """
        stand_in = {"hold": last, "safe": self.safe, "other": last if other is None else other}
        chosen = torch.where(refusing > 0, stand_in[self.fallback], proposed)
        whole = torch.where(is_finite(chosen), chosen, last)
        if self.slowed:
            whole = torch.minimum(torch.maximum(whole, last - self.step), last + self.step)
        taken = torch.minimum(torch.maximum(whole, self.low), self.high)
        return taken, (taken != chosen).any(1)


def limits(space: spaces.Space) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the smallest and largest numbers of an action in 32 bits, none of them beyond the space's own.

    Raises:
        ConfigError: It is no Box, Discrete, MultiDiscrete or MultiBinary.
    """
    match space:
        case spaces.Box():
            low, high = space.low.ravel(), space.high.ravel()
        case spaces.Discrete():
            low, high = np.array([space.start]), np.array([space.start + space.n - 1])
        case spaces.MultiDiscrete():
            low, high = space.start.ravel(), (space.start + space.nvec - 1).ravel()
        case spaces.MultiBinary():
            low, high = np.zeros(int(np.prod(space.shape))), np.ones(int(np.prod(space.shape)))
        case _:
            raise ConfigError(f"a guard gives no {type(space).__name__} actions")
    return _inwards(low, np.inf), _inwards(high, -np.inf)


def _inwards(bound: NDArray[Any], towards: float) -> NDArray[np.float32]:
    """Return bounds in 32 bits, rounded towards the inside."""
    rounded = bound.astype(np.float32)
    outside = rounded < bound if towards > 0 else rounded > bound
    return np.where(outside, np.nextafter(rounded, np.float32(towards)), rounded)


def _number(safe: Any, space: spaces.Space, low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the safe action as a row."""
    try:
        given = np.asarray(safe, np.float32).reshape(low.shape)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the safe action {str(safe)[:60]} is none of {space}") from error
    whole = isinstance(space, spaces.Box) or bool((given == np.round(given)).all())
    if not whole or not ((given >= low) & (given <= high)).all():
        raise ConfigError(f"the safe action {str(safe)[:60]} is none of {space}")
    return given
