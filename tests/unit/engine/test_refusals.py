from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box
from stable_baselines3 import PPO

from acclimate.engine.learning import refusals
from tests.tiny import World


@pytest.mark.parametrize(
    ("kind", "fits"), [(np.float32, True), (np.float64, True), (np.float16, False), (np.int64, False)]
)
def test_actions_that_a_buffer_rounds_are_left_to_sb3(kind: type, fits: bool) -> None:
    """SB3 keeps the likelihood of what was drawn; from what the buffer holds another one would be computed."""
    model = PPO("MlpPolicy", World(Box(-1.0, 1.0, (2,)), Box(-2, 2, (2,), kind)), n_steps=8, batch_size=8, device="cpu")
    assert (refusals.distribution(model.policy) is None) == fits
