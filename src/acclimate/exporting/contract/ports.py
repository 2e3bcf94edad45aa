"""What goes into an exported policy and what comes out: types, shapes, and names as rsl_rl and Isaac Lab have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gymnasium import spaces

from acclimate.errors import MisfitError
from acclimate.shifts.masks import choices

BATCH = "batch"
"""Stands in a shape for any number of rows."""
OBSERVATION, ACTION = "obs", "actions"
HIDDEN, CELL, STARTS, MASKS = "h_in", "c_in", "episode_start", "action_masks"
HIDDEN_OUT, CELL_OUT = "h_out", "c_out"
GUARD, GUARD_OUT, OTHER = "guard_in", "guard_out", "other"
FLAGS, SCORES, FALLBACK, MENDED = "flags", "scores", "fallback", "mended"


@dataclass(frozen=True)
class Port:
    """An input or an output."""

    name: str
    dtype: str
    """Numpy's name of it."""
    shape: tuple[int | str, ...]
    """One axis is `batch`."""

    @property
    def rows(self) -> int:
        """Which axis counts the rows."""
        return self.shape.index(BATCH)

    def sized(self, rows: int) -> tuple[int, ...]:
        """Return the shape for so many rows."""
        return tuple(rows if isinstance(size, str) else size for size in self.shape)

    def __str__(self) -> str:
        """Return it as a message names it."""
        return f"`{self.name}` {self.dtype} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Ports:
    """All inputs and outputs of a policy, in the order of its file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def observations(self) -> tuple[Port, ...]:
        """Those of the inputs that the environment shows."""
        return tuple(port for port in self.inputs if port.name.split(".")[0] == OBSERVATION)

    @property
    def remembers(self) -> bool:
        """Whether there is a state that goes from call to call."""
        return any(port.name == HIDDEN for port in self.inputs)

    @property
    def guarded(self) -> bool:
        """Whether a guard is in it, whose state goes from call to call."""
        return any(port.name == GUARD for port in self.inputs)

    @property
    def masked(self) -> bool:
        """Whether it is told which actions are allowed."""
        return any(port.name == MASKS for port in self.inputs)


def ports_of(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    turned: frozenset[str] = frozenset(),
    memory: tuple[int, int] | None = None,
    masked: bool = False,
) -> Ports:
    """Return the inputs and outputs of an agent.

    Args:
        observation_space: of the agent; a Dict has an input for each key, `obs.KEY`.
        action_space: of the agent.
        turned: inputs that come with the channels last, where the agent's space has them first.
        memory: layers and units of an LSTM.
        masked: whether masks are an input.

    Raises:
        MisfitError: A space is of a kind that SB3 does not know.
    """
    inputs = [_turned(port) if port.name in turned else port for port in _observed(observation_space)]
    outputs = [_port(ACTION, action_space)]
    if memory is not None:
        state = (memory[0], BATCH, memory[1])
        inputs += [Port(HIDDEN, "float32", state), Port(CELL, "float32", state), Port(STARTS, "bool", (BATCH,))]
        outputs += [Port(HIDDEN_OUT, "float32", state), Port(CELL_OUT, "float32", state)]
    if masked:
        inputs.append(Port(MASKS, "bool", (BATCH, choices(action_space))))
    return Ports(tuple(inputs), tuple(outputs))


def guarded_ports(policy: Ports, *, state: int, tiers: int, controlled: bool) -> Ports:
    """Return the inputs and outputs of a policy behind its guard.

    Args:
        policy: those of the policy alone.
        state: how many numbers the guard remembers.
        tiers: how many reasons it has to refuse an observation.
        controlled: whether the caller says what the fallback does.
    """
    (action,) = policy.outputs[:1]
    own = [Port(STARTS, "bool", (BATCH,))] if not policy.remembers else []
    own += [Port(GUARD, "float32", (BATCH, state))]
    own += [Port(OTHER, action.dtype, action.shape)] if controlled else []
    told = [Port(FLAGS, "bool", (BATCH, tiers)), Port(SCORES, "float32", (BATCH, tiers))]
    told += [Port(name, "bool", (BATCH,)) for name in (FALLBACK, MENDED)]
    return Ports((*policy.inputs, *own), (*policy.outputs, *told, Port(GUARD_OUT, "float32", (BATCH, state))))


def parts(space: spaces.Space) -> Iterator[tuple[str, spaces.Space]]:
    """Yield the name and the space of each input that the environment shows."""
    if isinstance(space, spaces.Dict):
        yield from ((f"{OBSERVATION}.{key}", part) for key, part in space.spaces.items())
    else:
        yield OBSERVATION, space


def turned(space: spaces.Space, given: Mapping[str, Port]) -> frozenset[str]:
    """Return which of the inputs that are given, by name, come with the channels last, and the space has them first."""
    images = [(name, _port(name, part)) for name, part in parts(space) if len(part.shape or ()) == 3]
    return frozenset(name for name, port in images if given.get(name) == _turned(port))


def _observed(space: spaces.Space) -> Iterator[Port]:
    return (_port(name, part) for name, part in parts(space))


def _turned(port: Port) -> Port:
    batch, channels, *rest = port.shape
    return Port(port.name, port.dtype, (batch, *rest, channels))


def _port(name: str, space: spaces.Space) -> Port:
    if space.shape is None or space.dtype is None:
        raise MisfitError(f"`{name}` is a {type(space).__name__} space, which no agent of SB3's has; save the zip")
    return Port(name, space.dtype.name, (BATCH, *space.shape))
