"""Zips of Stable-Baselines3 and sb3-contrib, 1.0 to 2.9, read without executing anything in them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import numbers as numpy_records
from acclimate.files import pickles as inert
from acclimate.files import tensors
from acclimate.files.pickles import Made, Token
from acclimate.files.plain import read_json
from acclimate.files.spaces import from_record
from acclimate.formats.sb3 import archive, belonging, hindsight, hyperparameters, noise, sidecar
from acclimate.formats.sb3 import legacy as layout
from acclimate.sb3 import vocabulary
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.hindsight import Hindsight
from acclimate.sb3.noise import Noise
from acclimate.sb3.parts import COUNTERS, OPTIMIZERS, RATES, VARIABLES, Origin, Parts

# The only serialized fields that are decoded, but for those of hindsight and noise; the rest (schedules) never is.
_DECODED = ("observation_space", "action_space", "policy_class", "policy_kwargs")
_SYSTEM_LINE = re.compile(r"^-?\s*(OS|Python|Stable-Baselines3|PyTorch|Numpy|Gym|Gymnasium|OpenAI Gym):\s*(.{1,80})$")
_VERSION = re.compile(r"[\w.+-]{1,40}")

MOST_ENVS = 10_000
"""Of a training; more is no count of environments."""


def read(path: Path, known: Blueprint | None = None) -> Parts:
    """Return the parts of the agent in the zip at `path`.

    Args:
        path: Of the zip.
        known: How the agent is built, where that need not be read.

    Raises:
        UnsafeFileError: It asks for something that no agent needs.
        SourceError: It is broken, or made of classes that are not SB3's own.
    """
    members = archive.read(path)
    if "data" not in members or "policy.pth" not in members:
        absent = "data" if "data" not in members else "policy.pth"
        raise SourceError(f"{path}: has no member `{absent}`, so it is no zip saved by SB3's `model.save`.")
    data = _json(members["data"], path)
    blueprint, unread = _blueprint(data, path) if known is None else (known, [])
    stored = {name: tensors.read(content, where=f"{path}[{name}]") for name, content in members.items() if _pth(name)}
    weights = tensors.state_dict(stored["policy.pth"], where=f"{path}[policy.pth]")
    if known is None:
        blueprint, weights = layout.modernize(blueprint, weights)
    claims = sidecar.claims(path)
    variables = stored.get("pytorch_variables.pth", stored.get("tensors.pth")) or {}
    return Parts(
        blueprint=blueprint,
        weights=weights,
        optimizers={name: stored[f"{name}.pth"] for name in OPTIMIZERS if f"{name}.pth" in stored},
        variables=_variables(variables),
        counters={
            **{name: data[name] for name in COUNTERS if _is_count(data.get(name))},
            **{name: float(data[name]) for name in RATES if _is_rate(data.get(name))},
        },
        origin=Origin(
            path=str(path),
            sha256=_sha256(path),
            env_id=claims.env_id,
            versions=_versions(members),
            steps=data["num_timesteps"] if _is_count(data.get("num_timesteps")) else 0,
            n_envs=data["n_envs"] if _is_count(data.get("n_envs")) and 0 < data["n_envs"] <= MOST_ENVS else None,
            unread=(*unread, *claims.refused),
            normalized=belonging.said(blueprint.algorithm, data),
            config=claims.config,
        ),
    )


def plain_data(path: Path) -> dict[str, Any]:
    """Return the JSON of a zip's data, its serialized fields left as text."""
    return _json(archive.read(path).get("data", b"{}"), path)


def _pth(name: str) -> bool:
    return name.endswith(".pth")


