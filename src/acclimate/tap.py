"""Tells which minibatch an SB3 algorithm takes from its buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.method import Batch

Tell = Callable[[Batch], None]


@contextmanager
def tapped(model: BaseAlgorithm, tell: Tell) -> Iterator[None]:
    """Call `tell` with each minibatch that the model takes; afterwards the buffers are as they were.

    A tap stays no longer than an update, because buffers are pickled between updates by those who save them.
    """
    taps: list[tuple[Any, str]] = []
    for name, method, tap in (("rollout_buffer", "get", _each), ("replay_buffer", "sample", _one)):
        buffer = getattr(model, name, None)
        if buffer is not None:
            setattr(buffer, method, tap(getattr(buffer, method), tell))
            taps.append((buffer, method))
    try:
        yield
    finally:
        for buffer, method in taps:
            delattr(buffer, method)


def _one(sample: Callable[..., Any], tell: Tell) -> Callable[..., Any]:
    def sample_and_tell(*args: Any, **kwargs: Any) -> Any:
        data = sample(*args, **kwargs)
        tell(Batch(data.observations, data.actions, data.rewards, data.next_observations, data.dones))
        return data

    return sample_and_tell


def _each(get: Callable[..., Iterator[Any]], tell: Tell) -> Callable[..., Iterator[Any]]:
    def get_and_tell(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for data in get(*args, **kwargs):
            tell(Batch(data.observations, data.actions))
            yield data

    return get_and_tell
