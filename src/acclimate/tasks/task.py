"""A task: an environment with its wrappers and its declared shift."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import gymnasium as gym
import numpy as np

from acclimate.config import convert, from_dict, to_dict
from acclimate.errors import ConfigError, TaskError
from acclimate.parallel.cores import processes
from acclimate.registry import SHIFTS
from acclimate.shifts.masks import tells
from acclimate.shifts.shift import Shift, ShiftInfo
from acclimate.tasks.claims import arguments, environment_id
from acclimate.tasks.contract import Contract
from acclimate.tasks.environment import blamed, make_env, modern_id
from acclimate.tasks.identity import called
from acclimate.tasks.late import Late
from acclimate.tasks.stagger import Staggered, first_episode, time_limit
from acclimate.tasks.wrappers import Wrapper

if TYPE_CHECKING:
    # What an environment can change is told without SB3 and torch, which take longer to import than that takes.
    from stable_baselines3.common.vec_env import VecEnv


@dataclass(frozen=True)
class Task:
    """An environment with its wrappers, and its declared shift from the source task. Frozen.

    Shifts act on the environment itself, wrappers on the shifted one. Each shift is verified once, when the
    first environment is made.

    Example:
        >>> source = Task("Pendulum-v1")
        >>> from acclimate.shifts import Gravity
        >>> source.shifted(Gravity(1.5)).describe()
        'Pendulum-v1 with gravity=1.5'
    """

    env: str | Callable[..., gym.Env]
    """A Gymnasium id, or what returns an environment. An id `module:Name-v0` imports that module."""
    shifts: tuple[Shift, ...] = ()
    """Declared changes of the world, in the order in which they are applied."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Passed to the environment's constructor."""
    wrappers: tuple[Wrapper, ...] = ()
    """What the agent was trained with, innermost first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shifts", tuple(self.shifts))
        object.__setattr__(self, "wrappers", tuple(self.wrappers))
        object.__setattr__(self, "env_kwargs", dict(self.env_kwargs))

    def shifted(self, *shifts: Shift) -> Task:
        """Return the task with further shifts; factors on the same quantity multiply."""
        return replace(self, shifts=(*self.shifts, *shifts))

    @property
    def source(self) -> Task:
        """The task without its shifts."""
        return replace(self, shifts=())

    def scaled(self, deviation: Any) -> Task:
        """Return the task with its sensor noise and bias in units of these standard deviations.

        Args:
            deviation: one for each entry of the observation, such as the square root of a normaliser's variance.
                Shifts that declare a scale keep theirs.
        """
        values = np.ravel(deviation)
        for wrapper in reversed(self.wrappers):
            values = wrapper.inner(values)
        scale = tuple(float(value) for value in values)
        unscaled = (hasattr(shift, "scale") and shift.scale is None for shift in self.shifts)
        shifts = (
            replace(shift, scale=scale) if open_ else shift for shift, open_ in zip(self.shifts, unscaled, strict=True)
        )
        return replace(self, shifts=tuple(shifts))

    def make(self, *, render_mode: str | None = None) -> gym.Env:
        """Make one environment: constructor arguments, shifts, wrappers.

        Raises:
            TaskError: if there is no such environment, or a shift is none of it or does not take effect.
        """
        shifts = self._effective
        env = self._bare(render_mode)
        for shift in shifts:
            env = shift.apply(env)
        return self._wrap(env)

    def vector(
        self,
        n: int,
        *,
        seed: int,
        kind: Literal["auto", "dummy", "subproc"] = "dummy",
        monitor: str | os.PathLike[str] | None = None,
        stagger: bool = False,
        late: bool = False,
    ) -> VecEnv:
        """Make a vector of environments for Stable-Baselines3, each in a Monitor, without a normaliser.

        Args:
            n: how many.
            seed: environment i is first reset with `seed + i`, its action space seeded alike.
            kind: stepped one after another, each in a process of its own, or in as many processes as a short
                measurement finds best; the numbers are the same.
            monitor: folder for `<i>.monitor.csv`, None for none.
            stagger: cut the first episodes at different times, where there is a time limit.
            late: open a single environment when it is first reset, and let it rest, as no two of them may be open.

        Raises:
            TaskError: as `make` does.
            ConfigError: if `n` is below 1 or the folder cannot be written.
        """
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

        from acclimate.parallel.vector import ForkedVecEnv

        if n < 1:
            raise ConfigError(f"a vector of {n} environments is empty; ask for at least 1")
        if monitor is not None:
            try:
                Path(monitor).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"cannot write {monitor} ({error.strerror}); choose another folder") from error
        _ = self._effective  # verified here once, and not in every process
        files = [None if monitor is None else str(Path(monitor) / str(i)) for i in range(n)]
        makers = [_Maker(self, seed + i, files[i], (i, n) if stagger else None, late=late and n == 1) for i in range(n)]
        if kind == "auto" and (shares := processes(self.make, n)) > 1:
            venv: VecEnv = ForkedVecEnv(makers, shares)
        else:
            venv = (SubprocVecEnv if kind == "subproc" else DummyVecEnv)(makers)  # type: ignore[arg-type]
        venv.seed(seed)
        return venv

    @cached_property
    def _looked(self) -> tuple[gym.Space, gym.Space, bool]:
        env = self.make()
        try:
            return env.observation_space, env.action_space, tells(env)
        finally:
            env.close()

    @property
    def observation_space(self) -> gym.Space:
        """The space of raw observations."""
        return self._looked[0]

    @property
    def action_space(self) -> gym.Space:
        """The space of actions."""
        return self._looked[1]

    @property
    def masks(self) -> bool:
        """Whether its environments tell by `action_masks()` which actions they allow."""
        return self._looked[2]

    def describe(self) -> str:
        """Name the task in a few words."""
        name = self.env if isinstance(self.env, str) else called(self.env)
        return f"{name} with {', '.join(shift.brief() for shift in self.shifts)}" if self.shifts else name

    def offers(self) -> list[ShiftInfo]:
        """List the shifts that the environment has; see `shifts.available`."""
        bare = self.source
        return [info for name in SHIFTS if (info := bare._offer(SHIFTS.get(name))) is not None]

    def to_config(self) -> str | dict[str, Any]:
        """Write the task as `from_config` reads it: only the id where there is nothing else.

        Raises:
            ConfigError: if the environment is a callable.
        """
        if not isinstance(self.env, str):
            raise ConfigError(
                f"the environment of the task `{self.describe()}` is a callable, which no file can hold; "
                "register it with Gymnasium and use its id"
            )
        fields = {name: value for name, value in to_dict(self).items() if value}
        return self.env if len(fields) == 1 else fields

    @classmethod
    def from_config(cls, value: Any, path: str = "task", *, trust: bool = False) -> Self:
        """Make a task from its configuration: an id, or a mapping of the fields.

        Args:
            value: what stands in the file.
            path: where it stands, for errors.
            trust: whether an id or an argument with a module part, which imports code, may be used.

        Raises:
            ConfigError: if a field cannot be used.
        """
        if isinstance(value, cls):
            return value
        fields = {"env": value} if isinstance(value, str) else dict(convert(Mapping[str, Any], value, path))
        if not trust:
            checks = {"env": environment_id, "env_kwargs": arguments}
            fields |= {name: check(fields[name], f"{path}.{name}") for name, check in checks.items() if name in fields}
        return from_dict(cls, fields, path=path)

    modern_id = staticmethod(modern_id)

    @cached_property
    def _effective(self) -> tuple[Shift, ...]:
        """The shifts with all that they need to know of the unshifted environment, each verified."""
        done: list[Shift] = []
        for declared in self.shifts:
            with contextlib.ExitStack() as opened:
                before = self._open(opened, done)
                if reason := declared.missing(before):
                    raise TaskError(self._without(declared, reason))
                with blamed(self.describe()):
                    shift = declared.prepare(lambda: self._bare(None))
                    env = self._open(opened, [*done, shift])
                    shift.verify(self._wrap(env), self._wrap(before))
            done.append(shift)
        return tuple(done)

    def _without(self, shift: Shift, reason: str) -> str:
        has = ", ".join(info.name for info in self.offers())
        return f"{self.source.describe()} cannot have the shift `{shift.brief()}`: {reason}. It has: {has}"

    def _offer(self, kind: type[Shift]) -> ShiftInfo | None:
        with contextlib.ExitStack() as opened:
            env = self._open(opened, [])
            sample = kind.sample(env)
            if sample.missing(env):
                return None
            doc, current = inspect.getdoc(kind) or "", sample.current(env)
        with contextlib.suppress(TaskError):
            _ = self.shifted(sample)._effective
            return ShiftInfo(kind.name, doc.splitlines()[0], kind.unit, current, str(sample))
        return None

    def _open(self, opened: contextlib.ExitStack, shifts: list[Shift]) -> gym.Env:
        """Make an environment with these shifts and without the wrappers, to be closed with `opened`."""
        env = self._bare(None)
        opened.callback(env.close)
        for shift in shifts:
            env = shift.apply(env)
        return env

    def _bare(self, render_mode: str | None) -> gym.Env:
        return make_env(self.env, self.env_kwargs, render_mode=render_mode, name=self.source.describe())

    def _wrap(self, env: gym.Env) -> gym.Env:
        for wrapper in self.wrappers:
            env = wrapper.apply(env)
        return env


@dataclass(frozen=True)
class _Maker:
    """Makes one environment of a vector; a subprocess gets it by pickle."""

    task: Task
    seed: int
    monitor: str | None
    place: tuple[int, int] | None
    """Which of how many environments that are to be out of step."""
    late: bool
    """Whether it is opened when it is first reset."""

    def __call__(self) -> gym.Env:
        from stable_baselines3.common.monitor import Monitor

        task = self.task
        env: gym.Env = Late(task.make, task.observation_space, task.action_space) if self.late else task.make()
        env = Contract(env, task.describe())
        if self.place is not None:
            cut = first_episode(*self.place, time_limit(env))
            env = env if cut is None else Staggered(env, cut)
        env = Monitor(env, filename=self.monitor)
        env.action_space.seed(self.seed)
        return env
