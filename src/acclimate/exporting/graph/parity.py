"""A graph is held to its agent: the same actions on the same raw observations, or it is not written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.errors import ExportError
from acclimate.exporting.contract.contract import Parity
from acclimate.exporting.contract.ports import ACTION, CELL, CELL_OUT, HIDDEN, HIDDEN_OUT, MASKS, STARTS
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.rounding import moves
from acclimate.exporting.graph.samples import Rows, masks, whole
from acclimate.nets.outputs import FORBIDDEN

Array = NDArray[Any]

BATCHES = (1, 7, 256)
ROWS = sum(BATCHES)
"""Observations of each kind that a graph is held to."""
TOLERANCE = 1e-5
"""Of continuous actions, as a share of half the width of their bounds."""
FAR = 1e6
"""Half a width from which bounds say nothing of actions."""
TIE = 1e-4
"""How near two scores are, as a share of the largest, that rounding may decide between their options."""
ROUNDING = 16
"""How many times as far as the agent's own actions move with the last bits of what it reads, a difference may go."""
STEPS = 3
"""Calls in a row, by which a state is carried on."""


class Difference(NamedTuple):
    """Between a graph and its agent, over one batch."""

    error: float
    """The largest of actions, as a share of half the width of their bounds, and of states."""
    rounded: int
    ties: int


def held(session: Any, graph: Graph, agent: Agent, observations: Mapping[str, Rows], *, seed: int = 0) -> Parity:
    """Compare a graph with its agent at each size of a batch.

    Args:
        session: of ONNX Runtime, with the graph in it.
        graph: what it was traced from.
        agent: acts on the same observations.
        observations: `ROWS` of each kind, by its name.
        seed: of masks and of where episodes begin.

    Raises:
        ExportError: They differ; it says by how much, and at which size.
    """
    rng, found = np.random.default_rng(seed), []
    for kind, rows in observations.items():
        for begin, size in zip((0, *np.cumsum(BATCHES)), BATCHES, strict=False):
            batch = {name: values[begin : begin + size] for name, values in rows.items()}
            found += _compared(session, graph, agent, batch, size, rng, f"{kind} observations, {size} at once")
    return Parity(
        batches=BATCHES,
        observations={kind: len(next(iter(rows.values()))) for kind, rows in observations.items()},
        largest_error=max(each.error for each in found),
        tolerance=TOLERANCE,
        rounded=sum(each.rounded for each in found),
        ties=sum(each.ties for each in found),
    )


def _compared(
    session: Any, graph: Graph, agent: Agent, rows: Rows, size: int, rng: np.random.Generator, where: str
) -> Iterator[Difference]:
    """Yield the difference at each of a few steps."""
    ports, state = graph.ports, None
    feeds: dict[str, Array] = dict(rows)
    if ports.remembers:
        feeds |= {port.name: np.zeros(port.sized(size), port.dtype) for port in ports.inputs[-3:]}
    for step in range(STEPS if ports.remembers else 1):
        asked: dict[str, Any] = {}
        if ports.remembers:
            feeds[STARTS] = np.ones(size, bool) if step == 0 else rng.random(size) < 0.3
            asked = {"state": state, "episode_start": feeds[STARTS]}
        if ports.masked:
            feeds[MASKS] = asked["action_masks"] = masks(agent.action_space, size, rng)
        expected, state = agent.predict(whole(rows), deterministic=True, **asked)
        found = dict(zip((port.name for port in ports.outputs), session.run(None, feeds), strict=True))
        if found[ACTION].shape != expected.shape:
            raise ExportError(
                f"the graph's actions are of shape {found[ACTION].shape}, not {expected.shape}, on {where}"
            )
        if isinstance(agent.action_space, spaces.Box):
            scale = scale_of(agent.action_space, expected)
            yield judged(
                np.abs(found[ACTION].astype(np.float64) - expected) / scale,
                lambda asked=asked, scale=scale: moves(agent, whole(rows), asked, rng) / scale,
                where,
            )
        else:
            yield Difference(0.0, 0, ties_of(graph, feeds, found[ACTION], expected, where))
        if ports.remembers and state is not None:
            feeds |= {HIDDEN: found[HIDDEN_OUT], CELL: found[CELL_OUT]}
            for ours, theirs in zip((feeds[HIDDEN], feeds[CELL]), state, strict=True):
                yield judged(np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs)), lambda: 0.0, where)


def scale_of(space: spaces.Box, expected: Array) -> Array:
    """Return half the width of an action's bounds; where they are far, its own size."""
    half = (space.high.astype(np.float64) - space.low) / 2
    return np.where(half < FAR, np.maximum(half, 1e-12), np.maximum(1.0, np.abs(expected)))


def judged(error: Array, own: Callable[[], Any], where: str) -> Difference:
    """Judge the errors of numbers; `own`, how far the agent's own move by rounding, is asked for where it matters."""
    far = ~(error <= TOLERANCE)  # NaN is no number below it
    if far.any() and not (error <= np.maximum(TOLERANCE, ROUNDING * own())).all():
        raise ExportError(
            f"the graph does not act as the agent: off by {error.max():.2g} of the actions' scale on {where} (allowed: "
            f"{TOLERANCE:g}); nothing was written. Save the zip or the bundle"
        )
    return Difference(float(error.max()), int(far.sum()), 0)


def ties_of(graph: Graph, feeds: Mapping[str, Array], found: Array, expected: Array, where: str) -> int:
    """Return in how many rows another option was chosen that is worth the same.

    Raises:
        ExportError: One is worth less.
    """
    other = (found != expected).reshape(len(found), -1).any(axis=1)
    if not other.any():
        return 0
    wrong = other & ~_tied(graph, feeds, found, expected)
    if wrong.any():
        raise ExportError(
            f"the graph does not act as the agent: {wrong.sum()} of {len(found)} choices differ on {where}; nothing "
            "was written. Save the zip or the bundle"
        )
    return int(other.sum())


@torch.no_grad()
def _tied(graph: Graph, feeds: Mapping[str, Array], *actions: Array) -> NDArray[np.bool_]:
    """Tell in which rows all of these actions are worth as much as the best, but for rounding."""
    scores = graph.scores(*(torch.as_tensor(feeds[port.name]) for port in graph.ports.inputs))[0]
    allowed = scores.where(scores > FORBIDDEN, 0.0)
    near = TIE * allowed.abs().amax(dim=1).clamp(min=1.0)
    return torch.stack([graph.choice.short(scores, torch.as_tensor(each)) <= near for each in actions]).all(0).numpy()
