"""Train everything: the identity among methods, and the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from acclimate.nets.select import Select
from acclimate.tuning.method import Method


@dataclass(frozen=True, kw_only=True)
class Full(Method):
    """Train every weight with nothing added: theta <- theta - lr * grad J(theta).

    It is what continuing the training is, and what the other methods are measured against. In a chain it has
    no effect.
    """

    name: ClassVar[str] = "full"
    family: ClassVar[str] = "layer"
    vacuous: ClassVar[bool] = True

    on: Select = Select("*")
    """Which networks; it has no effect on them."""
