"""The model that is trained begins as the agent that was given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.noise import NormalActionNoise

from acclimate.agents.agent import Agent
from acclimate.errors import SourceError
from acclimate.evaluation.seeds import TRAINING_SEED
from acclimate.methods.kl import KLToPrior
from acclimate.planning.case import Case
from acclimate.planning.plan import Plan, make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.tasks.task import Task
from acclimate.training.warm_start import WarmStarted, warm_start
from tests.world import TUNABLE, agent, linear, observations, recipe, same, task, weights

Start = Callable[..., WarmStarted]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what warm-starts an agent, and close its environments afterwards."""
    opened: list[WarmStarted] = []

    def begin(given: Agent, asked: Recipe | None = None, **found: Any) -> WarmStarted:
        asked = asked or recipe()
        world = task(given.algorithm, trace=found.pop("trace", None), discrete=hasattr(given.action_space, "n"))
        started = warm_start(Case(given, world, None, asked), make_plan(given, asked, Situation(**found), home=False))
        opened.append(started)
        return started

    yield begin
    for started in opened:
        started.model.env.close()


def acts(started: WarmStarted, seen: np.ndarray) -> np.ndarray:
    scaled = seen if started.normalize is None else started.normalize.normalize_obs(seen)
    return started.model.predict(scaled, deterministic=True)[0]


@pytest.mark.parametrize("name", TUNABLE)
def test_the_first_policy_is_the_priors_bit_for_bit(name: str, start: Start) -> None:
    given = agent(name, normalize=name != "dqn")
    # A hard shift of an agent that no longer explores: the std is opened.
    std = 0.01 if name in ("ppo", "a2c", "trpo") else None
    started = start(given, std=std, source_return=0.0, target_return=-9.0, random_return=-10.0)
    seen = observations()
    assert np.array_equal(acts(started, seen), given.predict(seen, deterministic=True)[0])
    ours, theirs = weights(started.model), weights(given)
    assert same({**ours, "log_std": theirs.get("log_std")}, theirs) if std else same(ours, theirs)
    assert (
        "policy and value networks",
        f"{sum(v.numel() for v in given.model.policy.parameters()):,} parameters, all of them",
    ) in started.carried


def test_a_std_is_opened_and_never_closed(start: Start) -> None:
    given = linear(-1.0, std=0.05)
    assert start(given, recipe(warm_start={"std": 0.4}), std=0.05).model.policy.log_std.exp().item() == pytest.approx(
        0.4
    )
    assert start(given, recipe(warm_start={"std": 0.01}), std=0.05).model.policy.log_std.exp().item() == pytest.approx(
        0.05
    )
    assert start(
        given, recipe(warm_start={"std": "keep"}), std=0.05
    ).model.policy.log_std.exp().item() == pytest.approx(0.05)


def test_a_raised_temperature_keeps_the_best_action_and_divides_the_logits(start: Start) -> None:
    given = agent("ppo", discrete=True)
    started = start(given, entropy=0.1, temperature=7.0, source_return=0.0, target_return=-9.0, random_return=-10.0)
    seen = observations()
    assert np.array_equal(acts(started, seen), given.predict(seen, deterministic=True)[0])
    tensors = torch.as_tensor(seen)
    before, after = (
        policy.action_net(policy.mlp_extractor.forward_actor(tensors))
        for policy in (given.model.policy, started.model.policy)
    )
    assert torch.allclose(before / 7.0, after, atol=1e-6)


def test_the_entropy_coefficient_goes_on_where_it_was(start: Start) -> None:
    given = agent("sac")
    with torch.no_grad():
        given.model.log_ent_coef.fill_(math.log(0.037))
    started = start(given)
    assert started.model.log_ent_coef.exp().item() == pytest.approx(0.037)
    assert ("entropy coefficient", "0.037, still tuned") in started.carried
    started.model.log_ent_coef.data.fill_(0.0)
    assert given.model.log_ent_coef.exp().item() == pytest.approx(0.037), "it was not copied"


@pytest.mark.parametrize("name", ["ppo", "sac", "td3", "dqn"])
def test_optimizers_are_fresh_where_asked_and_buffers_are_empty(name: str, start: Start) -> None:
    started = start(agent(name), recipe(warm_start={"moments": "fresh"}))
    names, _ = started.model._get_torch_save_params()
    for path in (path for path in names if "optimizer" in path):
        found: Any = started.model
        for part in path.split("."):
            found = getattr(found, part)
        assert not found.state
    assert started.model.num_timesteps == 0
    if name != "ppo":
        assert started.model.replay_buffer.size() == 0


