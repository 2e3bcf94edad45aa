"""An exported policy that acts: ONNX Runtime alone, no torch and no Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ConfigError, SpaceMismatchError, shown
from acclimate.exporting.contract.contract import Contract
from acclimate.exporting.contract.ports import BATCH, CELL, HIDDEN, MASKS, OBSERVATION, STARTS, Port
from acclimate.exporting.policy import reading
from acclimate.exporting.policy.sessions import session_of
from acclimate.tasks.task import Task

Array = NDArray[Any]
State = tuple[Array, Array]


class Policy:
    """An agent's file, asked as SB3's models are.

    Attributes:
        contract: What it expects.
    """

    def __init__(self, data: bytes, contract: Contract) -> None:
        """Run what `load_policy` has looked through."""
        self.contract = contract
        self._session = session_of(data)
        self._ports = contract.ports

    def predict(
        self,
        obs: Any,
        state: State | None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
        action_masks: Array | None = None,
    ) -> tuple[Array, State | None]:
        """Return actions for raw observations, and the state of a recurrent policy.

        Args:
            obs: One observation or a batch, as the environment gives them; of a Dict space a dict.
            state: What the last call returned, for a recurrent policy.
            episode_start: Which of the batch begin an episode, (batch,).
            deterministic: The file holds nothing else.
            action_masks: Which actions are allowed, for a masked policy; all of them by default.

        Raises:
            SpaceMismatchError: The observation is none of the policy's; it names the input.
            ConfigError: An argument is one that this policy does not have.
        """
        if not deterministic:
            raise ConfigError("an exported policy holds the likeliest action alone; leave `deterministic` at True")
        feeds, single = self._observed(obs)
        rows = len(next(iter(feeds.values())))
        if self._ports.remembers:
            feeds |= self._remembered(state, episode_start, rows)
        if self._ports.masked:
            feeds[MASKS] = self._allowed(action_masks, rows)
        elif action_masks is not None:
            raise ConfigError(f"a {self.contract.algorithm} policy takes no `action_masks`; leave them out")
        out = self._session.run(None, feeds)
        actions = out[0][0] if single else out[0]
        return actions, ((out[1], out[2]) if self._ports.remembers else state)

    def check(self, task: Task) -> None:
        """Raise a `SpaceMismatchError` that names each difference, unless the task is what the policy expects."""
        self.contract.check(task, self.contract.history.source or "the policy")

    def _observed(self, obs: Any) -> tuple[dict[str, Array], bool]:
        """Return the observations by their inputs, and whether it was a single one."""
        ports = self._ports.observations
        if ports[0].name == OBSERVATION:
            given: Mapping[str, Any] = {OBSERVATION: obs}
        else:
            if not isinstance(obs, Mapping):
                raise SpaceMismatchError(f"the observation is a dict with {_names(ports)}, not a {type(obs).__name__}")
            given = {f"{OBSERVATION}.{key}": value for key, value in obs.items()}
            if given.keys() != (names := {port.name for port in ports}):
                odd = sorted(key.removeprefix(f"{OBSERVATION}.") for key in given.keys() ^ names)
                raise SpaceMismatchError(f"the observation has {_names(ports)}; missing or unknown: {', '.join(odd)}")
        rows = {port.name: _rows(np.asarray(given[port.name]), port) for port in ports}
        counts = {len(batch) for batch, _ in rows.values()}
        if len(counts) != 1:
            raise SpaceMismatchError(f"the parts of the observation have {sorted(counts)} rows; give as many of each")
        return {name: batch for name, (batch, _) in rows.items()}, all(single for _, single in rows.values())

    def _remembered(self, state: State | None, starts: Array | None, rows: int) -> dict[str, Array]:
        hidden, cell, begins = self._ports.inputs[-3:]
        if state is None:
            state = np.zeros(hidden.sized(rows), np.float32), np.zeros(cell.sized(rows), np.float32)
        begun = np.zeros(rows, bool) if starts is None else np.asarray(starts, bool).reshape(-1)
        found = {HIDDEN: np.asarray(state[0], np.float32), CELL: np.asarray(state[1], np.float32), STARTS: begun}
        for port in (hidden, cell, begins):
            if found[port.name].shape != port.sized(rows):
                raise ConfigError(f"`{port.name}` has the shape {found[port.name].shape}, not {port.sized(rows)}")
        return found

    def _allowed(self, masks: Array | None, rows: int) -> Array:
        wanted = next(port for port in self._ports.inputs if port.name == MASKS).sized(rows)
        if masks is None:
            return np.ones(wanted, bool)
        found = np.asarray(masks, bool)
        if found.size != np.prod(wanted):
            raise ConfigError(f"`{MASKS}` has the shape {found.shape}, not {wanted}")
        return found.reshape(wanted)


def load_policy(path: str | Path, *, task: Task | None = None) -> Policy:
    """Return the policy of a file that `export` wrote as ONNX.

    Args:
        path: of the file. It is not trusted: what is no arithmetic of known size is refused.
        task: in which it is to act; a file that was made for another one is refused.

    Raises:
        UnsafeFileError: It is too large, keeps weights elsewhere, or holds more than arithmetic.
        SourceError: It cannot be read, or is no policy of this library's.
        SpaceMismatchError: It was made for another task; each difference is named.
        ExportError: The extra `onnx` is not installed.
    """
    path = Path(path).expanduser()
    data, contract = reading.read(path)
    if task is not None:
        contract.check(task, path.name)
    return Policy(data, contract)


def _rows(seen: Array, port: Port) -> tuple[Array, bool]:
    """Return a batch in the type of its input, and whether it was a single observation."""
    wanted = port.shape[1:]
    single = seen.shape == wanted
    if not single and (seen.ndim != len(wanted) + 1 or seen.shape[1:] != wanted):
        raise SpaceMismatchError(
            f"`{port.name}` has the shape {seen.shape}; give ({', '.join(map(str, wanted))}), or ({BATCH}, ...) of them"
        )
    if not np.can_cast(seen.dtype, port.dtype, "same_kind") and seen.dtype.kind not in "iub":
        raise SpaceMismatchError(
            f"`{port.name}` is {seen.dtype}, and the policy reads {port.dtype}: {shown(seen.flat[0])}"
        )
    return np.ascontiguousarray(seen[None] if single else seen, dtype=port.dtype), single


def _names(ports: tuple[Port, ...]) -> str:
    return ", ".join(f"`{port.name.removeprefix(f'{OBSERVATION}.')}`" for port in ports)
