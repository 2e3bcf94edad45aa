"""Checkpoints of rsl_rl, in the layout of its versions to 4 and in that of 5.

Source: rsl_rl 2.3 to 5.5 (BSD-3), `OnPolicyRunner.save` and the modules that it saves. The activation is not in the
file: it is taken for `elu`, the default, and the agent's facts say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from acclimate.errors import SourceError
from acclimate.files.tensors import state_dict
from acclimate.formats.foreign.layers import Stack, inputs
from acclimate.formats.foreign.network import Foreign, Scaling
from acclimate.formats.foreign.torch_layers import State, sequence, vector

ACTIVATION = "elu"
_ASSUMED = ("activation", "the file tells none: ELU, rsl_rl's default, is taken; another makes another policy of it")
_UNSEEN = ("critic", "it reads observations that the policy is not shown; a new one is drawn")
EPSILON = 1e-2
"""What its normaliser adds to a deviation."""


def read(held: Any, where: str) -> Foreign:
    """Return the networks of a checkpoint.

    Args:
        held: what torch read of it.
        where: how an error names it.

    Raises:
        SourceError: It is no checkpoint of an actor and a critic, or of one with a memory.
    """
    if not isinstance(held, Mapping):
        raise SourceError(f"{where}: is no checkpoint of rsl_rl")
    if "actor_state_dict" in held:
        actor, critic = (state_dict(held.get(f"{role}_state_dict"), where=where) for role in ("actor", "critic"))
        prefixes, names, scaled = ("mlp.", "mlp."), _SPREADS, "obs_normalizer."
        critic_scaled = scaled
    else:
        actor = critic = state_dict(held.get("model_state_dict", {}), where=where)
        prefixes, names = ("actor.", "critic."), ("std", "log_std")
        scaled, critic_scaled = "actor_obs_normalizer.", "critic_obs_normalizer."
    if any("rnn" in name or "memory" in name for name in actor):
        raise SourceError(f"{where}: its policy has a memory, which is not read; attach it in its own loop")
    scaling = _scaling(*_statistics(held, actor, "obs_norm_state_dict", scaled, where), where)
    theirs = _scaling(*_statistics(held, critic, "privileged_obs_norm_state_dict", critic_scaled, where), where)
    stack = sequence(actor, prefixes[0], ACTIVATION, where=where)
    value = sequence(critic, prefixes[1], ACTIVATION, where=where)
    known = inputs(value) == inputs(stack)  # else it reads what no policy is shown
    return Foreign(
        kind="rsl_rl's PPO",
        algorithm="ppo",
        actor=stack,
        critics=(_as_the_actor_reads(value, theirs, scaling),) if known else (),
        log_std=_spread(actor, names, where),
        scaling=scaling,
        notes=(_ASSUMED,) if known else (_ASSUMED, _UNSEEN),
    )


def _statistics(held: Mapping[str, Any], state: State, outside: str, prefix: str, where: str) -> tuple[State, str]:
    """Return where the statistics of a network are: in it, or beside it as in the first versions."""
    apart = held.get(outside, held.get("obs_norm_state_dict"))
    return (state, prefix) if apart is None else (state_dict(apart, where=where), "")


def _as_the_actor_reads(value: Stack, theirs: Scaling | None, ours: Scaling | None) -> Stack:
    """Return a critic that reads what the actor reads: each has statistics of its own, and SB3 has one for both."""
    first, *rest = value
    mean, deviation = _moments(theirs, inputs(value))
    shown, spread = _moments(ours, inputs(value))
    weight = first.weight.astype(np.float64) / deviation
    bias = first.bias + weight @ (shown - mean)
    moved = replace(first, weight=(weight * spread).astype(np.float32), bias=bias.astype(np.float32))
    return (moved, *rest)


def _moments(scaling: Scaling | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    if scaling is None:
        return np.zeros(size), np.ones(size)
    return scaling.mean.astype(np.float64), scaling.deviation.astype(np.float64) + scaling.epsilon


_SPREADS = ("distribution.std_param", "distribution.log_std_param", "std", "log_std")


def _spread(state: State, names: tuple[str, ...], where: str) -> np.ndarray:
    name = next((name for name in names if name in state), None)
    if name is None:
        raise SourceError(f"{where}: tells no spread of its actions ({' or '.join(names)})")
    found = vector(state, name, where)
    return found if "log" in name else np.log(np.maximum(found, 1e-6)).astype(np.float32)


def _scaling(state: State, prefix: str, where: str) -> Scaling | None:
    if f"{prefix}_mean" not in state:
        return None
    count = state.get(f"{prefix}count")
    return Scaling(
        mean=vector(state, f"{prefix}_mean", where),
        deviation=vector(state, f"{prefix}_std", where),
        epsilon=EPSILON,
        count=1.0 if count is None else float(count),
    )
