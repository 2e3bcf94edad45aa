"""The board of the masked benchmark: what its masks forbid raises, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.kin.depot import DELIVERED, DROP, LIFT, LIFTED, STEP, Depot


def test_what_is_forbidden_raises_and_all_else_does_not() -> None:
    rng, env = np.random.default_rng(0), Depot(depot=(4, 4), walls=((2, 1), (2, 2), (2, 3)))
    paid = set()
    for episode in range(30):
        seen, _ = env.reset(seed=episode)
        over = False
        while not over:
            mask = env.action_masks()
            assert seen.sum() == 2 + seen[-1]
            for action in np.flatnonzero(~mask):
                with pytest.raises(ValueError, match="illegal action"):
                    env.step(int(action))
            assert np.array_equal(mask, env.action_masks()), "an illegal action changed something"
            action = int(rng.choice(np.flatnonzero(mask)))
            seen, reward, delivered, cut, _ = env.step(action)
            paid.add((action if action in (LIFT, DROP) else -1, reward))
            assert delivered is (action == DROP)
            over = delivered or cut
    assert paid == {(-1, STEP), (LIFT, LIFTED), (DROP, DELIVERED)}
