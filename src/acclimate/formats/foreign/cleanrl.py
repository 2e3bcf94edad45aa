"""What CleanRL's single-file scripts save: state dicts, one or several in a tuple.

Source: CleanRL (MIT), `ppo.py`, `ppo_continuous_action.py`, `ppo_atari.py`, `dqn.py`, `dqn_atari.py` and the scripts of
TD3, DDPG and SAC for continuous actions: their layers and activations, which the files do not tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from acclimate.errors import SourceError
from acclimate.files.tensors import state_dict
from acclimate.formats.foreign.layers import Conv, Dense, Stack
from acclimate.formats.foreign.network import Foreign
from acclimate.formats.foreign.torch_layers import State, convolution, dense, listed, sequence, vector

_STRIDES = ((4, 4), (2, 2), (1, 1))
_NORMALISED = (
    ("observation normaliser", "CleanRL's scripts for continuous PPO scale observations and do not save how"),
)


def read(held: Any, where: str) -> Foreign:
    """Return the networks of a file.

    Args:
        held: what torch read of it.
        where: how an error names it.

    Raises:
        SourceError: It is none of these scripts'.
    """
    states = [state_dict(each, where=where) for each in (held if isinstance(held, (tuple, list)) else [held])]
    first = states[0] if states else {}
    if "actor_mean.0.weight" in first:
        return _continuous_ppo(first, where)
    if "network.0.weight" in first and "actor.weight" in first:
        return _atari_ppo(first, where)
    if "actor.0.weight" in first and "critic.0.weight" in first:
        actor, critic = (sequence(first, f"{name}.", "tanh", where=where) for name in ("actor", "critic"))
        return Foreign(kind="CleanRL's PPO", algorithm="ppo", actor=actor, critics=(critic,))
    if "network.0.weight" in first:
        return _dqn(first, where)
    if "fc_mu.weight" in first:
        return _deterministic(states, where)
    if "fc_mean.weight" in first:
        return _sac(states, where)
    raise SourceError(
        f"{where}: is none of CleanRL's PPO, DQN, TD3, DDPG or SAC (it holds {', '.join(list(first)[:4]) or 'nothing'})"
    )


def _continuous_ppo(state: State, where: str) -> Foreign:
    actor, critic = (sequence(state, f"{name}.", "tanh", where=where) for name in ("actor_mean", "critic"))
    spread = vector(state, "actor_logstd", where)
    return Foreign(
        kind="CleanRL's continuous PPO",
        algorithm="ppo",
        actor=actor,
        critics=(critic,),
        log_std=spread,
        notes=_NORMALISED,
    )


def _nature(state: State, prefix: str, where: str) -> Stack:
    """Return the convolutions of its Atari networks and the dense layer above them."""
    images = [
        convolution(state, f"{prefix}{2 * place}", stride, "relu", where=where) for place, stride in enumerate(_STRIDES)
    ]
    return (*images, dense(state, f"{prefix}7", "relu", where=where))


def _atari_ppo(state: State, where: str) -> Foreign:
    return Foreign(
        kind="CleanRL's Atari PPO",
        algorithm="ppo",
        shared=_nature(state, "network.", where),
        actor=(dense(state, "actor", "", where=where),),
        critics=((dense(state, "critic", "", where=where),),),
    )


def _dqn(state: State, where: str) -> Foreign:
    if state["network.0.weight"].dim() == 4:
        stack = (*_nature(state, "network.", where), dense(state, "network.9", "", where=where))
    else:
        stack = sequence(state, "network.", "relu", where=where)
    return Foreign(kind="CleanRL's DQN", algorithm="dqn", actor=stack)


def _bounds(state: State, where: str) -> tuple[np.ndarray, np.ndarray]:
    scale, middle = (vector(state, f"action_{name}", where) for name in ("scale", "bias"))
    return middle - scale, middle + scale


def _deterministic(states: list[dict[str, torch.Tensor]], where: str) -> Foreign:
    first, *others = states
    bounds = _bounds(first, where)
    return Foreign(
        kind="CleanRL's TD3" if len(others) > 1 else "CleanRL's DDPG",
        algorithm="td3" if len(others) > 1 else "ddpg",
        actor=listed(first, ["fc1", "fc2", "fc_mu"], "relu", where=where, last="tanh"),
        critics=tuple(_action_value(state, bounds, where) for state in others),
        bounds=bounds,
    )


def _sac(states: list[dict[str, torch.Tensor]], where: str) -> Foreign:
    """Return it with one spread for all states: CleanRL bends its own by a tanh, which SB3 has not."""
    first, *others = states
    bounds, middle = _bounds(first, where), dense(first, "fc_logstd", "", where=where)
    spread = -5.0 + 0.5 * 7.0 * (np.tanh(middle.bias) + 1.0)
    return Foreign(
        kind="CleanRL's SAC",
        algorithm="sac",
        actor=listed(first, ["fc1", "fc2", "fc_mean"], "relu", where=where),
        critics=tuple(_action_value(state, bounds, where) for state in others),
        log_std=spread.astype(np.float32),
        bounds=bounds,
        notes=(("spread by state", "CleanRL bends log-deviations by a tanh, which SB3 has not: one for all states"),),
    )


def _action_value(state: State, bounds: tuple[np.ndarray, np.ndarray], where: str) -> Stack:
    """Return a critic that reads actions in [-1, 1], where CleanRL's read those of the environment."""
    first, *rest = listed(state, ["fc1", "fc2", "fc3"], "relu", where=where)
    low, high = bounds
    scale, middle = (high - low) / 2, (high + low) / 2
    if isinstance(first, Conv) or first.weight.shape[1] <= len(scale):
        raise SourceError(f"{where}: its critics read no actions; save actor and critics of one agent")
    observed, acted = np.split(first.weight, [first.weight.shape[1] - len(scale)], axis=1)
    weight = np.concatenate([observed, acted * scale], axis=1).astype(np.float32)
    return (Dense(weight, (first.bias + acted @ middle).astype(np.float32), first.activation), *rest)
