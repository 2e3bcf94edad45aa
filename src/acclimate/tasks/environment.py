"""Making a Gymnasium environment, with every way to fail said in one line."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import parse_env_id

from acclimate.errors import AcclimateError, TaskError

MAX_WORDS = 400
"""Characters of another library's error that are shown."""
_PACKAGES = {"ALE": "ale_py", "MinAtar": "minatar"}
"""Namespaces of ids whose package registers them only once it is imported; Atari's old ids have no namespace."""


_SAID = (gym.error.Error, ImportError, TypeError, ValueError, AssertionError, OSError)
"""What Gymnasium and the constructors of environments raise where an id or an argument is wrong."""


def make_env(
    env: str | Callable[..., gym.Env],
    kwargs: Mapping[str, Any],
    *,
    render_mode: str | None = None,
    name: str,
) -> gym.Env:
    """Make an environment from a Gymnasium id, or by calling what returns one.

    Args:
        env: the id, or the callable. An id `module:Name-v0` imports that module.
        kwargs: for the constructor.
        render_mode: as Gymnasium has it; None leaves the argument out.
        name: for errors.

    Raises:
        TaskError: if it cannot be made.
    """
    arguments = dict(kwargs) if render_mode is None else {**kwargs, "render_mode": render_mode}
    if not isinstance(env, str):
        with blamed(name):
            return env(**arguments)
    with contextlib.suppress(gym.error.Error, ImportError):
        if ":" not in env and env not in gym.registry and (package := _PACKAGES.get(parse_env_id(env)[0] or "ALE")):
            importlib.import_module(package)
    try:
        with _without_model_warnings(env), blamed(name, passing=_SAID):
            return gym.make(env, **arguments)
    except _SAID as error:
        raise TaskError(f"cannot make the environment {name}: {_line(error)}{_modern(env)}") from error


def modern_id(env_id: str) -> tuple[str, str]:
    """Map an id that Gymnasium no longer makes to the newest version that it has.

    Returns:
        The id, and a note that says what was mapped; the same id and an empty note where there is nothing to
        map.

    Example:
        >>> modern_id("LunarLander-v2")[0], modern_id("CartPole-v1")
        ('LunarLander-v3', ('CartPole-v1', ''))
    """
    try:
        namespace, name, version = parse_env_id(env_id)
    except gym.error.Error:
        return env_id, ""
    specs = [spec for spec in gym.registry.values() if (spec.namespace, spec.name) == (namespace, name)]
    newest = max(specs, key=lambda spec: spec.version or 0, default=None)
    if newest is None or newest.id == env_id or not (env_id not in gym.registry or _moved(env_id, version)):
        return env_id, ""
    if version is not None and version > (newest.version or 0):
        return env_id, ""
    return (
        newest.id,
        f"{env_id} is no longer made by Gymnasium: using {newest.id}, whose physics may differ a little",
    )


def _moved(env_id: str, version: int | None) -> bool:
    """Whether it is one of MuJoCo's up to v3, which are registered only to say that they have moved."""
    return "mujoco" in str(gym.spec(env_id).entry_point) and version is not None and version < 4


def _modern(env_id: str) -> str:
    newest, note = modern_id(env_id)
    return f" Use {newest}." if note else ""


def blamed(name: str, passing: tuple[type[Exception], ...] = ()) -> Blame:
    """Turn whatever an environment raises into a TaskError that names it; our own errors and `passing` do not."""
    return Blame(lambda said: TaskError(f"the environment {name} {said}; mend it or its arguments"), passing)


class Blame(contextlib.AbstractContextManager[None]):
    """Turns what is raised in it into an error of ours, but for our own errors and those that pass."""

    def __init__(self, fault: Callable[[str], AcclimateError], passing: tuple[type[Exception], ...] = ()) -> None:
        """Hold what makes an error of the words that say what was raised."""
        self._fault, self._passing = fault, (AcclimateError, *passing)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the error."""
        if isinstance(error, Exception) and not isinstance(error, self._passing):
            raise self._fault(f"raised {type(error).__name__}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """Put an exception's words on one line."""
    words = " ".join(str(error).split())
    return words[:MAX_WORDS] or "no message"


@contextlib.contextmanager
def _without_model_warnings(env_id: str) -> Iterator[None]:
    """Keep MuJoCo from warning of Gymnasium's own models, on stderr and in a log file in this folder."""
    spec = gym.registry.get(env_id)
    if spec is None or "mujoco" not in str(spec.entry_point):
        yield
        return
    try:
        import mujoco
    except ImportError:
        yield  # making the environment will say it better
        return
    earlier = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(earlier)
