"""``acclimate watch``: a clip of an agent at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, TASK, load_agent, make_task
from acclimate.errors import TaskError


@click.command(cls=Command, short_help="Render an episode to a clip.")
@AGENT
@TASK
@click.option("--seed", default=10_000, show_default=True, help="Of the episode.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default="watch.mp4", show_default=True
)
def watch(seed: int, seconds: float, out: Path, **flags: Any) -> None:
    """Render an episode to a clip, without a screen."""
    from acclimate import clip

    agent = load_agent(flags)
    task = make_task(flags, agent)
    made = clip.record(agent, task, out, seed=seed, seconds=seconds)
    if made.path is None:
        raise TaskError(f"{task.describe()}: {made}")
    click.echo(made)
