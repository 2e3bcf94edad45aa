"""The default recipe is what the competent user does: the same weights, to the bit, before any agent is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.agents.load import load
from acclimate.planning.recipe import Recipe
from acclimate.planning.saved import envs_of, hinted, settings_of
from acclimate.runs.finetune import finetune
from acclimate.studies import baselines
from tests.world import agent, model, recipe, same, task, weights

STEPS = {"ppo": 4_096, "a2c": 640, "trpo": 512, "recurrent_ppo": 2_048, "maskable_ppo": 2_048}
OFF_POLICY_STEPS = 96
NAMES = ("ppo", "a2c", "trpo", "sac", "td3", "dqn", "qrdqn", "tqc", "recurrent_ppo", "maskable_ppo")
BY_DAY = {"ppo", "trpo", "sac", "dqn"}


class End(BaseCallback):
    """Copies the weights when the last update is done."""

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.weights = weights(self.model)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in BY_DAY else pytest.mark.nightly) for name in NAMES]
)
def test_it_ends_with_the_competent_users_weights(name: str, normalize: bool) -> None:
    given, world, seed, end = agent(name, normalize=normalize), task(name, offset=0.5), 1, End()
    steps = STEPS.get(name, OFF_POLICY_STEPS)
    ways = baselines.way("competent", given, {})
    theirs = baselines.model_of(given, world, ways, seed).learn(baselines.budget(given, ways, steps))
    # A rollout as long as his, which so short a run would else make fit its steps; an LSTM's minibatches are its own.
    asked = {"n_steps": 256, "batch_size": 64} if "ppo" in name else {}
    plain = Recipe(engine="sb3", steps=steps, seed=seed, algorithm=asked, evaluation=recipe().evaluation)
    finetune(given, world, plain, callback=end, progress=False)
    assert same(end.weights, weights(theirs))
    assert not same(end.weights, weights(given)), "nothing was learnt"


def test_a_budget_that_ends_with_an_episode_has_its_update() -> None:
    """Who updates after whole episodes updates after the last one too."""
    given, world, end = agent("sac", train_freq=(1, "episode"), gradient_steps=-1), task("sac", offset=0.5), End()
    ways = baselines.way("competent", given, {})
    theirs = baselines.model_of(given, world, ways, 1).learn(OFF_POLICY_STEPS)
    plain = Recipe(engine="sb3", steps=OFF_POLICY_STEPS, seed=1, evaluation=recipe().evaluation)
    finetune(given, world, plain, callback=end, progress=False)
    assert same(end.weights, weights(theirs))


def test_what_a_file_keeps_as_a_function_is_read_from_the_config_beside_it(tmp_path: Path) -> None:
    made = model("dqn", learning_rate=lambda left: 2.3e-3 * left)
    folder = tmp_path / "agent"
    folder.mkdir()
    made.save(folder / "agent.zip")
    assert hinted(load(folder / "agent.zip")) == {}
    (folder / "config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - learning_rate\n    - 0.0023\n"
    )
    found = load(folder / "agent.zip")
    assert hinted(found) == {"learning_rate": 0.0023}
    assert settings_of(found)["learning_rate"] == 0.0023
    assert baselines.way("competent", found, {}).settings["learning_rate"] == 0.0023
    assert envs_of(found) == 1
