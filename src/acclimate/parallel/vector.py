"""Environments on several cores: some are stepped here, the others in forked processes at the same time.

What an environment does depends on its own seed and actions alone, so the numbers are those of SB3's `DummyVecEnv`.
SB3's `SubprocVecEnv` has a process and two messages for each environment; here a process steps its share of them one
after another, and this one works too instead of waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from acclimate.errors import TaskError
from acclimate.parallel.fork import fork
from acclimate.parallel.serial import step
from acclimate.parallel.worker import Makers, call, hear, serve, unpacked

Array = NDArray[Any]


class ForkedVecEnv(VecEnv):
    """A vector of environments, in shares that are stepped at the same time."""

    def __init__(self, makers: Makers, processes: int) -> None:
        """Fork, and make each environment where it is stepped.

        Args:
            makers: one for each environment.
            processes: how many shares there are, this process's own included; at least 2.

        Raises:
            TaskError: if an environment cannot be made.
        """
        cuts = np.linspace(0, len(makers), processes + 1).round().astype(int)
        self._shares = [slice(int(a), int(b)) for a, b in pairwise(cuts)]
        self._own = DummyVecEnv(list(makers[self._shares[0]]))  # type: ignore[arg-type]
        self._pipes: list[Connection] = []
        self.processes: list[Any] = []
        """Those that step the other shares, as SB3's `SubprocVecEnv` has them."""
        self._actions: Array | None = None
        self._closed = False
        for share in self._shares[1:]:
            self._fork(makers[share])
        try:
            self._ask(("spaces",))
        except BaseException:
            self.close()
            raise
        super().__init__(len(makers), self._own.observation_space, self._own.action_space)

    def _fork(self, makers: Makers) -> None:
        here, there = Pipe()
        process = fork(serve, there, [here, *self._pipes], makers)
        there.close()
        self._pipes.append(here)
        self.processes.append(process)

    def _send(self, messages: Iterable[tuple[Any, ...]]) -> None:
        for pipe, message in zip(self._pipes, messages, strict=True):
            try:
                pipe.send(message)
            except OSError as error:
                raise self._lost() from error

    def _receive(self) -> list[Any]:
        """Return what each process answers; all are heard before an error of one is raised."""
        answers = [self._answer(pipe) for pipe in self._pipes]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def _answer(self, pipe: Connection) -> Any:
        try:
            return hear(pipe)
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> TaskError:
        return TaskError("a process that steps environments has died; look for its message above, or use vec_env dummy")

    def _ask(self, message: tuple[Any, ...]) -> list[Any]:
        self._send([message] * len(self._pipes))
        return self._receive()

    def step_async(self, actions: Array) -> None:
        """Let the other processes begin."""
        self._actions = actions
        self._send([("step", actions[share]) for share in self._shares[1:]])

    def step_wait(self) -> Any:
        """Step the own share, and wait for the others."""
        actions = self._actions
        if actions is None:
            raise RuntimeError("step_wait without step_async")
        try:
            own = step(self._own, actions[self._shares[0]])
        finally:
            # Heard in any case: what stays in a pipe would be taken for the next answer.
            answers = self._receive()
        parts = [((seen, paid, done, unpacked(infos)), told) for (seen, paid, done, infos), told in answers]
        for share, told in zip(self._shares, [self._own.reset_infos, *(part[1] for part in parts)], strict=True):
            if told is not None:
                self.reset_infos[share] = told
        observations, rewards, dones, infos = zip(own, *(part[0] for part in parts), strict=True)
        return _joined(observations), np.concatenate(rewards), np.concatenate(dones), list(chain(*infos))

    def reset(self) -> Any:
        """Begin episodes everywhere, by the seeds and options that were set."""
        self._send([("reset", self._seeds[share], self._options[share]) for share in self._shares[1:]])
        self._own._seeds, self._own._options = self._seeds[self._shares[0]], self._options[self._shares[0]]
        try:
            own = self._own.reset()
        finally:
            parts = self._receive()
        self.reset_infos = list(chain(self._own.reset_infos, *(part[1] for part in parts)))
        self._reset_seeds()
        self._reset_options()
        return _joined([own, *(part[0] for part in parts)])

    def close(self) -> None:
        """End the processes."""
        if self._closed:
            return
        self._closed = True
        for pipe in self._pipes:
            # One that has died already needs no word.
            try:
                pipe.send(("close",))
            except OSError:
                continue
        for process in self.processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
        for pipe in self._pipes:
            pipe.close()
        self._own.close()

    def _each(self, indices: Any, name: str, *arguments: Any) -> list[Any]:
        """Return what a method of the vectors says of some environments."""
        found: dict[int, Any] = {}
        wanted = list(self._get_indices(indices))
        for place, share in enumerate(self._shares):
            mine = [i - share.start for i in wanted if share.start <= i < share.stop]
            if not mine:
                continue
            if place == 0:
                answers = call(self._own, name, mine, arguments)
            else:
                pipe = self._pipes[place - 1]
                pipe.send(("call", name, mine, arguments))
                answers = self._answer(pipe)
                if isinstance(answers, BaseException):
                    raise answers
            found.update(zip((i + share.start for i in mine), answers, strict=True))
        return [found[i] for i in wanted]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of each environment."""
        if not hasattr(self, "num_envs"):
            # SB3's constructor asks for the render mode before it knows how many there are.
            return self._own.get_attr(attr_name)
        return self._each(indices, "get_attr", attr_name)

    def has_attr(self, attr_name: str) -> bool:
        """Tell whether each environment has an attribute; they are made alike, and not all of them can be sent here."""
        return self._own.has_attr(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of each environment."""
        self._each(indices, "set_attr", attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Return what a method of each environment says."""
        return self._each(indices, "env_method", method_name, method_args, method_kwargs)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """Tell of each environment whether it is wrapped so."""
        return self._each(indices, "env_is_wrapped", wrapper_class)

    def get_images(self) -> Sequence[Array | None]:
        """Return a picture of each environment."""
        return self.env_method("render")


def _joined(observations: Sequence[Any]) -> Any:
    first = observations[0]
    if isinstance(first, dict):
        return type(first)((key, np.concatenate([seen[key] for seen in observations])) for key in first)
    if isinstance(first, tuple):
        return tuple(np.concatenate(parts) for parts in zip(*observations, strict=True))
    return np.concatenate(observations)
