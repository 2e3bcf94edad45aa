"""Each `auto` is decided from the situation, for a reason; what is asked for always wins."""

from __future__ import annotations

import math
from typing import Any

import pytest

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.planning import defaults
from acclimate.planning.plan import Plan, make_plan
from acclimate.planning.probe import Situation
from tests.world import TUNABLE, agent, recipe

EASY = {"source_return": 0.0, "target_return": -0.1, "random_return": -10.0}
HARD = {"source_return": 0.0, "target_return": -9.0, "random_return": -10.0}


def made(given: Agent, situation: dict[str, Any] | None = None, *, home: bool = True, **asked: Any) -> Plan:
    return make_plan(given, recipe(**{"steps": 1_000, **asked}), Situation(**(situation or {})), home=home)


def why(plan: Plan, name: str) -> str:
    (reason,) = [choice.why for choice in plan.choices if choice.name == name]
    return reason


@pytest.mark.parametrize("name", TUNABLE)
@pytest.mark.parametrize("situation", [EASY, HARD, {}])
def test_every_choice_has_a_reason(name: str, situation: dict[str, Any]) -> None:
    found = made(agent(name, steps=0), situation)
    assert found.choices
    for what, value, reason in found.why():
        assert what
        assert value
        assert reason


def test_an_easy_shift_keeps_what_there_is_and_a_hard_one_opens_it() -> None:
    given = agent("ppo", steps=0)
    easy, hard = made(given, {**EASY, "std": 0.01}), made(given, {**HARD, "std": 0.01})
    assert easy.std is None
    assert hard.std == defaults.EXPLORING_STD
    assert easy.hyperparameters["learning_rate"] <= hard.hyperparameters["learning_rate"]
    assert "exploration" in why(hard, "exploration std")
    assert made(given, {**HARD, "std": 0.99}).std is None, "a policy that explores is left alone"


def test_a_softmax_is_opened_where_its_entropy_is_used_up() -> None:
    given = agent("ppo", discrete=True, steps=0)
    used_up = {"entropy": 0.05, "temperature": 6.0}
    assert made(given, {**HARD, **used_up}).temperature == 6.0
    assert made(given, {**EASY, **used_up}).temperature == 1.0
    assert made(given, {**HARD, "entropy": 0.8}).temperature == 1.0
    assert made(given, {**HARD, **used_up}, warm_start={"std": "keep"}).temperature == 1.0


@pytest.mark.parametrize("mode", ["adapt", "continue"])
@pytest.mark.parametrize("situation", [EASY, HARD])
def test_what_is_asked_for_wins(situation: dict[str, Any], mode: str) -> None:
    asked = {"std": 0.123, "learning_rate": 0.5, "tie": 0.77, "critic_warmup": 40}
    found = made(agent("ppo", steps=0), {**situation, "std": 0.01}, warm_start=asked, averaging=0.25, mode=mode)
    assert (found.std, found.tie, found.critic_warmup, found.averaging) == (0.123, 0.77, 40, 0.25)
    assert found.hyperparameters["learning_rate"] == 0.5
    if mode == "adapt":
        for name in ("exploration std", "tie to the prior", "critic warm-up", "learning rate", "averaging of weights"):
            assert why(found, name) == "asked for"


def test_an_integer_is_a_number_as_well() -> None:
    found = made(agent("ppo", steps=0), {"std": 0.1}, warm_start={"std": 1, "tie": 1}, averaging=0, mode="continue")
    assert (found.std, found.tie, found.averaging) == (1.0, 1.0, 0.0)


def test_what_dqn_is_asked_for() -> None:
    given = agent("dqn", steps=0)
    found = made(given, HARD, warm_start={"epsilon": 0.33, "prior_steps": 17})
    assert found.prior_steps == 17
    assert found.hyperparameters["exploration_initial_eps"] == 0.33
    assert found.hyperparameters["exploration_final_eps"] <= 0.33
    sure = made(agent("dqn", steps=0, exploration_final_eps=0.03), HARD).hyperparameters
    assert (sure["exploration_initial_eps"], sure["exploration_final_eps"]) == (0.03, 0.03), "back to random actions"
    assert found.hyperparameters["learning_starts"] == 0
    with pytest.raises(ConfigError, match="no actor"):
        made(given, HARD, warm_start={"critic_warmup": 10})


def test_overrides_come_last_and_are_what_the_table_shows() -> None:
    found = made(agent("ppo", steps=0), HARD, algorithm={"learning_rate": 0.25, "n_steps": 20, "gamma": 0.5}, n_envs=2)
    assert found.hyperparameters["learning_rate"] == 0.25
    assert dict((c.name, c.value) for c in found.choices)["learning rate"] == 0.25
    assert (found.hyperparameters["gamma"], found.hyperparameters["n_steps"]) == (0.5, 20)
    assert 40 % found.hyperparameters["batch_size"] == 0, "the minibatch fits the rollout that was asked for"
    assert found.steps == 1_000


def test_an_agent_is_tied_to_what_it_does_at_home_where_that_is_asked_for_and_known() -> None:
    given = agent("ppo", steps=0)
    assert made(given).tie == 0
    assert made(given, methods=(Full(),), warm_start={"tie": 0.4}).tie == 0.4
    with pytest.raises(ConfigError, match=r"none is known: give one \(--source-env"):
        made(given, home=False, warm_start={"tie": 0.4})


def test_the_probe_is_paid_from_the_budget() -> None:
    given = agent("sac", steps=0)
    assert made(given, {"steps": 300}).steps == 700
    with pytest.raises(ConfigError, match=r"1000.*1200 target steps.*probe_episodes"):
        made(given, {"steps": 1_200})


def test_a_saved_learning_rate_that_is_a_function_is_never_run() -> None:
    from dataclasses import replace

    given = agent("sac", steps=0, learning_rate=1e-2)
    assert made(given, warm_start={"learning_rate": "saved"}).hyperparameters["learning_rate"] == 1e-2
    rest = {k: v for k, v in given.blueprint.hyperparameters.items() if k != "learning_rate"}
    given.blueprint = replace(given.blueprint, hyperparameters=rest)
    assert math.isfinite(made(given).hyperparameters["learning_rate"])
    with pytest.raises(ConfigError, match=r"function.*give the number"):
        made(given, warm_start={"learning_rate": "saved"})


@pytest.mark.parametrize("situation", [EASY, HARD, {}])
def test_trpo_is_trained_by_trpo_and_by_ppo_where_a_method_needs_it(situation: dict[str, Any]) -> None:
    given = agent("trpo", steps=0, learning_rate=2e-3, target_kl=0.03)
    found = made(given, situation)
    assert (found.algorithm, found.tie, found.critic_warmup) == ("trpo", 0.0, 0)
    assert found.hyperparameters["learning_rate"] == 2e-3
    assert found.hyperparameters["target_kl"] == 0.03
    assert found.n_envs * found.hyperparameters["n_steps"] % found.hyperparameters["batch_size"] == 0
    assert not {"ent_coef", "n_epochs", "clip_range"} & set(found.hyperparameters)
    tied = made(given, situation, methods=(KLToPrior(),))
    assert tied.algorithm == "ppo"
    assert why(tied, "algorithm").startswith("tuned as PPO, same networks: `kl` adds to the actor's loss")
    with pytest.raises(ConfigError, match="TRPO has no argument `clip_range`"):
        made(given, situation, algorithm={"clip_range": 0.1})
