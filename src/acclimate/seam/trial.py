"""Whether methods can be put into a model at all, tried before anything is played."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.sb3.networks import find
from acclimate.tuning.composition import Composition
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals
from acclimate.tuning.tuner import referenced


def tried(model: BaseAlgorithm, method: Method) -> Composition:
    """Put methods into a model and return them in place; what they do later may still find nothing to act on.

    Args:
        model: it is changed: give a copy of what has to stay.
        method: one method or a chain.

    Raises:
        SurgeryError: if a pattern matches nothing, or a method cannot be injected.
    """
    composition = Composition(method, referenced(find(model), None), Context(), Signals())
    composition.inject()
    return composition
