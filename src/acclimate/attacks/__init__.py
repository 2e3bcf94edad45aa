"""What an agent loses where somebody moves what it sees. What users import."""

from acclimate.attacks.attack import ATTACKS, Attack
from acclimate.attacks.playing import attacked, strongest

__all__ = ["ATTACKS", "Attack", "attacked", "strongest"]
