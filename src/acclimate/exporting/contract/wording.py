"""A contract as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from acclimate.exporting.contract.contract import Contract, Guarding, Parity
from acclimate.exporting.contract.worlds import World


def render(contract: Contract) -> str:
    """Return what a file expects and does, a line each."""
    history = contract.history
    lines = [f"{contract.algorithm} policy of {history.env_id or 'an unknown environment'}, likeliest actions alone"]
    lines += _rows("in", contract.inputs)
    lines += _rows("out", contract.outputs)
    lines += _row("normalised", ", ".join(scaling.input for scaling in contract.normalization))
    lines += _row("actions", "squashed, stretched and clipped" if contract.squashed else "clipped to their bounds")
    lines += [] if contract.world is None else list(_world(contract.world))
    lines += [] if contract.guard is None else list(_guard(contract.guard))
    lines += _row("made of", history.source)
    lines += _row("sha256", history.sha256)
    lines += _row("run", history.run and f"{history.run.get('name')}, {history.run.get('task')}")
    lines += _row("written by", ", ".join(f"{name} {version}" for name, version in contract.versions.items()))
    lines += [] if contract.parity is None else _row("parity", _parity(contract.parity))
    return "\n".join(lines)


def _world(world: World) -> Iterator[str]:
    yield from _row("task", world.name)
    yield from _row("rate", world.rate_hz and f"{world.rate_hz:g} Hz")
    names, units = world.observation_names or (), world.observation_units or ()
    told = [f"{name} ({unit})" if unit else name for name, unit in zip_longest(names, units, fillvalue="")]
    yield from _row("observed", ", ".join(told))
    yield from _row("frames", world.frames and f"{world.frames} observations in a row make up one, oldest first")
    yield from _row("joints", ", ".join(world.joint_names or ()))


def _guard(guard: Guarding) -> Iterator[str]:
    yield from _row("guard", ", ".join(f"{reason.name} above {reason.limit:.4g}" for reason in guard.reasons))
    yield from _row("fallback", f"{guard.fallback}, after {guard.enter} refused of {guard.among} steps")
    yield from _row(
        "calibrated", f"{guard.episodes} episodes of {guard.task}, false alarms in {guard.alarms:g} of them"
    )
    yield from _row("guard parity", _parity(guard.parity))


def _parity(held: Parity) -> str:
    counts = " and ".join(f"{count} {kind}" for kind, count in held.observations.items())
    sizes = ", ".join(map(str, held.batches))
    close = f"largest error {held.largest_error:.1e}, {held.rounded} rounded, {held.ties} ties"
    return f"{close}, on {counts} observations in batches of {sizes}"


def _rows(name: str, values: Any) -> list[str]:
    return [line for value in values for line in _row(name, value)]


def _row(name: str, value: Any) -> list[str]:
    return [f"{name + ':':<14}{value}"] if value else []
