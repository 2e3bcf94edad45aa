"""What is known of each registered method, read from its class: one text for the command line and the docs page."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from typing import Any

from acclimate.registry import METHODS

FAMILIES = {
    "layer": "choose which weights are trained: less of the network changes, so less is forgotten and less can adapt",
    "regularisation": "train with a pull towards what was pretrained: its weights, its features or what it does",
    "dropout": "train with noise on units or weights, so that few data are not learnt by heart",
    "channel": "train a few numbers for each channel: enough where signals changed in size or offset",
    "adapter": "train small additions beside frozen weights, which can be folded in or taken off",
    "learning-rate": "choose how fast what is trained: by layer, by time, or by what the update did",
    "normalisation": "add or re-estimate normalisation inside the networks",
    "reset": "make units or layers new that have stopped learning or that learnt the wrong thing",
    "data": "choose what is done and what is learnt from: the prior's actions, stored or offline experience",
}
"""What each family is for, in the order of the list. A method of another package may have a family of its own."""


def families() -> dict[str, list[str]]:
    """Return the names of all methods by family; the order is that of `FAMILIES`, then of the registry."""
    found: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for name in METHODS.names():
        found.setdefault(METHODS.get(name).family, []).append(name)  # type: ignore[attr-defined]
    return {family: names for family, names in found.items() if names}


def brief(name: str) -> dict[str, Any]:
    """Return what a line of the list says of a method."""
    cls: Any = METHODS.get(name)
    return {
        "name": name,
        "family": cls.family,
        "preserves": cls.preserves,
        "foldable": cls.foldable,
        "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
    }


def explain(name: str) -> dict[str, Any]:
    """Return all that is known of a method: its formula, source and use as `doc`, and its fields."""
    cls = METHODS.get(name)
    doc = inspect.getdoc(cls) or ""
    return {
        **brief(name),
        "about": inspect.getdoc(inspect.getmodule(cls)) or "",
        "doc": doc,
        "arxiv": list(dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", doc))),
        "fields": fields(cls),
    }


def fields(cls: type) -> list[dict[str, str]]:
    """Return the name, default and description (the string under it) of each field."""
    texts: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if dataclasses.is_dataclass(owner):
            texts.update(_texts(owner))
    return [
        {"name": field.name, "default": _default(field), "doc": texts.get(field.name, "")}
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
    ]


def _texts(cls: type) -> dict[str, str]:
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


def _default(field: dataclasses.Field[Any]) -> str:
    """Show a field's default as a flag would give it; a field without one is required."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    return str(value.to_config() if hasattr(value, "to_config") else value)
