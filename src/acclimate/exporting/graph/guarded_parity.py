"""A guarded graph is held to its guarded agent: the same flags, marks, states and actions, or it is not written."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.errors import ExportError
from acclimate.exporting.contract.contract import Parity
from acclimate.exporting.contract.ports import (
    ACTION,
    CELL,
    FALLBACK,
    FLAGS,
    GUARD,
    GUARD_OUT,
    HIDDEN,
    MASKS,
    MENDED,
    OBSERVATION,
    OTHER,
    SCORES,
    STARTS,
)  # fmt: skip
from acclimate.exporting.graph.guarding import GuardedGraph
from acclimate.exporting.graph.parity import BATCHES, TOLERANCE, Difference, judged, scale_of, ties_of
from acclimate.exporting.graph.rounding import moves
from acclimate.exporting.graph.samples import Rows, arranged, masks, part_of, whole
from acclimate.exporting.graph.tripping import episodes, near
from acclimate.guard.guarded import Decision, Guarded, Memory, shown
from acclimate.guard.tiers.reasons import Reason

Array = NDArray[Any]

STEPS = {1: 64, 7: 32, 256: 6}
"""Calls in a row at each size of a batch, by which the states are carried on."""
OF_IMAGES = {1: 16, 7: 8, 256: 3}
"""The same where observations are large and a call takes long; their tiers look back by no more steps."""
CLOSE = 1e-4
"""Of scores and states, as a share of their size."""
HAIR = 1e-5
"""How near its limit a score is, as a share of it, that rounding may raise a flag or not."""


class Held(NamedTuple):
    """What a comparison found."""

    parity: Parity
    raised: Mapping[Reason, int]
    """How often each flag was raised, by graph and agent alike."""


def held(session: Any, graph: GuardedGraph, guarded: Guarded, observations: Mapping[str, Rows], *, seed: int) -> Held:
    """Compare a graph with the agent behind its guard at each size of a batch, over episodes with faults.

    Args:
        session: of ONNX Runtime, with the graph in it.
        graph: what it was traced from.
        guarded: acts on the same observations.
        observations: by their kind, one step after another.
        seed: of faults, masks, and where episodes begin.

    Raises:
        ExportError: They differ; it says in what, and at which size.
    """
    lengths = OF_IMAGES if guarded.guard.layout.images else STEPS
    rng, found, raised = np.random.default_rng(seed), [Difference(0.0, 0, 0)], Counter[Reason]()
    for kind, rows in observations.items():
        flat = guarded.guard.layout.rows(whole(rows))
        for size in BATCHES:
            steps = episodes(guarded.guard, flat, lengths[size], size, rng)
            where = f"{kind} observations with faults, {size} at once"
            found += _compared(session, graph, guarded, steps, rng, where, raised)
    parity = Parity(
        batches=BATCHES,
        observations={kind: sum(size * lengths[size] for size in BATCHES) for kind in observations},
        largest_error=max(each.error for each in found),
        tolerance=TOLERANCE,
        rounded=sum(each.rounded for each in found),
        ties=sum(each.ties for each in found),
    )
    return Held(parity, {reason: raised[reason] for reason in guarded.reasons})


def _compared(
    session: Any,
    graph: GuardedGraph,
    guarded: Guarded,
    steps: Array,
    rng: np.random.Generator,
    where: str,
    raised: Counter[Reason],
) -> Iterator[Difference]:
    """Yield the differences of each step; each begins from the state that the agent has."""
    guard, ports, size = guarded.guard, graph.ports, steps.shape[1]
    acting = copy.deepcopy(guard.action_space)
    acting.seed(int(rng.integers(1 << 31)))
    memory = guarded.initial(size)
    for step, rows in enumerate(steps):
        batch = guard.layout.observations(rows)
        packed = guard.packing.pack(memory.guard).numpy()
        if step == 2:  # the first steps have set all that begins
            packed = near(guard, packed)
            memory = memory._replace(guard=guard.packing.unpack(torch.from_numpy(packed)))
        starts = np.ones(size, bool) if step == 0 else rng.random(size) < 0.03
        feeds: dict[str, Array] = {port.name: arranged(_input(batch, port.name), port) for port in ports.observations}
        feeds |= {STARTS: starts, GUARD: packed}
        asked = {}
        if ports.masked:
            asked["action_masks"] = feeds[MASKS] = masks(guard.action_space, size, rng)
        if ports.remembers:
            feeds |= _remembered(ports, memory, size)
        if any(port.name == OTHER for port in ports.inputs):
            feeds[OTHER] = np.stack([acting.sample() for _ in range(size)])
        expected, decision, after = asked_with(guarded, feeds.get(OTHER)).predict(batch, memory, starts, **asked)
        out = dict(zip((port.name for port in ports.outputs), session.run(None, feeds), strict=True))
        same = _same_flags(guarded, decision, out, where)
        raised.update({reason: int(count) for reason, count in zip(guarded.reasons, out[FLAGS].sum(0), strict=True)})
        yield Difference(0.0, 0, int((~same).sum()))
        if not same.any():
            memory = after
            continue
        _states(out, decision, guard.packing.pack(after.guard).numpy(), same, where)
        refused = decision.flags.any(1)
        acted = shown(guard.layout, batch, after.guard["observation"].numpy(), refused)
        yield from _actions(graph, guarded, acted, feeds, asked, out[ACTION], expected, same, memory, rng, where)
        memory = after


def asked_with(guarded: Guarded, actions: Array | None) -> Guarded:
    """Return the guarded agent, whose controller does what the caller of the graph is told to have done."""
    return guarded if actions is None else Guarded(guarded.agent, guarded.guard, lambda _: actions)


def _input(batch: Any, name: str) -> Array:
    return np.asarray(batch if name == OBSERVATION else part_of(batch, name))


def _remembered(ports: Any, memory: Memory, size: int) -> dict[str, Array]:
    named = {port.name: port for port in ports.inputs}
    if memory.agent is None:
        return {name: np.zeros(named[name].sized(size), np.float32) for name in (HIDDEN, CELL)}
    return dict(zip((HIDDEN, CELL), memory.agent, strict=True))


def _same_flags(guarded: Guarded, decision: Decision, out: dict[str, Array], where: str) -> NDArray[np.bool_]:
    """Return in which rows the flags are the same; in others a score is its limit but for rounding.

    Raises:
        ExportError: A score or a flag is another.
    """
    limits = guarded.guard.filter.limits.numpy()
    apart = ~(np.abs(out[SCORES] - decision.scores) <= CLOSE * np.maximum(1.0, np.abs(decision.scores)))
    other = out[FLAGS] != decision.flags
    tie = np.abs(decision.scores - limits) <= HAIR * np.maximum(1.0, limits)
    if apart.any() or (other & ~tie).any():
        place = int(np.argwhere(apart | (other & ~tie))[0][1])
        raise ExportError(
            f"the graph's guard is not the agent's: `{guarded.reasons[place].word}` differs on {where}; nothing was "
            "written. Export without the guard, and keep it in Python"
        )
    return ~other.any(1)


def _states(out: dict[str, Array], decision: Decision, after: Array, same: Array, where: str) -> None:
    """Compare the marks and the next state of rows with the same flags."""
    marks = ((FALLBACK, decision.refusing), (MENDED, decision.mended))
    for name, value in marks:
        if (out[name] != value)[same].any():
            raise ExportError(f"the graph's `{name}` is not the agent's on {where}; nothing was written")
    error = np.abs(out[GUARD_OUT].astype(np.float64) - after) / np.maximum(1.0, np.abs(after))
    if not (error[same] <= CLOSE).all():  # NaN is no number below it
        raise ExportError(f"the state of the graph's guard is not the agent's on {where}; nothing was written")


def _actions(
    graph: GuardedGraph,
    guarded: Guarded,
    acted: Any,
    feeds: dict[str, Array],
    asked: dict[str, Array],
    found: Array,
    expected: Array,
    same: Array,
    memory: Memory,
    rng: np.random.Generator,
    where: str,
) -> Iterator[Difference]:
    """Yield the difference of the actions of rows with the same flags."""
    space, agent = guarded.guard.action_space, guarded.agent
    if isinstance(space, spaces.Box):
        scale = scale_of(space, expected)
        state = {"state": memory.agent, "episode_start": feeds[STARTS]} if graph.ports.remembers else {}
        error = np.abs(found.astype(np.float64) - expected) / scale
        yield judged(error[same], lambda: (moves(agent, acted, {**asked, **state}, rng) / scale)[same], where)
        return
    inputs = {port.name: arranged(_input(acted, port.name), port) for port in graph.bare.ports.observations}
    inputs |= {port.name: feeds[port.name] for port in graph.bare.ports.inputs if port.name not in inputs}
    kept = np.where(same.reshape(-1, *(1 for _ in expected.shape[1:])), found, expected)
    yield Difference(0.0, 0, ties_of(graph.bare, inputs, kept, expected, where))
