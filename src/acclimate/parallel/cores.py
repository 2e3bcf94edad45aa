"""On how many cores a vector of environments is best stepped, by measurement."""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable

import gymnasium as gym

Make = Callable[[], gym.Env]
_KNOWN = ("gymnasium.envs.", "ale_py.", "acclimate.")
"""Environments that run the same in a forked process; others may hold threads or a GPU, which no fork carries."""
_STEPS = 50
_EXCHANGE = 1.5e-4
"""Seconds that handing out a step of the vector and gathering it takes."""
_FURTHER = 1 / 3
"""What share of that each process beyond the second takes."""
_WORTH = 0.8
"""Several cores are used where a step then takes at most this share of the time."""


def processes(make: Make, n: int) -> int:
    """Return how many processes should share `n` environments that `make` makes, 1 where several would not pay.

    The choice changes no number of a run: each environment depends on its own seed and actions alone.
    """
    most = min(n, _most())
    if most < 2:
        return 1
    env = make()
    try:
        if not _is_known(env):
            return 1
        seconds = _seconds(env)
    finally:
        env.close()
    return cheapest(seconds, n, most, _EXCHANGE)


def forks(*makes: Make) -> int:
    """Return how many processes may play episodes of some worlds at the same time, 1 where they should not be forked.

    Args:
        makes: each makes an environment of one of the worlds.
    """
    most = _most()
    for make in makes if most > 1 else ():
        env = make()
        known = _is_known(env)
        env.close()
        if not known:
            return 1
    return most


def _most() -> int:
    """Return how many processes there may be at all."""
    if not sys.platform.startswith("linux") or multiprocessing.current_process().daemon:
        # A worker of a pool may have no processes of its own, and other workers have the other cores.
        return 1
    return _cores()


def _is_known(env: gym.Env) -> bool:
    return type(env.unwrapped).__module__.startswith(_KNOWN)


def cheapest(seconds: float, n: int, most: int, exchange: float) -> int:
    """Return how many processes step `n` environments soonest, 1 where several would gain little.

    Args:
        seconds: what a step of one environment takes.
        n: how many environments.
        most: how many processes there may be.
        exchange: seconds that handing out a step and gathering it takes.

    Example:
        >>> cheapest(6e-6, 8, 2, 3e-5), cheapest(80e-6, 8, 2, 3e-5), cheapest(80e-6, 8, 8, 3e-5)
        (1, 2, 8)
    """
    cost = {k: math.ceil(n / k) * seconds + exchange * (1 + _FURTHER * (k - 2)) for k in range(2, most + 1)}
    best = min(cost, key=cost.__getitem__, default=1)
    return best if best > 1 and cost[best] <= _WORTH * n * seconds else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _seconds(env: gym.Env) -> float:
    """Return the median time of a step under random actions."""
    env.reset(seed=0)
    env.action_space.seed(0)
    taken = []
    for _ in range(_STEPS):
        action = env.action_space.sample()
        begun = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        taken.append(time.perf_counter() - begun)
        if terminated or truncated:
            env.reset()
    return statistics.median(taken)
