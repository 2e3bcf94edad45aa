"""The rounds of the engine's benchmark: the sides of a case take turns, and each is timed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks.conditions import Conditions, cores
from benchmarks.engine.cases import Case
from benchmarks.peers.side import Side


def open_sides(case: Case, without: list[str]) -> dict[str, Side]:
    """Return the sides of a case, each warmed up: buffers are filled, and what compiles has done so."""
    sides = {name: make() for name, make in case.sides.items() if name not in without}
    for side in sides.values():
        side.train(case.first + case.steps)
        side.train(case.steps)
    return sides


def measure(case: Case, rounds: int, without: list[str], conditions: Conditions) -> dict[str, Any]:
    """Return the seconds of each round, of every side."""
    sides = open_sides(case, without)
    names = list(sides)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        # Who begins changes from round to round.
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            spent = sides[name].train(case.steps)
            wall[name].append(spent.wall)
            cpu[name].append(spent.cpu)
    for side in sides.values():
        side.close()
    told = {"cores": cores(), **dataclasses.asdict(conditions)}
    return {"case": case.name, "steps": case.steps, **told, "wall": wall, "cpu": cpu}


def shown(cell: dict[str, Any]) -> str:
    """Return a case's medians in one line."""
    rates = {name: cell["steps"] / np.median(seconds) for name, seconds in cell["wall"].items()}
    return ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items())
