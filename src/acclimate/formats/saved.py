"""What a writer asks of an agent."""

from __future__ import annotations

from typing import Protocol, Self

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import Parts
from acclimate.tuning.method import Method


class Saved(Protocol):
    """An agent, as the writers of files see it."""

    @property
    def model(self) -> BaseAlgorithm:
        """The SB3 model; it has no environment."""
        ...

    @property
    def normalizer(self) -> Normalizer | None:
        """How raw observations are scaled before the model sees them, if they are."""
        ...

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those that its networks carry."""
        ...

    @property
    def observation_space(self) -> spaces.Space:
        """What its model takes, before normalisation."""
        ...

    @property
    def action_space(self) -> spaces.Space:
        """What it does."""
        ...

    def parts(self) -> Parts:
        """Return copies of all that the model holds."""
        ...

    def copy(self) -> Self:
        """Return an agent that acts identically and shares nothing that can change."""
        ...
