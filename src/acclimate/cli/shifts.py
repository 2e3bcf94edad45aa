"""``acclimate shifts``: what can be changed in an environment."""

from __future__ import annotations

from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.here import named
from acclimate.cli.options import JSON, WORLD, build_wrappers, mapping, print_json


@click.command(cls=Command, short_help="List what can be changed in an environment.")
@click.argument("env", metavar="ENV")
@WORLD
@JSON
def shifts(env: str, env_kwargs: Any, wrappers: Any, as_json: bool) -> None:
    """List the shifts that an environment has, with their units."""
    import dataclasses

    from acclimate.shifts import available
    from acclimate.tasks.task import Task

    task = Task(
        named(env),
        env_kwargs=mapping(env_kwargs, "--env-kwargs"),
        wrappers=build_wrappers(wrappers),
    )
    found = [dataclasses.asdict(info) for info in available(task)]
    if as_json:
        print_json(found)
        return
    click.echo(f"{task.describe()} has these shifts:\n")
    widths = [max(len(info[key]) for info in found) for key in ("example", "unit", "current")] if found else []
    for info in found:
        columns = zip((info["example"], info["unit"], info["current"]), widths, strict=True)
        click.echo(f"  {'  '.join(text.ljust(width) for text, width in columns)}  {info['doc']}")
