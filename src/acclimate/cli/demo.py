"""``acclimate demo``: the main job on an agent that comes with the package."""

from __future__ import annotations

from pathlib import Path

import click

from acclimate.cli.group import Command

SHIFT = "gravity=1.2"
STEPS = 50_000


@click.command(cls=Command, short_help="Adapt a shipped agent to a changed world.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="runs/demo", show_default=True
)
@click.pass_context
def demo(context: click.Context, out: Path) -> None:
    """Adapt a shipped agent to a changed world and write its report, in a few minutes."""
