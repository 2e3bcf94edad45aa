"""SB3's pickled ``VecNormalize``, read as data and written so that ``VecNormalize.load`` takes it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import bounded, numbers
from acclimate.files import pickles as inert
from acclimate.files.pickles import Made
from acclimate.sb3.normalizer import Normalizer

_WRAPPER = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"
_STATISTICS = "stable_baselines3.common.running_mean_std.RunningMeanStd"


def read(path: Path) -> Normalizer:
    """Return the statistics in the pickle at `path`; nothing in it is executed.

    Raises:
        UnsafeFileError: It is something else than a ``VecNormalize``.
        SourceError: It is broken or absent.
    """
    where = str(path)
    try:
        data = bounded.read(path, inert.MAX_BYTES)
    except ValueError as error:
        raise UnsafeFileError(f"{where}: no normaliser ({error}); refused.") from error
    except OSError as error:
        raise SourceError(f"{where}: cannot be read ({error.strerror or error}); check the path.") from error
    record = inert.read(data, where=where)
    if not (isinstance(record, Made) and str(record.what) == _WRAPPER and isinstance(record.state, dict)):
        what = f"asks for `{record.what}`" if isinstance(record, Made) else "holds something else"
        raise UnsafeFileError(f"{where}: {what} where SB3's VecNormalize belongs; refused.")
    try:
        return _normalizer(record.state, where)
    except (KeyError, TypeError, AttributeError, OverflowError, ValueError) as error:
        raise SourceError(f"{where}: broken normaliser (no readable {str(error)[:60]}); save it again.") from error


def _normalizer(state: dict[str, Any], where: str) -> Normalizer:
    def number(name: str) -> float:
        return float(numbers.scalar(state[name], f"{where}[{name}]"))

    norm_obs = bool(numbers.scalar(state["norm_obs"], where))
    rms = state.get("obs_rms")
    if isinstance(rms, dict):
        found = {key: _moments(part, f"{where}[obs_rms][{str(key)[:40]}]") for key, part in rms.items()}
        mean, var, count = ({key: part[i] for key, part in found.items()} for i in range(3))
    elif rms is None and not norm_obs:
        mean, var, count = np.zeros(()), np.ones(()), 1e-4
    else:
        mean, var, count = _moments(rms, f"{where}[obs_rms]")
    ret_mean, ret_var, ret_count = _moments(state["ret_rms"], f"{where}[ret_rms]")
    return Normalizer(
        obs_mean=mean,
        obs_var=var,
        obs_count=count,
        ret_mean=float(ret_mean),
        ret_var=float(ret_var),
        ret_count=ret_count,
        clip_obs=number("clip_obs"),
        clip_reward=number("clip_reward"),
        gamma=number("gamma"),
        epsilon=number("epsilon"),
        norm_obs=norm_obs,
        norm_reward=bool(numbers.scalar(state["norm_reward"], where)),
        norm_obs_keys=tuple(mean) if isinstance(mean, dict) else None,
    )


def _moments(record: Any, where: str) -> tuple[np.ndarray, np.ndarray, float]:
    if not (isinstance(record, Made) and str(record.what) == _STATISTICS and isinstance(record.state, dict)):
        raise UnsafeFileError(f"{where}: no running statistics of SB3; refused.")
    mean, var = (_floats(record.state[name], where) for name in ("mean", "var"))
    count = float(numbers.scalar(record.state["count"], where))
    if mean.shape != var.shape or not (np.isfinite(mean).all() and np.isfinite(var).all() and (var >= 0).all()):
        raise SourceError(f"{where}: its statistics are not finite; give a normaliser of an earlier checkpoint.")
    return mean, var, count


def _floats(value: Any, where: str) -> np.ndarray:
    if isinstance(value, (int, float)) or numbers.is_numpy(value, "scalar"):
        return np.array(numbers.scalar(value, where), dtype=np.float64)
    found = numbers.array(value, where)
    return found if found.dtype == np.float64 else found.astype(np.float64)


def flatten_goal(found: Normalizer, space: spaces.Space) -> Normalizer:
    """Return a normaliser of Dict observations as one of flat ones, where an agent takes them flat.

    Before SB3 1.1, HER agents took ``observation`` and ``desired_goal`` in one vector, which was normalised
    before it was put together.
    """
    keys = ("observation", "desired_goal")
    mean, var = found.obs_mean, found.obs_var
    if not (isinstance(mean, dict) and isinstance(var, dict) and isinstance(space, spaces.Box)):
        return found
    if not set(keys) <= set(mean) or space.shape != (sum(mean[key].size for key in keys),):
        return found
    counts = found.obs_count if isinstance(found.obs_count, dict) else {}
    return Normalizer(
        **{
            **vars(found),
            "obs_mean": np.concatenate([mean[key].ravel() for key in keys]),
            "obs_var": np.concatenate([var[key].ravel() for key in keys]),
            "obs_count": float(counts.get("observation", 1e-4)),
            "norm_obs_keys": None,
        }
    )


def write(found: Normalizer, observation_space: spaces.Space, action_space: spaces.Space) -> bytes:
    """Return the pickle that ``VecNormalize.load`` reads."""
    from acclimate.sb3.blueprint import SpacesOnly

    vec = found.vec_normalize(SpacesOnly(observation_space, action_space), training=True, norm_reward=found.norm_reward)
    return pickle.dumps(vec, protocol=4)
