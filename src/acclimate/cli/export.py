"""``acclimate export``: an agent as a file that others run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, TASK, load_agent, make_task
from acclimate.errors import AcclimateError

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.tasks.task import Task


@click.command(cls=Command, short_help="Write an agent as a file that others run.")
@AGENT
@click.option(
    "--to", type=click.Choice(["onnx", "safetensors", "sb3", "keras", "hub"]), default="onnx", show_default=True
)
@click.option("--out", required=True, type=click.Path(), metavar="PATH", help="The file; of hub, the folder.")
@click.option(
    "--like", metavar="FILE", help="The model of Keras whose structure `keras` writes: the policy, or its value."
)
@click.option("--guard", metavar="FILE", help="Of `acclimate guard fit`; part of the graph then.")
@click.option(
    "--other", metavar="AGENT", help="What acts where the guard's fallback is `other` [an input of the graph]."
)
@click.option("--channels", type=click.Choice(["last", "first"]), default="last", show_default=True, help="Of images.")
@click.option("--license", metavar="NAME", help="Of the model, such as apache-2.0; hub needs it.")
@TASK
def export(
    to: str,
    out: str,
    like: str | None,
    guard: str | None,
    other: str | None,
    channels: str,
    license: str | None,
    **flags: Any,
) -> None:
    """Write an agent as one ONNX graph, as weights, as a zip, or as a folder for the Hugging Face Hub.

    The graph takes raw observations and gives actions as the environment takes them, and is held to the agent before
    it is written. What it expects is in it, and beside it as contract.json.
    """
    from acclimate.exporting.export import export as write

    agent = load_agent(flags)
    task = None if to in ("sb3", "keras") else _task(flags, agent)
    path = write(
        agent,
        out,
        to=to,  # type: ignore[arg-type]
        task=task,
        guard=guard,
        other=other,
        channels_last=channels == "last",
        license=license,
        like=like,
    )
    click.echo(f"written: {path}")


def _task(flags: dict[str, Any], agent: Agent) -> Task | None:
    """Return the task of the flags, else that of the run that tuned the agent, or its own, if it can be made here."""
    from acclimate.exporting.contract.run import tuning_of
    from acclimate.tasks.spaces import check_spaces

    asked = any(flags[name] for name in ("env", "env_kwargs", "wrappers", "shifts"))
    try:
        run = None if asked else tuning_of(agent)
        task = make_task(flags, agent) if run is None else run.task()
        if task is not None:
            check_spaces(agent, task)
            return task
        reason = "the run's was made by code, which no file holds; name it by --env"
    except AcclimateError as error:
        if asked:
            raise
        reason = str(error)
    click.echo(f"no environment is asked, and observations are drawn: {reason}", err=True)
    return None
