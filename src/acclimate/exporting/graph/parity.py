"""A graph is held to its agent: the same actions on the same raw observations, or it is not written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.errors import ExportError
from acclimate.exporting.contract.contract import Parity
from acclimate.exporting.contract.ports import ACTION, CELL, CELL_OUT, HIDDEN, HIDDEN_OUT, MASKS, STARTS
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.samples import Rows, masks, whole
from acclimate.nets.outputs import FORBIDDEN

Array = NDArray[Any]

BATCHES = (1, 7, 256)
ROWS = sum(BATCHES)
"""Observations of each kind that a graph is held to."""
TOLERANCE = 1e-5
"""Of continuous actions, as a share of half the width of their bounds."""
TIE = 1e-4
"""How near two scores are, as a share of the largest, that rounding may decide between their options."""
STEPS = 3
"""Calls in a row, by which a state is carried on."""


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
    rng, worst, ties = np.random.default_rng(seed), 0.0, 0
    for kind, rows in observations.items():
        begin = 0
        for size in BATCHES:
            batch = {name: values[begin : begin + size] for name, values in rows.items()}
            error, tied = _compared(session, graph, agent, batch, size, rng, f"{kind} observations, {size} at once")
            worst, ties, begin = max(worst, error), ties + tied, begin + size
    counts = {kind: len(next(iter(rows.values()))) for kind, rows in observations.items()}
    return Parity(batches=BATCHES, observations=counts, largest_error=worst, tolerance=TOLERANCE, ties=ties)


def _compared(
    session: Any, graph: Graph, agent: Agent, rows: Rows, size: int, rng: np.random.Generator, where: str
) -> tuple[float, int]:
    """Return the largest error and the number of ties over a few steps."""
    ports, state, worst, ties = graph.ports, None, 0.0, 0
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
        if isinstance(agent.action_space, spaces.Box):
            error = _error(found[ACTION], expected, agent.action_space)
        else:
            error, tied = 0.0, _ties(graph, feeds, found[ACTION], expected, where)
            ties += tied
        if ports.remembers and state is not None:
            error = max(error, *(float(np.abs(a - b).max()) for a, b in zip(state, _state(found), strict=True)))
            feeds |= {HIDDEN: found[HIDDEN_OUT], CELL: found[CELL_OUT]}
        if not error <= TOLERANCE:  # NaN is no number below it
            raise ExportError(
                f"the graph does not act as the agent: off by {error:.2g} of the actions' scale on {where} (allowed: "
                f"{TOLERANCE:g}); nothing was written. Save the zip or the bundle"
            )
        worst = max(worst, error)
    return worst, ties


def _state(found: Mapping[str, Array]) -> tuple[Array, Array]:
    return found[HIDDEN_OUT], found[CELL_OUT]


def _error(found: Array, expected: Array, space: spaces.Box) -> float:
    """Return the largest difference, as a share of half the width of the bounds where they are near."""
    if found.shape != expected.shape:
        return float("inf")
    half = (space.high.astype(np.float64) - space.low) / 2
    scale = np.where(half < 1e6, np.maximum(half, 1e-12), np.maximum(1.0, np.abs(expected)))
    return float((np.abs(found.astype(np.float64) - expected) / scale).max())


def _ties(graph: Graph, feeds: Mapping[str, Array], found: Array, expected: Array, where: str) -> int:
    """Return in how many rows another option was chosen that is worth the same.

    Raises:
        ExportError: One is worth less.
    """
    if found.shape != expected.shape:
        raise ExportError(f"the graph puts out actions of shape {found.shape}, the agent {expected.shape}, on {where}")
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
