"""A short film of one episode.

The episode is played here, and only its actions go to a forked process, which replays and renders them: a
graphics driver that crashes or hangs costs a clip and never the run. What tells MuJoCo and pygame to do
without a screen is set in that process, so nothing of the caller's changes. Gymnasium reads `MUJOCO_GL` when
its renderer is made, hence it counts although `mujoco` was imported long before.
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError, DivergenceError, TaskError
from acclimate.evaluation.lasting import Lasting
from acclimate.evaluation.players import AgentPlayer, isolated
from acclimate.evaluation.seeds import FINAL_SEED, check_seed
from acclimate.evaluation.slot import Slot
from acclimate.parallel.fork import can_fork, fork
from acclimate.tasks.actions import held
from acclimate.tasks.task import Task

SECONDS = 8.0
LONGEST = 3_600.0
FRAMES_PER_SECOND = 25
"""At most: an environment that is faster is filmed at a whole fraction of its own rate."""
PATIENCE = 120.0
"""Seconds after which a renderer counts as hung."""
HEADLESS = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "MUJOCO_GL": "egl"}
"""What is set for the child on Linux, unless the caller has set it."""


@dataclass(frozen=True)
class Clip:
    """What came of filming an episode: a file, or the reason why there is none."""

    path: Path | None
    reason: str = ""

    def __str__(self) -> str:
        """Return the file's name or the reason."""
        return str(self.path) if self.path else f"no clip: {self.reason}"


def record(
    agent: Agent, task: Task, path: str | os.PathLike[str], *, seed: int = FINAL_SEED, seconds: float = SECONDS
) -> Clip:
    """Film an episode as H.264, at the speed of the environment.

    Nothing that goes wrong with rendering is raised: it is the clip's `reason`.

    Args:
        agent: Acts without sampling.
        task: Rendered as `rgb_array`.
        path: Of the `.mp4`, written whole or not at all.
        seed: Of the episode; that of `evaluate`'s first by default.
        seconds: Length of the clip at most; longer episodes are cut there.

    Raises:
        ConfigError: There is no clip of such a length, or no such seed.
    """
    if not 0 < seconds <= LONGEST:
        raise ConfigError(f"no clip of {seconds} s: give up to {LONGEST:g} s")
    return film(agent, task, path, seed=seed, seconds=seconds).end()


def film(
    agent: Agent, task: Task, path: str | os.PathLike[str], *, seed: int = FINAL_SEED, seconds: float = SECONDS
) -> Filming:
    """Begin a film, of which `end` returns what `record` does; several may be under way at the same time."""
    path, seed = Path(path), check_seed(seed, "seed")
    if not can_fork():
        return Filming(path, reason="rendering needs a process of its own, which cannot be forked here")
    try:
        return Filming(path, task=task, actions=_play(agent, task, seed, seconds), seed=seed)
    except (TaskError, DivergenceError) as error:
        return Filming(path, reason=str(error))


class Filming:
    """A film that a forked process makes."""

    def __init__(
        self, path: Path, *, reason: str = "", task: Task | None = None, actions: Sequence[Any] = (), seed: int = 0
    ) -> None:
        """Begin to film, if there is no reason not to."""
        self._path, self._reason = path, reason
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.mp4")
        self._said = self._child = None
        if task is None:
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        # A child that waits for a lock of one of this process's threads is killed.
        self._child = fork(_child, task, actions, seed, self._temporary, self._said.fileno())
        self._until = time.monotonic() + PATIENCE

    def end(self) -> Clip:
        """Wait for the film."""
        try:
            reason = self._reason or self._waited()
            if reason:
                return Clip(None, reason)
            os.replace(self._temporary, self._path)
        except OSError as error:
            return Clip(None, f"cannot write {self._path} ({error.strerror})")
        finally:
            self._temporary.unlink(missing_ok=True)
        return Clip(self._path)

    def _waited(self) -> str:
        """Return an empty text, or the reason why there is no film."""
        child, file = self._child, self._said
        if child is None or file is None:
            return ""
        with file as said:
            child.join(max(0.0, self._until - time.monotonic()))
            if child.is_alive():
                child.kill()
                child.join()
                return f"rendering took more than {PATIENCE:.0f} s"
            if child.exitcode == 0:
                return ""
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
        if child.exitcode is not None and child.exitcode < 0:
            return f"the renderer was stopped by signal {-child.exitcode}"
        # An exception that nobody caught ends its trace with `Kind: message`.
        return next(
            (line.strip() for line in reversed(lines) if line.strip()),
            f"the renderer ended with {child.exitcode}",
        )


