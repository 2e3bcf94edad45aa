"""Where methods are let into the training of an algorithm."""

from acclimate.seam.seam import Seam

__all__ = [
    "Seam",
]
