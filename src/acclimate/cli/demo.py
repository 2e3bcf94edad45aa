"""``acclimate demo``: the main job on an agent that comes with the package."""

from __future__ import annotations

from pathlib import Path

import click

from acclimate.cli.finetune import start
from acclimate.cli.group import Command

AGENT, ENV, SHIFT, STEPS = "ppo-LunarLander-v3", "LunarLander-v3", "main_engine=0.7", 150_000


@click.command(cls=Command, short_help="Adapt a shipped agent to a changed world.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="runs/demo", show_default=True)
@click.option("-n", "--n-timesteps", "steps", type=click.IntRange(1), default=STEPS, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training.")
@click.option("--resume", is_flag=True, help="Carry on where the demo was stopped.")
@click.pass_context
def demo(context: click.Context, out: Path, steps: int, seed: int, resume: bool) -> None:
    """Teach a lander that lost almost a third of its main engine's power to land again.

    The agent comes with the package; it landed well before. In a few minutes it is fine-tuned, judged on
    episodes that the training never saw, and reported on in OUT/report.html.
    """
    from acclimate import shifts
    from acclimate.agents import shipped
    from acclimate.agents.load import load
    from acclimate.planning.recipe import Recipe
    from acclimate.tasks.task import Task

    task = Task(ENV, shifts=(shifts.parse(SHIFT),))
    click.echo(f"{AGENT}, trained in {ENV}; now {task.describe()}\n", err=True)
    recipe = Recipe(steps=steps, seed=seed)
    start(context, load(shipped.path(AGENT)), task, recipe, {"out": out, "resume": resume})
