"""The units in which MuJoCo counts, by the kinds of a model's joints."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym

_FREE, _BALL, _SLIDE, _HINGE = range(4)
"""`mjtJoint` of MuJoCo."""
_POSITIONS = {_FREE: ("m",) * 3 + ("1",) * 4, _BALL: ("1",) * 4, _SLIDE: ("m",), _HINGE: ("rad",)}
_VELOCITIES = {_FREE: ("m/s",) * 3 + ("rad/s",) * 3, _BALL: ("rad/s",) * 3, _SLIDE: ("m/s",), _HINGE: ("rad/s",)}


def units(env: gym.Env, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the unit of each entry of an observation, None where the environment is no MuJoCo model.

    Args:
        env: with Gymnasium's `observation_structure`.
        names: of the entries, such as `qpos[1]`; those of other kinds have an empty unit.
    """
    kinds: Any = getattr(getattr(env.unwrapped, "model", None), "jnt_type", None)
    if kinds is None:
        return None
    skipped = int(env.unwrapped.observation_structure.get("skipped_qpos", 0))  # type: ignore[attr-defined]
    known = {
        "qpos": [unit for kind in kinds for unit in _POSITIONS[int(kind)]][skipped:],
        "qvel": [unit for kind in kinds for unit in _VELOCITIES[int(kind)]],
    }
    return tuple(_unit(name, known) for name in names)


def _unit(name: str, known: dict[str, list[str]]) -> str:
    match = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    parts = known.get(match[1], []) if match else []
    place = int(match[2]) if match else 0
    return parts[place] if place < len(parts) else ""
