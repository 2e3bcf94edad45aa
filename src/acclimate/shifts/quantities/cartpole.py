"""Quantities of CartPole. Its pole's `length` is half the length of the pole."""

from __future__ import annotations

import gymnasium as gym

from acclimate.shifts.quantities.attribute import attribute


def _derive(env: gym.Env) -> None:
    """Bring what the constructor computed from lengths and masses into line with them."""
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length


QUANTITIES = {
    "gymnasium.envs.classic_control.cartpole.CartPoleEnv": {
        "gravity": attribute("gravity", unit="m/s^2"),
        "length": attribute("length", unit="m (half the pole)", then=_derive),
        "pole_mass": attribute("masspole", unit="kg", then=_derive),
        "cart_mass": attribute("masscart", unit="kg", then=_derive),
        "force": attribute("force_mag", unit="N"),
    }
}
