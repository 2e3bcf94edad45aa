"""``acclimate inspect``: what is in an agent's file."""

from __future__ import annotations

from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, JSON, load_agent, print_json


@click.command(cls=Command, short_help="Show what is in an agent's file.")
@AGENT
@JSON
def inspect(as_json: bool, **flags: Any) -> None:
    """Show an agent's algorithm, versions, spaces, networks, normaliser and hyperparameters.

    What could not be read from the file is listed with the reason.
    """
    from acclimate.agents import inspection

    facts = inspection.describe(load_agent(flags))
    print_json(facts) if as_json else click.echo(inspection.render(facts))
