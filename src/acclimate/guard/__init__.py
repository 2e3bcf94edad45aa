"""Input filtering: what stands before a deployed policy, and what checks its actions. What users import."""

from acclimate.guard.filter import Hysteresis
from acclimate.guard.fitting import fit
from acclimate.guard.guard import Guard
from acclimate.guard.guarded import Decision, Guarded, GuardedPlayer, Memory
from acclimate.guard.saved import load, save
from acclimate.guard.tiers.reasons import Reason

__all__ = [
    "Decision",
    "Guard",
    "Guarded",
    "GuardedPlayer",
    "Hysteresis",
    "Memory",
    "Reason",
    "fit",
    "load",
    "save",
]
