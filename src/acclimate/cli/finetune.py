"""``acclimate finetune``: adapt an agent to a changed world, and report what it brought."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acclimate.cli.group import RESUME, Command
from acclimate.cli.here import named
from acclimate.cli.options import (
    AGENT,
    TASK,
    Pair,
    load_agent,
    make_task,
    mapping,
    specs,
    stack,
)

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.planning.recipe import Recipe
    from acclimate.runs.tracking import Tracking
    from acclimate.tasks.task import Task

RECIPE = stack(
    click.option("--recipe", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Flags below override it."),
    click.option("--method", "methods", multiple=True, metavar="SPEC", help="kl:weight=0.5; see `acclimate methods`."),
    click.option("-n", "--n-timesteps", "steps", type=click.IntRange(1), help="Environment steps [100000]."),
    click.option("--seed", type=int, help="Seed of the training [0]."),
    click.option("--mode", type=click.Choice(["adapt", "continue"]), help="Adapt, or carry on the old training."),
    click.option(
        "--replay-buffer",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="With --mode continue: SB3's replay_buffer.pkl, or a checkpoint's replay.npz.",
    ),
    click.option("--hyperparams", type=Pair(), multiple=True, metavar="K:V...", help="Arguments of SB3's algorithm."),
    click.option("--n-envs", type=click.IntRange(1), help="Training environments [8 on-policy, 1 off-policy]."),
    click.option(
        "--vec-env", type=click.Choice(["auto", "dummy", "subproc"]), help="Whether they share this process [auto]."
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "sb3", "device"]),
        help="What trains: ours where it can, SB3, or (experimental) CUDA graphs [auto].",
    ),
    click.option("--eval-freq", type=click.IntRange(1), help="Environment steps between evaluations."),
    click.option("--eval-episodes", type=click.IntRange(1), help="Episodes of an evaluation while training."),
)
RUN = stack(
    click.option("--source-env", metavar="ID", help="Where forgetting is measured [the task without its shifts]."),
    click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run [a new one in runs/]."
    ),
    click.option("--resume", is_flag=True, help="Carry on the run in --out where it was stopped."),
    click.option("-P/ ", "--progress/--no-progress", default=True, help="Progress bar, on a terminal."),
)
TRACK = stack(
    click.option("--track", is_flag=True, help="Log to Weights & Biases (acclimate[track])."),
    click.option("--wandb-project-name", metavar="NAME", default="acclimate", show_default=True),
    click.option("--wandb-entity", metavar="NAME", help="Team or user."),
)


# After a backspace click leaves a paragraph's lines as they are.
EXAMPLE = "\b\nacclimate finetune ppo-Hopper-v3.zip --shift gravity=1.5 -n 100000 --out runs/heavy"


@click.command(cls=Command, short_help="Adapt an agent to a changed world.", epilog=EXAMPLE)
@AGENT
@TASK
@RECIPE
@RUN
@TRACK
@click.pass_context
def finetune(context: click.Context, **flags: Any) -> None:
    """Fine-tune AGENT to a changed world, and report what was gained there and lost at home."""
    agent = load_agent(flags)
    task = make_task(flags, agent)
    recipe = read_recipe(flags)
    start(context, agent, task, recipe, {**flags, "out": flags["out"] or fresh_folder(agent, task, flags["resume"])})


def fresh_folder(agent: Agent, task: Task, resume: bool) -> Path:
    """Return a folder below `runs` that no run has taken yet: what was trained is never lost for want of --out.

    Raises:
        ConfigError: A run is to be resumed, but it is not said which.
    """
    from acclimate.errors import ConfigError

    if resume:
        raise ConfigError("--resume carries on the run in --out: say which folder.")
    name = f"{agent.algorithm}-{task.env}".replace("/", "-")
    return next(path for n in itertools.count(1) if not (path := Path("runs", f"{name}-{n}")).exists())


def start(context: click.Context, agent: Agent, task: Task, recipe: Recipe, flags: Mapping[str, Any]) -> None:
    """Fine-tune and print the report, ready to say after Ctrl-C how the run can be carried on."""
    from acclimate.runs.finetune import finetune as run

    out = flags.get("out")
    if out is not None:
        context.meta[RESUME] = f"The same command with --resume carries on in {out}."
    done = run(
        agent,
        task,
        recipe,
        source=source_task(flags, task),
        out=out,
        resume=flags.get("resume", False),
        progress=flags.get("progress", True),
        track=tracking(flags),
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(str(done.report))
    if done.folder is not None:
        kept = "bundle" if done.agent.methods else "agent.zip"
        click.echo(f"\n{done.folder / 'report.html'}\n{done.folder / kept}")


def source_task(flags: Mapping[str, Any], task: Task) -> Task | None:
    """Return where forgetting is measured, if --source-env says so."""
    import dataclasses

    if flags.get("source_env") is None:
        return None
    return dataclasses.replace(task, env=named(flags["source_env"]), shifts=(), env_kwargs={})


def tracking(flags: Mapping[str, Any]) -> Tracking | None:
    """Return where --track mirrors the run to."""
    from acclimate.runs.tracking import Tracking

    if not flags.get("track"):
        return None
    return Tracking(project=flags["wandb_project_name"], entity=flags["wandb_entity"])


def read_recipe(flags: Mapping[str, Any]) -> Recipe:
    """Make the recipe: the defaults, then the file, then the command line."""
    from acclimate.planning.recipe import Recipe, read_yaml

    data = read_yaml(flags["recipe"]) if flags["recipe"] else {}
    return Recipe.from_dict(overlay(data, given(flags)))


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the command line says, in the form of a recipe's file."""
    data = {
        key: flags[key] for key in ("steps", "seed", "mode", "n_envs", "vec_env", "engine") if flags[key] is not None
    }
    evaluation = {"freq": flags["eval_freq"], "episodes": flags["eval_episodes"]}
    nested = {
        "algorithm": mapping(flags["hyperparams"], "--hyperparams"),
        "evaluation": {key: value for key, value in evaluation.items() if value is not None},
        "warm_start": {"normalizer": "fresh"} if flags["normalizer"] == "fresh" else {},
    }
    if flags["replay_buffer"] is not None:
        nested["warm_start"]["replay_buffer"] = flags["replay_buffer"]
    data.update({key: value for key, value in nested.items() if value})
    if flags["methods"]:
        data["methods"] = specs(flags["methods"])
    if click.get_current_context().get_parameter_source("device") is not click.core.ParameterSource.DEFAULT:
        data["device"] = flags["device"]
    return data


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two recipes' data; mappings are merged key by key, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = overlay(under, value)
        result[key] = value
    return result
