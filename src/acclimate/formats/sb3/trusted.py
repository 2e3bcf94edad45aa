"""SB3's own loader, for files whose origin the caller vouches for. It runs whatever code they hold."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.errors import AcclimateError, SourceError
from acclimate.formats.sb3 import belonging, hyperparameters, live, sidecar
from acclimate.formats.sb3 import read as sb3
from acclimate.sb3 import vocabulary
from acclimate.sb3.parts import Origin, Parts

# What the plain text of a zip's data tells about its algorithm, the most telling first.
_MARKS = (
    ("n_delta", "ars"),
    ("cg_max_steps", "trpo"),
    ("top_quantiles_to_drop_per_net", "tqc"),
    ("n_epochs", "ppo"),
    ("gae_lambda", "a2c"),
    ("target_policy_noise", "td3"),
    ("exploration_fraction", "dqn"),
    ("ent_coef", "sac"),
)
# Those with the marks of another one, told by the name of their policy's module, or else by the file's name.
_LIKE = {"ppo": ("recurrent", "maskable"), "dqn": ("qrdqn",), "sac": ("crossq",)}
_FAILURES = (
    ImportError, AttributeError, RuntimeError, TypeError, ValueError, KeyError, IndexError, AssertionError,
    OSError, EOFError, NameError, pickle.UnpicklingError,
)  # fmt: skip


def read(path: Path) -> Parts:
    """Return the parts of the agent in the zip at `path`, unpickled by SB3.

    Raises:
        SourceError: SB3 cannot load it, or it is none of its algorithms.
    """
    data = sb3.plain_data(path)
    algorithm = _algorithm(data, path)
    # Buffers need the environment they came from; an agent that acts needs none.
    buffer = hyperparameters.read(algorithm, data)[0].get("replay_buffer_kwargs", {})
    replaced = {"replay_buffer_class": None, "replay_buffer_kwargs": dict(buffer)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = vocabulary.ALGORITHMS[algorithm].load(path, device="cpu", custom_objects=replaced)
    except _FAILURES as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise SourceError(
            f"{path}: SB3's own loader fails ({type(error).__name__}: {reason}); {_way_out(error, path)}."
        ) from error
    # The code in a zip is vouched for; what lies beside it still names no module.
    claims = sidecar.claims(path)
    origin = Origin(
        path=str(path),
        env_id=claims.env_id,
        normalized=belonging.said(algorithm, data),
        config=claims.config,
        unread=claims.refused,
    )
    parts = live.read(model, origin)
    goals, _ = sb3.goals_of(data, model.observation_space, str(path))
    return replace(parts, blueprint=replace(parts.blueprint, hindsight=goals))


def _way_out(error: Exception, path: Path) -> str:
    """Return what may help; a file that names code of its own cannot be read without trust."""
    try:
        sb3.read(path)
    except AcclimateError:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return f"run this in the folder that holds `{error.name}`, or put that folder on PYTHONPATH"
        return "install what the file needs, in the versions that it was saved with"
    return "load it without trust"


def _algorithm(data: Mapping[str, Any], path: Path) -> str:
    """Return which algorithm saved this data, whatever classes of its own it names."""
    family = next((name for mark, name in _MARKS if mark in data), None)
    if family is None:
        raise SourceError(f"{path}: tells of no algorithm of SB3 or sb3-contrib; it cannot be loaded.")
    if family == "td3":
        kwargs = data.get("policy_kwargs")
        return hyperparameters.algorithm(("td3", "ddpg"), data, kwargs if isinstance(kwargs, dict) else {}, path)
    policy = data.get("policy_class")
    module = str(policy.get("__module__", "")) if isinstance(policy, dict) else ""
    names = {part.lower() for part in re.split(r"[^A-Za-z0-9]+", "/".join((module, *path.parts[-3:])))}
    for mark in _LIKE.get(family, ()):
        if any(mark in name for name in names):
            return {"recurrent": "recurrent_ppo", "maskable": "maskable_ppo"}.get(mark, mark)
    return family
