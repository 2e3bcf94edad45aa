"""The cases of the foundation benchmark: real agents of others, and the change of world that each meets.

Fixed before the first reported run. `saved` holds what the agents' files keep as functions (which are never run) and
what their `config.yml` says as numbers; only the naive rows use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One agent and one change."""

    name: str
    zip: str
    """Path below the zoo."""
    env: str
    shifts: tuple[str, ...]
    steps: int
    """Target steps of every row."""
    n_envs: int = 1
    """Environments of its pretraining, for the naive rows."""
    saved: Mapping[str, Any] = field(default_factory=dict)
    """The agent's own hyperparameters where its file holds functions; `lin_x` falls linearly from x to 0."""


_CHEETAH = {"learning_rate": 2.0633e-05, "clip_range": 0.1}
_HOPPER = {"learning_rate": 9.80828e-05, "clip_range": 0.2}
CASES = (
    Case(
        "PPO CartPole, longer pole",
        "ppo/CartPole-v1_1/CartPole-v1.zip",
        "CartPole-v1",
        ("length=4",),
        50_000,
        8,
        {"learning_rate": "lin_0.001", "clip_range": "lin_0.2"},
    ),
    Case(
        "PPO LunarLander, wind and turbulence",
        "ppo/LunarLander-v2_1/LunarLander-v2.zip",
        "LunarLander-v3",
        ("wind=1.3", "turbulence=1.3"),
        100_000,
        16,
        {"learning_rate": 3e-4, "clip_range": 0.2},
    ),
    Case(
        "DQN LunarLander, stronger gravity",
        "dqn/LunarLander-v2_1/LunarLander-v2.zip",
        "LunarLander-v3",
        ("gravity=1.19",),
        50_000,
        1,
        {"learning_rate": 0.00063},
    ),
    Case(
        "PPO HalfCheetah, gravity 0.5",
        "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip",
        "HalfCheetah-v5",
        ("gravity=0.5",),
        100_000,
        1,
        _CHEETAH,
    ),
    Case(
        "PPO HalfCheetah, gravity 2",
        "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip",
        "HalfCheetah-v5",
        ("gravity=2",),
        100_000,
        1,
        _CHEETAH,
    ),
    Case(
        "PPO Hopper, gravity 2",
        "ppo/Hopper-v3_1/Hopper-v3.zip",
        "Hopper-v5",
        ("gravity=2",),
        100_000,
        1,
        _HOPPER,
    ),
    Case(
        "SAC HalfCheetah, gravity 2",
        "sac/HalfCheetah-v3_1/HalfCheetah-v3.zip",
        "HalfCheetah-v5",
        ("gravity=2",),
        20_000,
        1,
        {"learning_rate": 3e-4},
    ),
    *(
        Case(
            f"TRPO {name}, gravity {gravity}",
            f"trpo/{name}-v3_1/{name}-v3.zip",
            f"{name}-v5",
            (f"gravity={gravity}",),
            100_000,
            2,
            {"learning_rate": 0.001},
        )
        for name in ("Hopper", "HalfCheetah")
        for gravity in (1.5, 2)
    ),
)