def _play(agent: Agent, task: Task, seed: int, seconds: float) -> list[Any]:
    """Return the actions of the episode, as many as the clip can show."""
    actions: list[Any] = []
    slot = Slot(task, Lasting(task))
    env = slot.env
    try:
        if "rgb_array" not in env.metadata.get("render_modes", ()):
            raise TaskError(f"{task.describe()} renders no `rgb_array`; give the environment that render mode")
        limit = round(seconds * _rate(env))
        slot.begin(seed)
        with isolated(agent, seed):
            player, ended = AgentPlayer(agent, deterministic=True), False
            player.begin(0, seed)
            while not ended and len(actions) < limit:
                action = player.act([slot.observation], np.array([slot.started]), [slot.mask])[0]
                actions.append(held(env.action_space, action))
                ended = slot.step(action)
    finally:
        env.close()
    return actions


def _child(task: Task, actions: Sequence[Any], seed: int, path: Path, said: int) -> None:
    """Replay and film; whatever is raised ends the child and is read from its last words."""
    os.dup2(said, 1)
    os.dup2(said, 2)
    # The caller may have replaced the text streams (a test runner does): the last words must reach the file.
    sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
    faulthandler.disable()  # a crash here is a reason to report, not a dump on the caller's screen
    warnings.simplefilter("ignore")
    for name, value in HEADLESS.items() if sys.platform == "linux" else ():
        os.environ.setdefault(name, value)
    env = task.make(render_mode="rgb_array")
    _lighten(env)
    rate = _rate(env)
    skip = max(1, -(-round(rate) // FRAMES_PER_SECOND))
    frames = _frames(env, actions, seed, skip)
    first = next(frames)
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2  # chroma is halved: sides must be even
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=rate / skip,
        codec="libx264",
        macro_block_size=1,
        ffmpeg_log_level="error",
        output_params=["-crf", "28", "-preset", "fast", "-movflags", "+faststart"],
    )
    writer.send(None)
    writer.send(np.ascontiguousarray(first[:height, :width]))
    for frame in frames:
        writer.send(np.ascontiguousarray(frame[:height, :width]))
    writer.close()


def _frames(env: Any, actions: Sequence[Any], seed: int, skip: int) -> Iterator[NDArray[np.uint8]]:
    env.reset(seed=seed)
    yield _picture(env)
    for step, action in enumerate(actions, start=1):
        _, _, terminated, truncated, _ = env.step(action)
        if (terminated or truncated) and step < len(actions):
            env.reset()  # a life is lost, and the game goes on
        if step % skip == 0 or step == len(actions):
            yield _picture(env)


def _picture(env: Any) -> NDArray[np.uint8]:
    picture = env.render()
    if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3):
        raise TaskError("the environment's `rgb_array` is no picture of (height, width, 3); mend its `render`")
    return picture.astype(np.uint8, copy=False)


def _lighten(env: Any) -> None:
    """Draw MuJoCo's shadows coarsely: without a graphics card they are half the cost of a frame."""
    quality = getattr(getattr(getattr(env.unwrapped, "model", None), "vis", None), "quality", None)
    if hasattr(quality, "shadowsize"):
        quality.shadowsize = min(quality.shadowsize, 512)


def _rate(env: Any) -> float:
    return float(env.metadata.get("render_fps") or 30)
