"""A trainable network and what can be asked of it or done to it; torch alone."""

from acclimate.nets.experience import Batch, Decision
from acclimate.nets.net import Layer, Net
from acclimate.nets.select import Select

__all__ = [
    "Batch",
    "Decision",
    "Layer",
    "Net",
    "Select",
]
