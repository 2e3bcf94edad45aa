"""The instance of each registered method that is benchmarked: its defaults, or the fields below where it needs some.

A method that needs fields and has none here is taken from the tests' table, where each has a small instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acclimate.errors import ConfigError
from acclimate.method import Method
from acclimate.registry import METHODS

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "freeze": {"on": "critic"},
    "hold": {"steps": 2_000},
    "film": {"context": [2.0]},
    "jump-start": {"horizon": "100->0@0.5"},
}


def instance(name: str) -> Method:
    """Return the method to measure."""
    if name in FIELDS:
        return METHODS.build({name: dict(FIELDS[name])}, "benchmark")
    try:
        return METHODS.build(name, "benchmark")
    except ConfigError:
        from tests import cases

        return cases.METHODS[name]
