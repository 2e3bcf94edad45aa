"""``acclimate methods``: the fine-tuning methods, and what each of them does."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import JSON, print_json


@click.command(cls=Command, short_help="List the methods, or explain one.")
@click.argument("name", required=False)
@JSON
def methods(name: str | None, as_json: bool) -> None:
    """List the methods by family; with NAME, print one's formula, source and fields."""
    from acclimate import catalogue

    if name is None:
        found = catalogue.families()
        rows = [catalogue.brief(one) for names in found.values() for one in names]
        print_json(rows) if as_json else show_list(rows, catalogue.FAMILIES)
        return
    facts = catalogue.explain(name)
    print_json(facts) if as_json else show(facts)


def show_list(rows: list[dict[str, Any]], purposes: dict[str, str]) -> None:
    """Print a heading for each family with what it is for, and a line for each method."""
    width = max(len(row["name"]) for row in rows)
    family = None
    for row in rows:
        if row["family"] != family:
            click.echo("" if family is None else "\n", nl=False)
            family = row["family"]
            click.echo(f"{family}: {purposes[family]}" if family in purposes else family)
        click.echo(f"  {row['name']:<{width}}  {row['summary']}")
    click.echo("\n`acclimate methods NAME` explains one.")


def show(facts: dict[str, Any]) -> None:
    """Print one method with its formula, source and fields."""
    click.echo(f"{facts['name']} ({facts['family']})\n")
    click.echo(facts["about"] + "\n")
    click.echo(facts["doc"])
    for field in facts["fields"]:
        click.echo(f"\n  {field['name']} = {field['default']}")
        click.echo(textwrap.indent(textwrap.fill(field["doc"], 96), "      "))
    click.echo(f"\nputting it in leaves the function unchanged: {'yes' if facts['preserves'] else 'no'}")
    click.echo(f"ends as a stock network: {'yes' if facts['foldable'] else 'no'}")
