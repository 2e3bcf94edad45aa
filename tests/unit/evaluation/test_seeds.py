"""A seed is a whole number that every generator takes, or one line says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import evaluate, evaluate_random
from acclimate.evaluation.film import film
from acclimate.evaluation.seeds import MOST_SEED
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from tests.world import agent, recipe, task


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1, True, 1.5, 1.0, "1", None, float("nan")])
@pytest.mark.parametrize(
    "use",
    [
        lambda seed: Recipe(seed=seed),
        lambda seed: evaluate(agent("ppo", steps=0), task(), episodes=1, seed=seed),
        lambda seed: evaluate_random(task(), episodes=1, seed=seed),
        lambda seed: film(agent("ppo", steps=0), task(), "never.mp4", seed=seed),
    ],
    ids=["recipe", "evaluate", "evaluate_random", "film"],
)
def test_what_is_no_seed_is_refused(use: Any, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed is .*; give a whole number from 0 to 4294967295\."):
        use(seed)


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_the_largest_seed_trains_and_evaluates(name: str) -> None:
    run = finetune(agent(name), task(name), recipe(seed=MOST_SEED))
    assert run.report.steps_charged <= 120
    assert len(evaluate(run.agent, task(name), episodes=2, seed=MOST_SEED).returns) == 2
    assert np.isfinite(evaluate(run.agent, task(name), episodes=1, seed=np.int64(7)).returns).all()
