"""What a file from elsewhere holds: networks as layers, and what is known of how they act and were trained."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.formats.foreign.layers import Array, Stack


@dataclass(frozen=True, eq=False, kw_only=True)
class Scaling:
    """How observations were scaled: (raw - mean) / (deviation + epsilon)."""

    mean: Array
    deviation: Array
    epsilon: float = 0.0
    count: float = 1.0
    """How many observations it has seen."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Foreign:
    """Networks of an agent that no SB3 file holds."""

    kind: str
    """What it is called in a message: `CleanRL's PPO`."""
    algorithm: str
    """Which of ours goes on with it: `ppo`, `dqn`, `td3`, `ddpg` or `sac`."""
    actor: Stack
    """From observations to what actions are chosen by; of `dqn` the values of actions."""
    critics: tuple[Stack, ...] = ()
    """From observations to a value, or from observations and actions in [-1, 1]; none where the file has none."""
    shared: Stack = ()
    """What both read first: convolutions, and dense layers above them."""
    log_std: Array | None = None
    """(actions,), of a Gaussian; None where it is not known."""
    odds: bool = False
    """Whether they are odds among several actions."""
    scaling: Scaling | None = None
    bounds: tuple[Array, Array] | None = None
    """Lowest and highest action, where the file tells them."""
    notes: tuple[tuple[str, str], ...] = ()
    """What was not carried over, and why."""
