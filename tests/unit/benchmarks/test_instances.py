"""The instances of methods that are benchmarked."""

from __future__ import annotations

import pytest
from benchmarks import instances

from acclimate.registry import METHODS


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_an_instance(name: str) -> None:
    assert type(instances.instance(name)) is METHODS.get(name)
