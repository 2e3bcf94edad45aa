"""Tells which minibatch an SB3 algorithm takes from its buffer, and lets it take another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.tuning.method import Method

Tell = Callable[[Batch], None]
Change = Callable[[Batch], Batch]
Rows = Callable[[NDArray[np.int64]], Batch]


def refuse_untappable(model: BaseAlgorithm, method: Method) -> None:
    """Refuse methods that change minibatches where there is no buffer of single transitions to change them of.

    Raises:
        SurgeryError: naming the method and what to do instead.
    """
    for part in method.parts():
        if not part.has("minibatch"):
            continue
        buffer = getattr(model, "replay_buffer", None)
        if buffer is None:
            raise SurgeryError(
                f"`{part.name}` changes the minibatches of a replay buffer, and {type(model).__name__} has none; tune "
                "a SAC, TD3, DDPG, TQC, CrossQ, DQN or QR-DQN agent with it"
            )
        if isinstance(buffer, NStepReplayBuffer):
            raise SurgeryError(
                f"`{part.name}` changes minibatches of single transitions, and this agent's replay buffer returns sums "
                f"over {buffer.n_steps} steps; set algorithm.n_steps to 1"
            )


@contextmanager
def tapped(
    model: BaseAlgorithm,
    tell: Tell,
    *,
    change: Change | None = None,
    own: NDArray[np.bool_] | None = None,
    rows: Rows | None = None,
) -> Iterator[None]:
    """Call `tell` with each minibatch that the model takes; afterwards the buffers are as they were.

    A tap stays no longer than an update, because buffers are pickled between updates by those who save them.

    Args:
        model: its rollout or replay buffer is tapped.
        tell: sees each minibatch as the update gets it.
        change: returns what an off-policy update gets instead of a minibatch, of as many rows.
        own: (steps, environments), which rows an on-policy update is computed from; all of them by default.
        rows: tells rows of a rollout as a recurrent policy reads them; its minibatches are sequences, filled up.
    """
    taps: list[tuple[Any, str]] = []

    def chosen(get: Any, buffer: Any) -> Callable[..., Iterator[Any]]:
        found = get if own is None else _only(buffer, own, sequences=rows is not None)
        return _each(found, tell) if rows is None else found

    ways: list[tuple[str, str, Callable[[Any, Any], Any]]] = [
        ("rollout_buffer", "get", chosen),
        ("replay_buffer", "sample", lambda sample, buffer: _one(sample, buffer, tell, change)),
    ]
    if rows is not None:
        ways.append(("rollout_buffer", "_get_samples", lambda gather, buffer: _gathered(gather, tell, rows)))
    for name, method, tap in ways:
        buffer = getattr(model, name, None)
        if buffer is not None:
            setattr(buffer, method, tap(getattr(buffer, method), buffer))
            taps.append((buffer, method))
    try:
        yield
    finally:
        for buffer, method in taps:
            delattr(buffer, method)


def _one(sample: Callable[..., Any], buffer: Any, tell: Tell, change: Change | None) -> Callable[..., Any]:
    def sample_and_tell(*args: Any, **kwargs: Any) -> Any:
        data = sample(*args, **kwargs)
        batch = Batch(data.observations, data.actions, data.rewards, data.next_observations, data.dones)
        if change is not None:
            if getattr(data, "discounts", None) is not None:
                # A buffer of the user's own class; that of SB3 was refused before training.
                raise SurgeryError(
                    f"a method changes minibatches of single transitions, and {type(buffer).__name__} returns sums "
                    "over several; use SB3's own ReplayBuffer"
                )
            batch = change(batch)
            data = data._replace(**{name: value for name, value in vars(batch).items() if name in data._fields})
        tell(batch)
        return data

    return sample_and_tell


def _each(get: Callable[..., Iterator[Any]], tell: Tell) -> Callable[..., Iterator[Any]]:
    def get_and_tell(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for data in get(*args, **kwargs):
            masks = getattr(data, "action_masks", None)
            tell(Batch(data.observations, data.actions, masks=None if masks is None else masks.bool()))
            yield data

    return get_and_tell


def _gathered(get: Callable[..., Any], tell: Tell, rows: Rows) -> Callable[..., Any]:
    def gather_and_tell(chosen: NDArray[np.int64], *args: Any, **kwargs: Any) -> Any:
        tell(rows(chosen))
        return get(chosen, *args, **kwargs)

    return gather_and_tell


def _only(buffer: Any, own: NDArray[np.bool_], *, sequences: bool) -> Callable[..., Iterator[Any]]:
    """Return what yields minibatches of the chosen rows alone, as SB3's own `get` does of all."""
    get = buffer.get
    # SB3 puts the steps of one environment after another.
    chosen = np.flatnonzero(own.swapaxes(0, 1).reshape(-1))

    def get_only(batch_size: int | None = None) -> Iterator[Any]:
        if not buffer.generator_ready:
            next(get(1))  # flattens the buffer, once
        # Parts of nearly one size: a last one of a few rows would take a step of its own on next to nothing.
        parts = -(-len(chosen) // (batch_size or len(chosen)))
        if not sequences:
            for rows in np.array_split(np.random.permutation(chosen), parts):
                yield buffer._get_samples(rows)
            return
        # In their order, from anywhere on, as sb3-contrib has them; a sequence ends where a row is left out.
        begins = np.ones((own.size, 1))
        begins[chosen[1:][(np.diff(chosen) == 1) & (chosen[1:] % len(own) > 0)]] = 0.0
        for rows in np.array_split(np.roll(chosen, -np.random.randint(len(chosen))), parts):
            yield buffer._get_samples(rows, begins)

    return get_only
