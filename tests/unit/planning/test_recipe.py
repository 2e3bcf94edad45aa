"""A recipe is data: it round-trips, and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import ConfigError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.planning.recipe import EvaluationPlan, Recipe, WarmStart
from acclimate.schedule import Linear

FULL = Recipe(
    methods=(KLToPrior(weight=Linear(0.5, 0.0)), ChannelScale(), Hold(steps=3)),
    steps=77,
    seed=4,
    mode="continue",
    warm_start=WarmStart(std=0.2, normalizer="freeze", learning_rate="saved", prior_steps=3),
    averaging=0.5,
    algorithm={"gamma": 0.5},
    n_envs=3,
    evaluation=EvaluationPlan(freq=11),
)


def test_it_round_trips(tmp_path: Path) -> None:
    assert Recipe.from_dict(FULL.to_dict()) == FULL
    FULL.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == FULL
    assert Recipe.from_dict({}) == Recipe()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"stepz": 1}, "recipe: no field `stepz`. Did you mean `steps`?"),
        ({"warm_start": {"stdd": 1}}, "recipe.warm_start: no field `stdd`. Did you mean `std`?"),
        ({"methods": ["l2ps"]}, "Did you mean `l2sp`?"),
        ({"methods": [{"kl": {"wieght": 1}}]}, "recipe.methods[0].kl: no field `wieght`. Did you mean `weight`?"),
        ({"steps": 0}, "recipe.steps is 0; give a number of 1 or more"),
        ({"averaging": 1.0}, "of 0 or more and below 1"),
        ({"warm_start": {"std": 0.0}}, "above 0"),
        (
            {"warm_start": {"epsilon": 1.5}},
            "recipe.warm_start.epsilon is 1.5; give a number of 0 or more and at most 1",
        ),
        ({"warm_start": {"tie": -1.0}}, "recipe.warm_start.tie"),
        ({"warm_start": {"std": "wide"}}, "recipe.warm_start.std"),
        ({"mode": "restart"}, "recipe.mode"),
        ({"evaluation": {"final_episodes": 1}}, "recipe.evaluation.final_episodes"),
    ],
)
def test_what_is_wrong_is_said(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.from_dict(data)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("- 1", "not a mapping"), ("a: [", "not YAML"), (None, "recipe")])
def test_files_that_are_none(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        Recipe.load(path)


def test_on_is_a_word(tmp_path: Path) -> None:
    """YAML 1.1 reads `on` as true, and methods have a field of that name."""
    path = tmp_path / "recipe.yaml"
    path.write_text("methods:\n- freeze:\n    on: critic\nwarm_start: {stagger: true}\n")
    found = Recipe.load(path)
    assert found.methods[0].on.patterns == ("critic",)
    assert found.warm_start.stagger is True
