"""A share of a vector's environments, stepped in a process of its own; see `vector`."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.errors import AcclimateError, TaskError
from acclimate.parallel.serial import step

Array = NDArray[Any]
Makers = Sequence[Callable[[], gym.Env]]
PATIENCE = 1e-3
"""Seconds of waiting awake: longer than what comes between two steps of a rollout, shorter than an update."""


def hear(pipe: Connection) -> Any:
    """Return what comes next; at first without sleeping, because waking up takes as long as a step of some worlds."""
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    until = time.perf_counter() + PATIENCE
    while not ready.poll(0) and time.perf_counter() < until:
        pass
    return pipe.recv()


def _packed(infos: list[dict[str, Any]]) -> tuple[list[tuple[tuple[str, ...], dict[str, Any]]], Array]:
    """Return names and other things, and all of numpy's scalars in one array: pickled one by one they take longest."""
    numbers = [value for info in infos for value in info.values() if type(value) is np.float64]
    rest = [
        (tuple(info), {key: value for key, value in info.items() if type(value) is not np.float64}) for info in infos
    ]
    return rest, np.array(numbers, np.float64)


def unpacked(packed: tuple[list[tuple[tuple[str, ...], dict[str, Any]]], Array]) -> list[dict[str, Any]]:
    """Return the infos that were sent."""
    numbers = iter(packed[1])
    return [{key: rest[key] if key in rest else next(numbers) for key in names} for names, rest in packed[0]]


def call(env: DummyVecEnv, name: str, indices: list[int], arguments: tuple[Any, ...]) -> list[Any]:
    """Return what a method of the vector says of some of its environments."""
    if name == "env_method":
        method, positional, named = arguments
        return env.env_method(method, *positional, indices=indices, **named)
    found = getattr(env, name)(*arguments, indices=indices)
    return [None] * len(indices) if found is None else found


def serve(pipe: Connection, others: list[Connection], makers: Makers) -> None:
    """Make environments and do with them what is asked, until the pipe is closed."""
    for other in others:
        # Copies of the ends that belong to the first process: with them open no one would learn of its death.
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    env: DummyVecEnv | None = None
    while True:
        try:
            message, *arguments = hear(pipe)
        except (EOFError, OSError):
            message = "close"
        if message == "close":
            if env is not None:
                env.close()
            return
        try:
            env = env or DummyVecEnv(list(makers))  # type: ignore[arg-type]
            answer = _answer(env, message, arguments)
        except AcclimateError as error:
            answer = error
        _reply(pipe, answer)


def _reply(pipe: Connection, answer: Any) -> None:
    """Send an answer, or that it cannot be sent."""
    try:
        pipe.send(answer)
    except OSError:
        return  # the first process is gone; the next message says so
    except (PicklingError, TypeError, ValueError, AttributeError) as error:
        pipe.send(TaskError(f"what an environment says cannot be sent between processes ({error}); use vec_env dummy"))


def _answer(env: DummyVecEnv, message: str, arguments: list[Any]) -> Any:
    if message == "step":
        observations, rewards, dones, infos = step(env, arguments[0])
        return (observations, rewards, dones, _packed(infos)), env.reset_infos if dones.any() else None
    if message == "reset":
        env._seeds, env._options = arguments
        return env.reset(), env.reset_infos
    if message == "call":
        return call(env, *arguments)
    return None
