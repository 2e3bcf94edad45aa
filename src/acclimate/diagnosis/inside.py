"""What is said of the inside of an agent: of its critics' values, and of its networks' units, features and weights."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.diagnosis.history import History
from acclimate.registry import METHODS

BIAS_FALL, BIAS = 0.25, 0.5
"""In units of the mean absolute return: a fall over three readings, and an overestimate. Guesses."""
SPREAD = 0.5
TD_GROWTH = 10.0
UNITS = 0.25
RANK = 0.7
"""Share of the rank at the start; 30 % less is an alarm."""
NORM_GROWTH = 2.0
"""Pre-activations grow before a collapse (Moalla et al. 2024, arXiv:2405.00662); the factor is a guess."""
UNLIKE = 0.95
"""Centred kernel alignment below which it is said which features changed most. No alarm."""


def critics(history: History) -> Iterator[str]:
    """Yield what is to be said of an off-policy critic's values."""
    bias, size = history.known("values/bias"), history.last("values/return_size")
    if bias and size:
        # From above, a falling bias is a critic that comes to its senses; below the returns it is one that unlearns.
        falls = len(bias) > 2 and bias[-3] > bias[-2] > bias[-1] and bias[-1] < 0
        if falls and bias[-3] - bias[-1] > BIAS_FALL * size:
            yield (
                f"The critic's values fall against the returns that follow (bias {bias[-3]:.3g}, {bias[-2]:.3g}, "
                f"{bias[-1]:.3g}): it unlearns what it knew; consider more warm_start.prior_steps."
            )
        if bias[-1] > BIAS * size:
            yield (
                f"The critic promises {bias[-1]:.3g} more than the returns that follow, {size:.3g} in size: consider "
                f"{names('a lower learning rate of the critic', 'dropout')} on the critic."
            )
    spread = history.last("values/spread")
    if spread is not None and spread > SPREAD:
        yield (
            f"The critics disagree by {spread:.0%} of their values: they have seen too little; consider more "
            "warm_start.prior_steps, or more steps."
        )
    errors = history.known("values/td_error")
    if len(errors) > 1 and errors[-1] > TD_GROWTH * errors[0] > 0:
        yield (
            f"The critic's TD error grew from {errors[0]:.3g} to {errors[-1]:.3g}: it diverges; consider a lower "
            "learning rate."
        )


def networks(history: History) -> Iterator[str]:
    """Yield what is to be said of units, features and weights."""
    yield from _units(history, "dormant", "dormant", names("a lower learning rate", "redo"))
    yield from _units(history, "saturated", "saturated at their bounds", "a lower learning rate")
    yield from _rank(history)
    grown = [
        (history.last(name) / history.first(name), name)  # type: ignore[operator]
        for name in history.names("networks", "/preactivation")
        if history.first(name)
    ]
    if grown and max(grown)[0] > NORM_GROWTH:
        factor, name = max(grown)
        yield (
            f"What goes into the activations of {_place(name)} has grown {factor:.1f} times since the start, as before "
            f"a collapse: consider {names('a lower learning rate', 'l2sp')}."
        )
    moved = [(history.last(name) or 0.0, name) for name in history.names("networks", "/change")]
    alike = [(value, n) for n in history.names("networks", "/cka") if (value := history.last(n)) is not None]
    if moved and max(moved)[0] > 0:
        share, name = max(moved)
        also = ""
        if alike and min(alike)[0] < UNLIKE:
            also = f"; least like before are the features of {_place(min(alike)[1])} (CKA {min(alike)[0]:.2f})"
        yield f"The weights moved most in {_place(name)}, by {share:.1%} of their norm{also}."


def _units(history: History, measure: str, word: str, advice: str) -> Iterator[str]:
    bad = [
        (value, name)
        for name in history.names("networks", f"/{measure}")
        if (value := history.last(name)) is not None and value > UNITS
    ]
    if bad:
        share, name = max(bad)
        more = "" if len(bad) == 1 else f", and too many in {len(bad) - 1} more layers"
        yield (
            f"{share:.0%} of {_place(name, 'units in')} are {word}, {history.first(name):.0%} at the start{more}: "
            f"consider {advice}."
        )


def _rank(history: History) -> Iterator[str]:
    for measure in ("effective", "stable"):
        fallen = [
            (history.last(name) / history.first(name), name)  # type: ignore[operator]
            for name in history.names("networks", f"/{measure}_rank")
            if history.first(name)
        ]
        if fallen and min(fallen)[0] < RANK:
            name = min(fallen)[1]
            yield (
                f"The features of {_place(name)} have lost rank ({measure} rank {history.first(name):.1f}, now "
                f"{history.last(name):.1f}): they tell fewer states apart; consider "
                f"{names('a lower learning rate', 'feature', 'redo')}."
            )
            return


def _place(name: str, what: str = "layer") -> str:
    """Return the role and the layer of `networks/role/layer/measure` in words."""
    _, role, path, _ = name.split("/")
    return f"the {'Q-network' if role == 'q' else role}'s {what} `{path}`"


def names(otherwise: str, *methods: str) -> str:
    """Return those of the methods that are there, or other words."""
    return " or ".join(f"`{name}`" for name in methods if name in METHODS) or otherwise
