"""An agent as the model of Keras that it was, or that has its structure."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.errors import MisfitError, SourceError
from acclimate.files import bounded
from acclimate.formats import kinds
from acclimate.formats.foreign import assembling, keras
from acclimate.formats.foreign.foreign import LARGEST
from acclimate.formats.foreign.keras_writing import replaced
from acclimate.formats.foreign.layers import Stack
from acclimate.sb3.parts import Origin
from acclimate.sb3.vocabulary import CLASSES

ROWS, TOLERANCE = 256, 1e-5


def keras_of(agent: Agent, like: Path) -> bytes:
    """Return the bytes of a file that Keras loads and that acts, or values, as the agent does.

    Args:
        agent: stays as it is.
        like: a model that Keras saved, which has the agent's structure: its policy, with or without its value, or the
            value alone. It stays as it is.

    Raises:
        MisfitError: The file has another structure, or cannot hold the agent.
        SourceError: The file cannot be read.
    """
    if agent.normalizer is not None or agent.methods:
        what = "a normaliser" if agent.normalizer is not None else "methods in its networks"
        raise MisfitError(f"the agent has {what}, and a model of Keras as `like` holds layers alone; export it to onnx")
    kinds.expect(like, kinds.KERAS)
    try:
        data = bounded.read(like, LARGEST)
    except (OSError, ValueError) as error:
        raise SourceError(f"{like}: cannot be read ({error}); check the path.") from error
    policy = agent.model.policy
    state = {name: tensor.detach().cpu().numpy() for name, tensor in policy.state_dict().items()}
    written, of_value = replaced(data, state, str(like))
    (_check_value if of_value else _check_policy)(agent, written, str(like))
    return written


def _check_policy(agent: Agent, written: bytes, where: str) -> None:
    """Hold what was written to the agent."""
    origin = Origin(where, hashlib.sha256(written).hexdigest())
    found = assembling.parts(keras.read(written, where), agent.observation_space, agent.action_space, origin)
    seen, again = _observations(agent), Agent.of(found, None, "cpu")
    _compare(_acts(agent, seen), _acts(again, seen), where)


def _acts(agent: Agent, seen: NDArray) -> NDArray:
    """Return the odds of its actions, or the actions themselves where they are numbers."""
    if not isinstance(agent.action_space, spaces.Discrete):
        return np.asarray(agent.predict(seen, deterministic=True)[0])
    policy: Any = agent.model.policy
    shown, _ = policy.obs_to_tensor(seen)
    return policy.get_distribution(shown).distribution.probs.detach().cpu().numpy()


def _check_value(agent: Agent, written: bytes, where: str) -> None:
    seen = _observations(agent)
    _compare(agent.values(seen), _answer(keras.read(written, where).actor, seen), where)


def _compare(ours: NDArray, theirs: NDArray, where: str) -> None:
    if not np.allclose(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE):
        raise MisfitError(
            f"{where}: with the agent's weights it does not act as the agent; has it the same activations?"
        )


def _observations(agent: Agent) -> NDArray:
    space = copy.deepcopy(agent.observation_space)  # with a generator of its own
    space.seed(0)
    return np.stack([space.sample() for _ in range(ROWS)])


def _answer(stack: Stack, seen: NDArray) -> NDArray:
    """Return what a network of dense layers gives, a number for each observation."""
    rows = torch.as_tensor(seen.reshape(len(seen), -1), dtype=torch.float32)
    for layer in stack:
        bend = CLASSES["activation_fn"][layer.activation or "identity"]()
        rows = bend(rows @ torch.as_tensor(layer.weight).T + torch.as_tensor(layer.bias))
    return rows[:, 0].numpy()
