"""Quantities of LunarLander, and its wind.

Gymnasium wants a gravity between -12 and 0 and recommends a wind up to 20 and a turbulence up to 2; the
bounds hold for shifts too, because outside of them no landing is possible. The engines' powers are constants
of its module.
"""

from __future__ import annotations

from acclimate.shifts.quantities.attribute import attribute
from acclimate.shifts.quantities.quantity import Quantity
from acclimate.shifts.quantities.rebind import constant, rebind_constants

_LANDER = "gymnasium.envs.box2d.lunar_lander.LunarLander"


def _engine(name: str) -> Quantity:
    return Quantity(
        "",
        lambda env: constant(env, "step", name),
        lambda env, factor: rebind_constants(env, "step", {name: constant(env, "step", name) * factor}),
    )


QUANTITIES = {
    _LANDER: {
        "gravity": attribute("gravity", unit="m/s^2", low=-12.0, high=0.0),
        "main_engine": _engine("MAIN_ENGINE_POWER"),
        "side_engine": _engine("SIDE_ENGINE_POWER"),
    }
}
