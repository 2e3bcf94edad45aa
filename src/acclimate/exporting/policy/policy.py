"""An exported policy that acts: ONNX Runtime alone, no torch and no Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ConfigError, SpaceMismatchError, shown
from acclimate.exporting.contract.contract import Contract
from acclimate.exporting.contract.ports import (
    ACTION,
    BATCH,
    CELL,
    CELL_OUT,
    FALLBACK,
    FLAGS,
    GUARD,
    GUARD_OUT,
    HIDDEN,
    HIDDEN_OUT,
    MASKS,
    MENDED,
    OBSERVATION,
    OTHER,
    SCORES,
    STARTS,
    Port,
)  # fmt: skip
from acclimate.exporting.policy import reading
from acclimate.exporting.policy.sessions import session_of
from acclimate.tasks.task import Task

Array = NDArray[Any]
State = tuple[Array, ...]
"""What goes from call to call, each with an axis of rows: hidden and cell state of an LSTM, and the guard's numbers."""
_CARRIED = {HIDDEN: HIDDEN_OUT, CELL: CELL_OUT, GUARD: GUARD_OUT}


class Decided(NamedTuple):
    """What a policy does and, behind a guard, why; a row for each observation of a batch."""

    actions: Array
    state: State | None
    """For the next call; None where nothing is remembered."""
    flags: NDArray[np.bool_] | None = None
    """(rows, reasons), raised by what was seen; the contract names the reasons. None without a guard, as below."""
    scores: NDArray[np.float32] | None = None
    """(rows, reasons)."""
    fallback: NDArray[np.bool_] | None = None
    """(rows,), where the fallback acted."""
    mended: NDArray[np.bool_] | None = None
    """(rows,), where an action was not finite, out of its bounds or too fast."""


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
        """Return actions for raw observations, and the state of a policy that remembers or has a guard.

        Args:
            obs: One observation or a batch, as the environment gives them; of a Dict space a dict.
            state: What the last call returned; without it all rows begin an episode.
            episode_start: Which of the batch begin an episode, (batch,).
            deterministic: The file holds nothing else.
            action_masks: Which actions are allowed, for a masked policy; all of them by default.

        Raises:
            SpaceMismatchError: The observation is none of the policy's; it names the input.
            ConfigError: An argument is one that this policy does not have.
        """
        if not deterministic:
            raise ConfigError("an exported policy holds the likeliest action alone; leave `deterministic` at True")
        found = self.decide(obs, state, episode_start, action_masks=action_masks)
        return found.actions, found.state

    def decide(
        self,
        obs: Any,
        state: State | None = None,
        episode_start: Array | None = None,
        *,
        action_masks: Array | None = None,
        other: Array | None = None,
    ) -> Decided:
        """Return actions and what the guard says, as `predict` does.

        Args:
            obs: as `predict`.
            state: as `predict`.
            episode_start: as `predict`.
            action_masks: as `predict`.
            other: what a controller does now, for a guard whose fallback that is.

        Raises:
            SpaceMismatchError: as `predict`.
            ConfigError: as `predict`.
        """
        feeds, single = self._observed(obs)
        rows = len(next(iter(feeds.values())))
        feeds |= self._carried(state, episode_start, rows)
        for name, given, missing in ((MASKS, action_masks, True), (OTHER, other, None)):
            feeds |= self._given(name, given, missing, rows)
        out = dict(zip((port.name for port in self._ports.outputs), self._session.run(None, feeds), strict=True))
        after = tuple(out[end] for begin, end in _CARRIED.items() if begin in feeds)
        actions = out[ACTION][0] if single else out[ACTION]
        return Decided(actions, after or None, *(out.get(name) for name in (FLAGS, SCORES, FALLBACK, MENDED)))

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

    def _carried(self, state: State | None, starts: Array | None, rows: int) -> dict[str, Array]:
        """Return the state and where episodes begin, where the policy has them."""
        ports = {port.name: port for port in self._ports.inputs}
        names = [name for name in _CARRIED if name in ports]
        if not names:
            return {}
        if state is not None and len(state) != len(names):
            raise ConfigError(f"the state has {len(state)} parts, not {len(names)}; give what the last call returned")
        # Without a state there is nothing that could go on, whatever the caller says of it.
        starts = np.full(rows, state is None) if starts is None or state is None else starts
        values = [np.zeros(ports[name].sized(rows)) for name in names] if state is None else state
        found = {name: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}
        found[STARTS] = np.asarray(starts, bool).reshape(-1)
        for name, value in found.items():
            if value.shape != ports[name].sized(rows):
                raise ConfigError(f"`{name}` has the shape {value.shape}, not {ports[name].sized(rows)}")
        return found

    def _given(self, name: str, given: Array | None, missing: Any, rows: int) -> dict[str, Array]:
        """Return an input that the caller gives, `missing` where it is not there; None is none."""
        port = next((port for port in self._ports.inputs if port.name == name), None)
        if port is None:
            if given is not None:
                raise ConfigError(f"a {self.contract.algorithm} policy takes no `{name}`; leave them out")
            return {}
        wanted = port.sized(rows)
        if given is None and missing is None:
            raise ConfigError(f"this policy's guard needs `{name}`, the actions of the controller; give them")
        found = np.full(wanted, missing) if given is None else np.asarray(given)
        if found.size != np.prod(wanted):
            raise ConfigError(f"`{name}` has the shape {found.shape}, not {wanted}")
        return {name: found.reshape(wanted).astype(port.dtype)}


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
    if np.dtype(port.dtype).kind in "iu" and seen.size:  # what is beyond a whole number's range would wrap around
        room, least, most = np.iinfo(port.dtype), int(seen.min()), int(seen.max())
        if not room.min <= least <= most <= room.max:
            raise SpaceMismatchError(f"`{port.name}` is {least} to {most}, and {port.dtype} ends before")
    with np.errstate(over="ignore"):  # what is too large for 32 bits becomes infinite
        return np.ascontiguousarray(seen[None] if single else seen, dtype=port.dtype), single


def _names(ports: tuple[Port, ...]) -> str:
    return ", ".join(f"`{port.name.removeprefix(f'{OBSERVATION}.')}`" for port in ports)
