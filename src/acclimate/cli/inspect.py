"""``acclimate inspect``: what is in an agent's file, or in a policy's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from acclimate.cli.group import Command
from acclimate.cli.here import named
from acclimate.cli.options import AGENT, JSON, WORLD, build_wrappers, load_agent, mapping, print_json

if TYPE_CHECKING:
    from acclimate.tasks.task import Task


@click.command(cls=Command, short_help="Show what is in an agent's file.")
@AGENT
@click.option("--against", metavar="ID", help="Environment that it is to act in; a mismatch is an error.")
@WORLD
@JSON
def inspect(as_json: bool, **flags: Any) -> None:
    """Show an agent's algorithm, versions, spaces, networks, normaliser and hyperparameters.

    Of a policy that was exported as ONNX its contract is shown. What could not be read from the file is listed with
    the reason.
    """
    show = _policy if flags["agent"].endswith(".onnx") else _agent
    facts, text = show(flags, _task(flags))
    print_json(facts) if as_json else click.echo(text)


def _agent(flags: dict[str, Any], task: Task | None) -> tuple[dict[str, Any], str]:
    from acclimate.agents import inspection
    from acclimate.tasks.spaces import check_spaces

    agent = load_agent(flags)
    if task is not None:
        check_spaces(agent, task)
    facts = inspection.describe(agent)
    return facts, inspection.render(facts)


def _policy(flags: dict[str, Any], task: Task | None) -> tuple[dict[str, Any], str]:
    from acclimate.config import to_dict
    from acclimate.exporting.contract.wording import render
    from acclimate.exporting.policy.policy import load_policy

    contract = load_policy(flags["agent"], task=task).contract
    return to_dict(contract), render(contract)


def _task(flags: dict[str, Any]) -> Task | None:
    """Return the task to compare with, if there is one."""
    if flags["against"] is None:
        return None
    from acclimate.tasks.task import Task

    kwargs = mapping(flags["env_kwargs"], "--env-kwargs")
    return Task(named(flags["against"]), env_kwargs=kwargs, wrappers=build_wrappers(flags["wrappers"]))
