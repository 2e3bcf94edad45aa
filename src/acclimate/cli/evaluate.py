"""``acclimate evaluate``: what an agent returns on a task."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, JSON, TASK, load_pair, print_json


@click.command(cls=Command, short_help="Play seeded episodes and print the return.")
@AGENT
@TASK
@click.option("--eval-episodes", "episodes", default=50, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=10_000, show_default=True, help="Of the first episode; the others follow by one.")
@click.option("--n-envs", default=8, show_default=True, type=click.IntRange(1), help="Environments side by side.")
@click.option("--stochastic", is_flag=True, help="Sample actions instead of taking the likeliest.")
@click.option(
    "--attack",
    default=None,
    metavar="NAME=RADIUS",
    help="Show the agent the worst observations within a radius: random, fgsm, pgd, mad or critic, such as pgd=0.05.",
)
@JSON
def evaluate(
    as_json: bool, episodes: int, seed: int, n_envs: int, stochastic: bool, attack: str | None, **flags: Any
) -> None:
    """Play seeded episodes and print the mean raw return with its 95 % interval.

    Where the environment tells of success by info["is_success"], its share is printed as well.
    Episode i starts from seed + i, so that two agents are compared episode by episode.
    """
    from acclimate.evaluation.evaluate import INSIDE

    hostile = None if attack is None else _attack(attack, stochastic)
    agent, task = load_pair(flags)
    played = {"episodes": episodes, "seed": seed, "n_envs": n_envs}
    result = _played(agent, task, hostile, deterministic=not stochastic, **played)
    under = {} if hostile is None else {"attack": dataclasses.asdict(hostile)}
    facts = {
        "agent": flags["agent"],
        "task": task.describe(),
        **under,
        "deterministic": not stochastic,
        **result.summary(),
        "mean_length": float(result.lengths.mean()),
        "first_seed": seed,
        "counted_inside": result.inside,
    }
    told = {} if result.successes is None else {"successes": result.successes.tolist()}
    if as_json:
        print_json({**facts, "returns": result.returns.tolist(), "lengths": result.lengths.tolist(), **told})
        return
    low, high = facts["ci95"]
    said = "" if hostile is None else f" under {hostile.name} within {hostile.radius:g}"
    click.echo(
        f"{facts['task']}{said}: mean return {facts['mean']:.1f} [{low:.1f}, {high:.1f}], iqm {facts['iqm']:.1f}, "
        f"{episodes} episodes of {facts['mean_length']:.0f} steps, seeds {seed} to {seed + episodes - 1}"
    )
    if result.inside:
        click.echo(f"the {INSIDE}")
    if (success := result.success) is not None:
        click.echo(
            f"success in {100 * success.value:.1f} % of {success.n} episodes "
            f"[{100 * success.low:.1f}, {100 * success.high:.1f}] (Wilson's 95 % interval)"
        )


def _attack(text: str, stochastic: bool) -> Any:
    from acclimate.attacks.attack import Attack
    from acclimate.errors import ConfigError

    if stochastic:
        raise ConfigError("--attack moves the likeliest action, which is then taken; leave --stochastic out")
    return Attack.from_spec(text)


def _played(agent: Any, task: Any, hostile: Any, *, deterministic: bool, **played: int) -> Any:
    from acclimate.attacks.playing import attacked
    from acclimate.evaluation.evaluate import evaluate as play

    if hostile is not None:
        return attacked(agent, task, hostile, **played)
    return play(agent, task, deterministic=deterministic, **played)
