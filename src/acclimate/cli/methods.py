"""``acclimate methods``: the fine-tuning methods, and what each of them does."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import JSON, print_json


@click.command(cls=Command, short_help="List the methods, or explain one.")
@click.argument("name", required=False)
@JSON
def methods(name: str | None, as_json: bool) -> None:
    """List the methods; with NAME, print one's formula, source and fields."""
    from acclimate.registry import METHODS

    if name is None:
        rows = [{"name": n, **brief(METHODS.get(n))} for n in METHODS.names()]
        print_json(rows) if as_json else show_list(rows)
        return
    cls = METHODS.get(name)
    facts = {
        "name": name,
        **brief(cls),
        "about": inspect.getdoc(inspect.getmodule(cls)) or "",
        "doc": inspect.getdoc(cls) or "",
        "fields": fields(cls),
    }
    print_json(facts) if as_json else show(facts)


def brief(cls: Any) -> dict[str, Any]:
    """Return what a line of the list says of a method."""
    return {
        "family": cls.family,
        "preserves": cls.preserves,
        "foldable": cls.foldable,
        "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
    }


def fields(cls: type) -> list[dict[str, str]]:
    """Return the name, default and description (the string under it) of each field."""
    texts: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if dataclasses.is_dataclass(owner):
            texts.update(field_texts(owner))
    return [
        {
            "name": field.name,
            "default": default(field),
            "doc": texts.get(field.name, ""),
        }
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
    ]


def field_texts(cls: type) -> dict[str, str]:
    """Read the strings that stand under the fields of one class in its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    texts = {}
    for field, text in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts


def default(field: dataclasses.Field[Any]) -> str:
    """Show a field's default as a flag would give it; a field without one is required."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    return str(value.to_config() if hasattr(value, "to_config") else value)


def show_list(rows: list[dict[str, Any]]) -> None:
    """Print one line for each method."""
    width = max(len(row["name"]) for row in rows)
    families = max(len(row["family"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['family']:<{families}}  {row['summary']}")


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
