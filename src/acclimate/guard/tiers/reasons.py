"""Why an observation is refused: names and bits that stay, whatever file or graph they are read from."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ConfigError, suggest


class Reason(enum.IntFlag):
    """One tier of a guard; the bits of several add up to a code."""

    NOT_FINITE = 1
    """An entry is no finite number in 32 bits."""
    BOUNDS = 2
    """An entry is outside of what the space declares and of what was seen."""
    RATE = 4
    """An entry changed faster than it did."""
    MAHALANOBIS = 8
    """The entries together are far from those that were seen, by their covariance."""
    LATENT = 16
    """The same of the units from which the policy's last layer makes the action."""
    KNN = 32
    """The nearest observations of those that were kept are far."""
    STATISTICS = 64
    """Mean, spread or autocorrelation over the last steps is not as it was."""
    SEQUENCE = 128
    """An entry was on one side of its mean for long: a drift that no single step shows."""
    UNCERTAINTY = 256
    """The policy with units left out, or small networks that imitate it over clean episodes, disagree."""

    @property
    def word(self) -> str:
        """The name as flags, files and tables have it."""
        return str(self.name).lower()


DEFAULT = (Reason.NOT_FINITE, Reason.BOUNDS, Reason.RATE, Reason.MAHALANOBIS)
SEVERE = Reason.NOT_FINITE | Reason.BOUNDS
"""What is shown to no other agent or controller either."""
INNER = Reason.LATENT | Reason.UNCERTAINTY
"""What is learnt from the inside of the policy, and holds for no other one."""


def reasons(names: Iterable[str]) -> tuple[Reason, ...]:
    """Return the tiers of these names in their order; `not_finite` is always among them.

    Raises:
        ConfigError: There is no such tier.
    """
    known = {reason.word: reason for reason in Reason}
    asked = {Reason.NOT_FINITE}
    for name in names:
        if name not in known:
            raise ConfigError(f"no tier `{name[:40]}` of a guard. {suggest(name, known)}")
        asked.add(known[name])
    return tuple(reason for reason in Reason if reason in asked)


def codes(tiers: Iterable[Reason], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the bits of the reasons of each row, 0 where none is raised.

    Args:
        tiers: what the columns are.
        flags: (rows, tiers).

    Example:
        >>> found = codes(DEFAULT, np.array([[False, True, True, False]]))
        >>> [reason.word for reason in Reason(int(found[0]))]
        ['bounds', 'rate']
    """
    return flags.astype(np.int64) @ np.array([int(reason) for reason in tiers], np.int64)


def learned(tiers: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the tiers whose limits are calibrated, among which the rate of false alarms is split."""
    return tuple(reason for reason in tiers if reason is not Reason.NOT_FINITE)
