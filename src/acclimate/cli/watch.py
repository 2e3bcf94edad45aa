"""``acclimate watch``: a clip of an agent at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, TASK, load_pair
from acclimate.errors import TaskError


@click.command(cls=Command, short_help="Render an episode to a clip.")
@AGENT
@TASK
@click.option("--seed", default=10_000, show_default=True, help="Of the episode.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0, min_open=True), help="At most.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="watch.mp4", show_default=True)
def watch(seed: int, seconds: float, out: Path, **flags: Any) -> None:
    """Render an episode to a clip, without a screen."""
    from acclimate.evaluation import film as clip

    agent, task = load_pair(flags)
    made = clip.record(agent, task, out, seed=seed, seconds=seconds)
    if made.path is None:
        raise TaskError(f"{task.describe()}: {made}")
    click.echo(made)
