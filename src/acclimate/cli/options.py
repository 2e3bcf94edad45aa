"""The flags that several commands share, named as rl_zoo3 names them, and what they are turned into."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from acclimate.cli.here import named, see_modules
from acclimate.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.registry import Registry
    from acclimate.tasks.task import Task
    from acclimate.tasks.wrappers import Wrapper

PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""`module:Class`; a registered name with its fields has an equals sign."""


class Pair(click.ParamType):
    """``key:value`` with the value read as a YAML scalar, never evaluated."""

    name = "key:value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Return the key and the value."""
        from acclimate.config import parse_scalar

        key, colon, text = value.partition(":")
        if not (colon and key.isidentifier()):
            self.fail(f"{value!r} is not `key:value`, such as `continuous:true`.", param, ctx)
        return key, parse_scalar(text)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def stack(*options: Decorator) -> Decorator:
    """Compose click decorators, the first one shown first in the help."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


LOADED = stack(
    click.option(
        "--normalizer",
        default="auto",
        show_default=True,
        metavar="auto|none|fresh|PATH",
        help="Observation statistics: found beside the zip (auto), none, new ones, or a file of SB3's.",
    ),
    click.option("--trust", is_flag=True, help="Read the file with SB3's own loader, which executes code in it."),
    click.option("--spec", metavar="FILE", help="YAML: which layers of a file of weights are which."),
    click.option("--critic", metavar="PATH", help="The value network of an agent of Keras, in a file of its own."),
    click.option("--revision", metavar="REV", help="Commit, tag or branch of an hf:// agent."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ... or auto."),
)
AGENT = stack(click.argument("agent", metavar="AGENT"), LOADED)
WORLD = stack(
    click.option("--env-kwargs", type=Pair(), multiple=True, metavar="K:V...", help="Arguments of the environment."),
    click.option(
        "--wrapper", "wrappers", multiple=True, metavar="NAME", help="Such as time_feature, or your module:Class."
    ),
)
TASK = stack(
    click.option("--env", metavar="ID", help="Environment; without it the agent's own, in its current version."),
    WORLD,
    click.option(
        "--shift",
        "shifts",
        multiple=True,
        metavar="NAME=X",
        help="A change of the world, such as gravity=1.5.",
    ),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def mapping(pairs: Iterable[tuple[str, Any]], flag: str) -> dict[str, Any]:
    """Make a dictionary of ``key:value`` pairs; a key given twice is an error."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ConfigError(f"{flag}: `{key}` is given twice; give it once")
        result[key] = value
    return result


def specs(texts: Iterable[str]) -> list[Any]:
    """Turn ``name``, ``name=value`` and ``name:field=value`` into the form that a file has."""
    from acclimate.config import parse_spec

    return [{name: fields} if fields else name for name, fields in map(parse_spec, texts)]


def build(registry: Registry, texts: Iterable[str], flag: str) -> tuple[Any, ...]:
    """Make what the texts of a repeatable flag describe."""
    return tuple(registry.build(spec, flag) for spec in specs(texts))


def build_wrappers(texts: Iterable[str]) -> tuple[Wrapper, ...]:
    """Make the wrappers that --wrapper names, by their registered names or as `module:Class`."""
    from acclimate.registry import WRAPPERS
    from acclimate.tasks.own import Own

    return tuple(
        Own(named(text)) if PLACE.fullmatch(text) else build(WRAPPERS, [text], "--wrapper")[0] for text in texts
    )


def load_agent(flags: Mapping[str, Any]) -> Agent:
    """Load the agent that AGENT, --normalizer, --trust, --revision and --device name."""
    from acclimate.agents.load import load
    from acclimate.sb3.normalizer import Normalizer

    if flags["trust"]:
        see_modules()  # SB3's own loader imports the classes that the file names

    def read(normalizer: str | None) -> Agent:
        return load(
            flags["agent"],
            normalizer=normalizer,
            device=flags["device"],
            trust=flags["trust"],
            revision=flags["revision"],
            world=world_of(flags),
            spec=flags["spec"],
            critic=flags["critic"],
        )

    kind = flags["normalizer"]
    if kind != "fresh":
        return read(None if kind == "none" else kind)
    # The statistics that the agent has still serve to measure it as it was; training begins with new ones.
    try:
        agent = read("auto")
    except SourceError:
        agent = read(None)
    if agent.normalizer is None:
        agent.normalizer = Normalizer.identity(agent.observation_space)
    return agent


def world_of(flags: Mapping[str, Any]) -> Task | None:
    """Return the environment that the flags name, for a file that tells no spaces; None where they name none."""
    env = flags.get("env") or flags.get("against")
    if not env:
        return None
    from acclimate.tasks.task import Task

    kwargs = mapping(flags["env_kwargs"], "--env-kwargs")
    return Task(named(env), env_kwargs=kwargs, wrappers=build_wrappers(flags["wrappers"]))


def make_task(flags: Mapping[str, Any], agent: Agent) -> Task:
    """Make the task of the flags; what they leave out is as the agent's files say it was trained.

    Raises:
        ConfigError: if a flag is wrong, or the files say something that is not believed and no flag says instead.
    """
    from acclimate.agents.home import home
    from acclimate.registry import SHIFTS

    found = home(
        agent,
        env=named(flags["env"]) if flags["env"] else None,
        env_kwargs=mapping(flags["env_kwargs"], "--env-kwargs"),
        wrappers=build_wrappers(flags["wrappers"]),
    )
    for note in found.notes:
        click.echo(note, err=True)
    return found.task.shifted(*build(SHIFTS, flags["shifts"], "--shift"))


def load_pair(flags: Mapping[str, Any]) -> tuple[Agent, Task]:
    """Load the agent, and make its task with sensor noise in the agent's own units, as `finetune` does.

    Raises:
        SpaceMismatchError: if the agent cannot act in the task.
    """
    import numpy as np

    from acclimate.tasks.spaces import check_spaces

    agent = load_agent(flags)
    task = make_task(flags, agent)
    check_spaces(agent, task)
    if agent.normalizer is not None and isinstance(agent.normalizer.obs_var, np.ndarray):
        task = task.scaled(np.sqrt(agent.normalizer.obs_var))
    return agent, task


def print_json(value: Any) -> None:
    """Print JSON; what is no number in it (nan, infinity) becomes null."""
    click.echo(json.dumps(finite(value), indent=2, default=str))


def finite(value: Any) -> Any:
    """Replace what JSON cannot hold by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value
