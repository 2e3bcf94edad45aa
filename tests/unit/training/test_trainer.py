"""SB3's own loop on the warm-started model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.evaluation.seeds import PROBE_SEED
from acclimate.methods.channel import ChannelScale
from acclimate.runs.finetune import finetune
from tests.world import Dot, agent, linear, recipe, same, task, weights


class Watch(BaseCallback):
    """Keep what the buffer got, and the weights of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[Any] = []
        self.seen: list[Any] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        self.rates: list[float] = []

    def _on_step(self) -> bool:
        self.actions.append(copy.deepcopy(self.locals["actions"][0]))
        self.seen.append(copy.deepcopy(self.model._last_obs[0]))
        self.weights.append({n: v.clone() for n, v in self.model.policy.state_dict().items()})
        self.rates.append(getattr(self.model, "exploration_rate", 0.0))
        return True

    def changes(self, part: str) -> list[bool]:
        """Return at which steps weights with this in their name had changed."""
        return [
            any(not torch.equal(before[n], after[n]) for n in before if part in n)
            for before, after in zip(self.weights, self.weights[1:], strict=False)
        ]


def test_the_prior_fills_the_buffer_and_no_gradient_comes_before() -> None:
    """The actions of the first steps are the samples that the untouched policy draws, in the same order."""
    given, watch = agent("sac"), Watch()
    finetune(
        given, task("sac"), recipe(steps=70, warm_start={"prior_steps": 30}, evaluation={"points": 1}), callback=watch
    )
    assert watch.changes("")[:29] == [False] * 29
    assert all(watch.changes("")[30:])
    actor = given.model.policy
    means, stds, _ = actor.actor.get_action_dist_params(torch.as_tensor(np.stack(watch.seen[:30])))
    drawn = torch.atanh(torch.as_tensor(np.stack(watch.actions[:30])) / 2.0)
    z = ((drawn - means) / stds.exp()).detach().numpy()
    assert np.abs(z).max() < 4.5, "an action that the prior would hardly ever draw"
    assert 0.4 < z.std() < 1.8


def test_a_deterministic_prior_acts_as_itself_from_the_first_step() -> None:
    given, watch = agent("dqn"), Watch()
    asked = recipe(steps=100, warm_start={"epsilon": 0.0, "prior_steps": 40}, evaluation={"points": 1})
    finetune(given, task("dqn"), asked, callback=watch)
    expected = given.predict(np.stack(watch.seen[:40]), deterministic=True)[0]
    assert [int(action) for action in watch.actions[:40]] == expected.tolist()
    assert not any(watch.changes("q_net.")[:39])


def test_epsilon_begins_where_the_plan_says() -> None:
    watch = Watch()
    finetune(agent("dqn"), task("dqn"), recipe(steps=200, warm_start={"epsilon": 0.4}), callback=watch)
    assert max(watch.rates) <= 0.4
    assert max(watch.rates[:3]) == pytest.approx(0.4, abs=0.05)
    assert watch.rates[-1] < 0.1


@pytest.mark.parametrize("name", ["ppo", "sac", "td3"])
def test_the_critic_warms_up_alone(name: str) -> None:
    watch, fill = Watch(), 10 if name != "ppo" else 0
    finetune(
        agent(name),
        task(name),
        recipe(
            steps=120,
            n_envs=1,
            warm_start={"critic_warmup": 40, "prior_steps": fill},
            algorithm={"n_steps": 16} if name == "ppo" else {},
            evaluation={"points": 1},
        ),
        callback=watch,
    )
    actor = "policy_net" if name == "ppo" else "actor.latent_pi" if name == "sac" else "actor.mu"
    critic = "value_net" if name == "ppo" else "critic.qf0"
    # PPO's updates come after steps 16, 32 and 48: the third is the first of the actor.
    first = watch.changes(actor).index(True) + 1
    assert watch.changes(critic).index(True) + 1 < first
    assert 40 <= first <= 52


def test_callbacks_of_every_kind_pass_through(tmp_path: Path) -> None:
    calls: list[int] = []

    def function(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        calls.append(scope["self"].num_timesteps)
        return True

    class Counting(BaseCallback):
        def _on_step(self) -> bool:
            calls.append(-1)
            return True

    finetune(agent("a2c"), task(), recipe(n_envs=1), callback=function)
    assert calls == list(range(1, 113))
    calls.clear()
    ours = EvalCallback(
        DummyVecEnv([Dot]), n_eval_episodes=1, eval_freq=50, best_model_save_path=str(tmp_path), verbose=0
    )
    finetune(agent("a2c"), task(), recipe(n_envs=1), callback=[Counting(), ours])
    assert calls == [-1] * 112
    assert (tmp_path / "best_model.zip").exists()


def test_a_callback_may_end_the_training_early() -> None:
    class Enough(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 50

    run = finetune(agent("sac"), task("sac"), recipe(), callback=Enough())
    assert run.report.steps_charged == 8 + 50


def test_the_agent_that_is_kept_acts_as_the_measured_one_did() -> None:
    """A method with modules of its own is folded away; the folded agent is what the report's figures are of."""
    from acclimate.evaluation.evaluate import evaluate

    for averaging in (0.0, 0.8):
        given = linear(0.0, 0.6)
        asked = recipe(
            steps=2_000,
            n_envs=4,
            methods=(ChannelScale(train_base=True),),
            averaging=averaging,
            algorithm={"learning_rate": 0.02, "gamma": 0.8, "n_steps": 32},
        )
        run = finetune(given, task(), asked)
        assert run.report.kept == "tuned"
        assert set(weights(run.agent)) == set(weights(given)), "a stock network"
        found = evaluate(run.agent, task(), episodes=4, seed=10_000)
        assert found.returns == pytest.approx(run.report.target.after.returns)
        assert not same(weights(run.agent), weights(given))


def test_models_are_stock_ones_again() -> None:
    assert type(finetune(agent("sac"), task("sac"), recipe()).agent.model) is SAC
    assert type(finetune(agent("dqn"), task("dqn"), recipe()).agent.model) is DQN


def test_two_runs_of_a_recipe_are_the_same_run() -> None:
    first, second = (finetune(agent("ppo"), task(), recipe(seed=5)) for _ in range(2))
    assert first.report.target.last.returns.tolist() == second.report.target.last.returns.tolist()
    other = finetune(agent("ppo"), task(), recipe(seed=6))
    assert other.report.target.last.returns.tolist() != first.report.target.last.returns.tolist()


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_the_buffer_begins_with_what_the_probe_played(name: str) -> None:
    """Two episodes of eight steps by the agent's mode, which were paid for, come before the first step of training."""
    sizes: list[int] = []
    begun: list[np.ndarray] = []

    def look(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        buffer = scope["self"].replay_buffer
        sizes.append(buffer.size())
        begun.append(buffer.observations[:16, 0].copy())
        return True

    run = finetune(agent(name), task(name), recipe(steps=320, warm_start={"probe_episodes": 2}), callback=look)
    assert run.report.situation["steps"] == 16
    assert sizes[:3] == [16, 17, 18], "the probe's steps are not there, or there twice"
    seen = [task(name).make().reset(seed=seed)[0] for seed in (PROBE_SEED, PROBE_SEED + 1)]
    assert np.array_equal(begun[0][[0, 8]], np.stack(seen))
    assert ("replay buffer", "begins with the probe's 16 steps") in [
        (what, how.partition(":")[0]) for what, how in run.report.reset
    ]