def _json(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        data = read_json(raw.decode())
    except ValueError as error:
        raise SourceError(f"{path}: its `data` is no JSON ({str(error)[:80]}); save the agent again.") from error
    if not isinstance(data, dict):
        raise SourceError(f"{path}: its `data` is no JSON object; save the agent again.")
    return data


def _blueprint(data: dict[str, Any], path: Path) -> tuple[Blueprint, list[tuple[str, str]]]:
    where = str(path)
    token = _decode(data, "policy_class", where)
    if isinstance(token, Made):
        raise SourceError(f"{where}: its policy class is code inside the file; pass trust=True to let SB3 run it.")
    if not isinstance(token, Token):
        raise SourceError(f"{where}: names no policy class; save the agent again.")
    candidates, alias = vocabulary.policy_of(token, where)
    observation_space = _space(data, "observation_space", where)
    kwargs, unread = _policy_kwargs(data, where)
    algorithm = hyperparameters.algorithm(candidates, data, kwargs, path)
    settings, skipped = hyperparameters.read(algorithm, {**data, **_frequency(data, where)})
    if isinstance(observation_space, spaces.Dict) and settings.get("n_steps", 1) != 1 and "buffer_size" in settings:
        settings.pop("n_steps")
    goals, left_out = goals_of(data, observation_space, where)
    action_space = _space(data, "action_space", where)
    explores, without = noise_of(data, action_space, where)
    blueprint = Blueprint(
        algorithm=algorithm,
        policy=alias,
        policy_kwargs=kwargs,
        observation_space=observation_space,
        action_space=action_space,
        hyperparameters=settings,
        hindsight=goals,
        noise=explores,
    )
    skipped += left_out + without
    known = (*_DECODED, noise.FIELD, "train_freq", *_stock_buffers(data, where), *(hindsight.FIELDS if goals else ()))
    done = {*known, *(name for name, _ in skipped)}
    return blueprint, unread + skipped + _serialized(data, done)


def noise_of(data: Mapping[str, Any], space: spaces.Space, where: str) -> tuple[Noise | None, list[tuple[str, str]]]:
    """Return the noise that a zip's data has for exploring, and that it was not taken, with the reason."""
    try:
        return noise.read(_decode(data, noise.FIELD, where), space, where)
    except (SourceError, UnsafeFileError) as error:
        return None, [(noise.FIELD, f"{str(error)[:120]}; left out")]


def goals_of(
    data: Mapping[str, Any], space: spaces.Space, where: str
) -> tuple[Hindsight | None, list[tuple[str, str]]]:
    """Return how a zip's data says that the agent uses hindsight, and what of it was not taken.

    An agent acts without its buffer: one that is no plain record is left alone, as if the zip told of none.
    """
    try:
        held, arguments = (_decode(data, name, where) for name in hindsight.FIELDS)
    except (SourceError, UnsafeFileError):
        return None, []
    return hindsight.read(held, arguments, space)


def _frequency(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return how often a zip's agent was updated, which SB3 pickles as a tuple of its own, as plain data."""
    try:
        held = _decode(data, "train_freq", where)
    except (SourceError, UnsafeFileError):
        return {}
    if isinstance(held, Made) and str(held.what) == _FREQUENCY and len(held.args) == 2:
        count, unit = held.args
        if isinstance(unit, Made) and str(unit.what) == _UNIT and len(unit.args) == 1:
            return {"train_freq": [count, unit.args[0]]}
    return {}


_FREQUENCY = "stable_baselines3.common.type_aliases.TrainFreq"
_UNIT = "stable_baselines3.common.type_aliases.TrainFrequencyUnit"
_BUFFERS = ("stable_baselines3.common.buffers.", "sb3_contrib.common.")


def _stock_buffers(data: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the fields that name a buffer of SB3's own, which SB3 chooses again by itself."""
    for name in ("replay_buffer_class", "rollout_buffer_class"):
        with contextlib.suppress(SourceError, UnsafeFileError):
            held = _decode(data, name, where)
            if isinstance(held, Token) and str(held).startswith(_BUFFERS):
                yield name


def _decode(data: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a serialized field as inert records, or a plain one as it is."""
    entry = data.get(key)
    if not (isinstance(entry, dict) and ":serialized:" in entry):
        return entry
    try:
        raw = base64.b64decode(entry[":serialized:"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise SourceError(f"{where}: `{key}` is broken ({error}); save the agent again.") from error
    return inert.read(raw, where=f"{where}[{key}]")


def _space(data: Mapping[str, Any], key: str, where: str) -> spaces.Space:
    record = _decode(data, key, where)
    if record is None:
        raise SourceError(f"{where}: has no {key}; save the agent again.")
    return from_record(record, f"{where}[{key}]")


def _policy_kwargs(data: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    decoded = _decode(data, "policy_kwargs", where) or {}
    if isinstance(decoded, Made) and not decoded.args and str(decoded.what) == "collections.OrderedDict":
        decoded = decoded.items
    if not isinstance(decoded, dict):
        raise SourceError(f"{where}: its policy_kwargs are no mapping; save the agent again.")
    kwargs: dict[str, Any] = {}
    for key, value in decoded.items():
        if key in _DROPPED:
            continue  # SB3's own loader sets these anew, or forgot them.
        if not isinstance(key, str) or not key.isidentifier():
            raise SourceError(f"{where}: a policy argument without a proper name; save the agent again.")
        spot = f"{where}[policy_kwargs]"
        if isinstance(value, Token):
            kwargs[key] = vocabulary.class_name(value, key, spot)
        else:
            kwargs[key] = _plain(value, f"{spot}[{key}]", depth=0)
    arch = kwargs.get("net_arch")
    if isinstance(arch, list) and len(arch) == 1 and isinstance(arch[0], dict):
        kwargs["net_arch"] = arch[0]  # How SB3 before 1.8 wrote separate networks.
    return kwargs, []


_DROPPED = ("device", "sde_net_arch")
_MAX_DEPTH, _MAX_ITEMS = 8, 1000


def _plain(value: Any, where: str, depth: int) -> Any:
    """Return a decoded value as plain data, or refuse it."""
    if depth > _MAX_DEPTH:
        raise SourceError(f"{where}: nested deeper than any setting of a policy; refused.")
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    if isinstance(value, str) and len(value) < _MAX_ITEMS:
        return value
    if isinstance(value, (list, tuple, dict)) and len(value) > _MAX_ITEMS:
        raise SourceError(f"{where}: {len(value)} items are more than any setting of a policy has; refused.")
    if isinstance(value, (list, tuple)):
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, where, depth + 1) for key, item in value.items()}
    if numpy_records.is_numpy(value, "scalar"):
        return numpy_records.scalar(value, where)
    what = value.what if isinstance(value, Made) else value
    name = f"`{what}`" if isinstance(what, Token) else f"a {type(value).__name__}"
    raise SourceError(f"{where}: is {name}, which is no plain setting; pass trust=True to let SB3 import and run it.")


def _serialized(data: Mapping[str, Any], done: Collection[str]) -> list[tuple[str, str]]:
    """Name the pickled fields that were left alone."""
    left = [k for k, v in data.items() if isinstance(v, dict) and ":serialized:" in v and k not in done]
    return [(key[:60], "pickled, and never decoded") for key in left]


def _variables(stored: Any) -> dict[str, torch.Tensor]:
    if not isinstance(stored, Mapping):
        return {}
    found = {name: stored[name] for name in VARIABLES if isinstance(stored.get(name), torch.Tensor)}
    return tensors.state_dict(found, where="pytorch_variables.pth")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 2**53


def _versions(members: Mapping[str, bytes]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for line in members.get("system_info.txt", b"").decode(errors="replace").splitlines()[:40]:
        if match := _SYSTEM_LINE.match(line.strip()):
            versions[match[1].lower()] = match[2].strip()
    written = members.get("_stable_baselines3_version", b"").decode(errors="replace").strip()
    if _VERSION.fullmatch(written):
        versions["stable-baselines3"] = written
    return versions


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
