"""A method's contract, several of them as one, and the tuner that runs them."""

from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals, chain
from acclimate.tuning.tuner import Tuner

__all__ = [
    "Context",
    "Method",
    "Signals",
    "Tuner",
    "attach",
    "chain",
]