def test_the_normaliser_is_carried_frozen_or_fresh(start: Start) -> None:
    given = agent("ppo", normalize=True)
    carried = start(given)
    rms = carried.normalize.obs_rms
    assert np.array_equal(rms.mean, given.normalizer.obs_mean)
    assert rms.count == given.normalizer.obs_count
    carried.normalize.reset()
    assert rms.count == given.normalizer.obs_count + 8, "it does not move on"
    assert carried.normalize.ret_rms.count == given.normalizer.ret_count
    anew = start(given, recipe(warm_start={"moments": "fresh"})).normalize
    assert (anew.ret_rms.count, float(anew.ret_rms.var)) == (1e-4, 1.0)

    frozen = start(given, recipe(warm_start={"normalizer": "freeze"})).normalize
    frozen.reset()
    for _ in range(10):
        frozen.step(np.ones((8, 1), np.float32))
    assert np.array_equal(frozen.obs_rms.mean, given.normalizer.obs_mean)
    assert frozen.obs_rms.count == given.normalizer.obs_count
    assert frozen.ret_rms.count > given.normalizer.ret_count + 79, "the scale of rewards does not move on"

    fresh = start(given, recipe(warm_start={"normalizer": "fresh"}))
    assert np.array_equal(fresh.normalize.obs_rms.mean, np.zeros(2))
    assert fresh.normalize.obs_rms.count == 1e-4
    assert any("fresh, as asked for" in how for _, how in fresh.reset)


def test_continue_carries_everything_on(start: Start) -> None:
    given = agent("ppo", normalize=True, learning_rate=1.5e-3, gamma=0.77, n_epochs=3)
    model = start(given, recipe(mode="continue"), std=0.01)
    trained = model.model
    assert (trained.gamma, trained.n_epochs, trained.n_steps, trained.batch_size) == (0.77, 3, 16, 16)
    assert trained.lr_schedule(1.0) == 1.5e-3
    assert trained.num_timesteps == given.model.num_timesteps == 32
    assert trained._n_updates == given.model._n_updates > 0
    assert float(model.normalize.ret_rms.var) == given.normalizer.ret_var
    assert model.normalize.ret_rms.count == given.normalizer.ret_count
    assert same(weights(trained), weights(given))
    for ours, theirs in zip(
        trained.policy.optimizer.state.values(), given.model.policy.optimizer.state.values(), strict=True
    ):
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])
        assert torch.equal(ours["exp_avg_sq"], theirs["exp_avg_sq"])
        assert ours["step"] == theirs["step"] > 0


def test_what_is_asked_for_wins_in_continue_too(start: Start) -> None:
    asked = recipe(mode="continue", warm_start={"std": 0.9, "learning_rate": 7e-4})
    started = start(linear(-1.0, std=0.05), asked)
    assert started.model.policy.log_std.exp().item() == pytest.approx(0.9)
    assert started.model.lr_schedule(1.0) == 7e-4


def test_training_environments_have_seeds_of_their_own(start: Start) -> None:
    for seed in (0, 3):
        trace: list[Any] = []
        started = start(agent("ppo"), recipe(seed=seed, n_envs=3), trace=trace)
        started.model.env.reset()
        assert [first for first, _ in trace if first is not None] == [
            TRAINING_SEED + 1_000 * seed + i for i in range(3)
        ]


def test_a_policy_of_one_action_explores_by_noise(start: Start) -> None:
    noise = start(agent("td3"), recipe(warm_start={"std": 0.3})).model.action_noise
    assert isinstance(noise, NormalActionNoise)
    assert noise._sigma.tolist() == [0.3]
    assert start(agent("td3")).model.action_noise is not None


def test_weights_that_do_not_fit_are_an_error_and_close_the_environments() -> None:
    given = agent("ppo")
    given.model.policy.value_net = torch.nn.Linear(3, 1)
    asked = recipe()
    with pytest.raises(SourceError):
        warm_start(Case(given, task(), None, asked), make_plan(given, asked, Situation(), home=False))


def test_a_plan_names_its_algorithm(start: Start) -> None:
    for asked, algorithm in ((recipe(), "trpo"), (recipe(methods=(KLToPrior(),)), "ppo")):
        started = start(agent("trpo"), asked)
        assert type(started.model).__name__ == algorithm.upper()
        assert isinstance(make_plan(agent("trpo"), asked, Situation(), home=False), Plan)
        assert started.prior.algorithm == algorithm


@pytest.mark.parametrize("asked", [False, True])
def test_first_episodes_are_cut_where_that_is_asked_for(
    asked: bool, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    made = Task.vector
    monkeypatch.setattr(Task, "vector", lambda self, *n, **how: told.append(how["stagger"]) or made(self, *n, **how))
    start(agent("ppo"), recipe(warm_start={"stagger": asked}))
    assert told == [asked]
