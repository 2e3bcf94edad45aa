"""What an exported policy expects and does, as data: it travels in the file and beside it, and is checked there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gymnasium import spaces

from acclimate.config import from_dict, to_dict
from acclimate.errors import ConfigError, MisfitError, SourceError, SpaceMismatchError
from acclimate.exporting.contract.ports import GUARD, HIDDEN, MASKS, Port, Ports, guarded_ports, ports_of, turned
from acclimate.exporting.contract.worlds import World, facts
from acclimate.files.plain import read_json
from acclimate.files.spaces import from_json
from acclimate.tasks.spaces import check_spaces
from acclimate.tasks.task import Task

KEY = "acclimate.contract"
"""Under which a file's metadata hold it."""
BESIDE = "contract.json"
COMPARED = ("rate_hz", "observation_names", "observation_units", "joint_names", "frames")
"""What of its world a task must not differ in, where both tell."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How an input is normalised within the file: `clip((raw - mean) / std)`."""

    input: str
    mean: tuple[float, ...] | None
    """None where there are too many to list, as of an image."""
    std: tuple[float, ...] | None
    clip: float | None


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How closely the file does what the agent does that it was made of."""

    batches: tuple[int, ...]
    observations: Mapping[str, int]
    """How many of each kind: `drawn` from the space, `seen` in the task."""
    largest_error: float
    """Of continuous actions, as a share of half the width of their bounds; of states in their own units."""
    tolerance: float
    rounded: int
    """Actions that differ by more, where the agent's own move as far with the last bits of what its network reads."""
    ties: int
    """Choices that rounding decided otherwise, between options of equal worth."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Where the agent came from."""

    source: str | None
    """Name of its file."""
    sha256: str | None
    revision: str | None
    env_id: str | None
    """The environment of its training."""
    steps: int
    """Environment steps that it was trained for."""
    methods: tuple[Any, ...] = ()
    """Those of its fine-tuning that stay in its networks."""
    run: Mapping[str, Any] | None = None
    """The run that tuned it: what of its report tells what was done."""


@dataclass(frozen=True, kw_only=True)
class Reasoned:
    """A reason for which the guard in the file refuses an observation, in the order of its flags and scores."""

    name: str
    code: int
    """A bit, the same in every file."""
    limit: float
    """A score above it raises the flag."""
    raised: int
    """How often it was, by file and agent alike, when the file was held to the agent."""


@dataclass(frozen=True, kw_only=True)
class Guarding:
    """The guard in the file. Its state is `guard_in` and `guard_out`; zeros and `episode_start` begin it."""

    reasons: tuple[Reasoned, ...]
    fallback: str
    """What acts where it refuses for long: `hold` the last action, the `safe` one, or `other`."""
    other: Literal["inside", "input"] | None
    """Where the other agent is: in the file, or a controller whose actions are the input `other`."""
    safe: tuple[float, ...]
    """The safe action, flat; it also stands for the last one where an episode begins."""
    largest_step: tuple[float | None, ...] | None
    """Of an action, by number; None where it may change by any, and for a number that may."""
    enter: int
    among: int
    """So many steps of so many have to be refused before the fallback acts."""
    leave: int
    """So many clean ones in a row before the agent acts again."""
    task: str
    """Where it was calibrated."""
    episodes: int
    alarms: float
    """The share of clean episodes that may have a false alarm."""
    seed: int
    parity: Parity
    """Of the whole file with faults in what it sees, beside that of the policy on what it is shown."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """All that who runs the file has to know."""

    algorithm: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    observation_space: Mapping[str, Any]
    action_space: Mapping[str, Any]
    normalization: tuple[Scaling, ...]
    """Within the file; nothing is to be scaled outside."""
    squashed: bool
    """Whether actions are squashed and stretched to their bounds; all are clipped to them, within the file."""
    world: World | None
    """What its task tells, where it was asked."""
    history: History
    versions: Mapping[str, str]
    parity: Parity | None = None
    """None for a file of weights alone."""
    guard: Guarding | None = None
    format: Literal["acclimate-policy"] = "acclimate-policy"
    version: Literal[1] = 1
    deterministic: Literal[True] = field(default=True)
    """It holds the likeliest action alone."""

    @property
    def ports(self) -> Ports:
        """The inputs and outputs."""
        return Ports(self.inputs, self.outputs)

    def spaces(self) -> Spaces:
        """Return the spaces of the agent.

        Raises:
            SourceError: They are broken.
        """
        return Spaces(from_json(self.observation_space, "observation_space"), from_json(self.action_space, "action"))

    def check(self, task: Task, where: str) -> None:
        """Compare it with a task.

        Args:
            task: in which the file is to act.
            where: what it is called in an error.

        Raises:
            SpaceMismatchError: They differ; it names each difference.
        """
        try:
            check_spaces(self.spaces(), task)
        except SpaceMismatchError as error:
            raise SpaceMismatchError(f"{where}: {error}") from error
        found = list(self._differences(facts(task)))
        if found:
            raise SpaceMismatchError(f"{where}: {task.describe()}: {'; '.join(found)}. Export it for this task (--env)")

    def _meant(self) -> Ports:
        """Return the inputs and outputs of such a policy, in which only sizes of memories and states are taken as told.

        Raises:
            SourceError: The spaces are broken.
            MisfitError: They are of a kind that no policy has.
            ValueError: A memory or a state has no size.
        """
        given, space = {port.name: port for port in self.inputs}, self.spaces()
        memory = None
        if HIDDEN in given:
            layers, units = _sizes(given[HIDDEN])
            memory = layers, units
        seen, done = space.observation_space, space.action_space
        ports = ports_of(seen, done, turned=turned(seen, given), memory=memory, masked=MASKS in given)
        if self.guard is None or GUARD not in given:
            return ports
        (state,) = _sizes(given[GUARD])
        controlled = self.guard.other == "input"
        return guarded_ports(ports, state=state, tiers=len(self.guard.reasons), controlled=controlled)

    def _differences(self, now: World) -> Iterator[str]:
        for name in () if self.world is None else COMPARED:
            ours, theirs = getattr(self.world, name), getattr(now, name)
            if ours is not None and theirs is not None and ours != theirs:
                yield f"`{name}`: the file expects {_words(ours)}, the environment gives {_words(theirs)}"

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(to_dict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Contract:
        """Read what `to_json` wrote.

        Raises:
            SourceError: It is broken.
        """
        try:
            found = from_dict(cls, read_json(text), path="contract")
            if found.ports != found._meant():
                raise ConfigError("its inputs and outputs are not those of its spaces and its guard")
        except (ConfigError, MisfitError, ValueError, SourceError) as error:
            raise SourceError(
                f"{where}: its contract is broken ({str(error)[:200]}); export the agent again"
            ) from error
        return found


@dataclass(frozen=True)
class Spaces:
    """The spaces of a file, as those of an agent are compared with a task's."""

    observation_space: spaces.Space
    action_space: spaces.Space


def _sizes(port: Port) -> list[int]:
    """Return the sizes of all axes but that of rows."""
    return [size for size in port.shape if isinstance(size, int)]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
