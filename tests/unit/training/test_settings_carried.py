"""Each setting of an agent's zip goes on in the training and into the written zip, or its loss is said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.formats.sb3 import hyperparameters
from acclimate.planning.case import Case
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from acclimate.sb3 import settings
from acclimate.sb3.noise import Noise
from acclimate.sb3.vocabulary import ALGORITHMS, OFF_POLICY, ON_POLICY
from acclimate.training.settings import TOLD
from acclimate.training.warm_start import WarmStarted, warm_start
from tests.world import DISCRETE, Dot, recipe, task

OTHER: dict[str, Any] = {
    "n_steps": 3, "batch_size": 6, "n_epochs": 3, "gamma": 0.9, "gae_lambda": 0.8, "clip_range": 0.3,
    "clip_range_vf": 0.4, "normalize_advantage": "not", "ent_coef": 0.02, "vf_coef": 0.7, "max_grad_norm": 0.3,
    "use_sde": True,
    "sde_sample_freq": 4, "target_kl": 0.05, "rms_prop_eps": 1e-4, "use_rms_prop": False, "cg_max_steps": 4,
    "cg_damping": 0.2, "line_search_shrinking_factor": 0.7, "line_search_max_iter": 5, "n_critic_updates": 3,
    "sub_sampling_factor": 2, "tau": 0.02, "train_freq": (2, "episode"), "gradient_steps": 2,
    "target_update_interval": 7, "exploration_fraction": 0.3, "exploration_initial_eps": 0.8,
    "exploration_final_eps": 0.02, "target_entropy": -2.0, "use_sde_at_warmup": True, "policy_delay": 4,
    "target_policy_noise": 0.3, "target_noise_clip": 0.6, "top_quantiles_to_drop_per_net": 1, "learning_rate": 0.002,
    "learning_starts": 9, "buffer_size": 70, "stats_window_size": 50,
    "action_noise": NormalActionNoise(np.zeros(1), np.full(1, 0.35)),
    "replay_buffer_kwargs": {"handle_timeout_termination": False},
    "optimize_memory_usage": True,
}  # fmt: skip
"""Another value than SB3's default for each argument of its constructors."""
CALLERS = {"self", "policy", "env", "policy_kwargs", "tensorboard_log", "verbose", "seed", "device",
           "_init_setup_model", "replay_buffer_class", "rollout_buffer_class", "rollout_buffer_kwargs"}  # fmt: skip
TUNED = sorted(ON_POLICY | OFF_POLICY)
CASES = [(name, argument) for name in TUNED for argument in settings.defaults(name) if argument not in CALLERS]


def stock(name: str, n_envs: int = 1, **arguments: Any) -> BaseAlgorithm:
    """Return an untrained model of the world."""
    small = {"n_steps": 8} if name in ON_POLICY else {"learning_starts": 4, "batch_size": 8, "buffer_size": 100}
    if name in ("ppo", "trpo"):
        small["batch_size"] = 8
    if "optimize_memory_usage" in arguments:
        arguments["replay_buffer_kwargs"] = {"handle_timeout_termination": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        venv = DummyVecEnv([lambda: Dot(discrete=name in DISCRETE)] * n_envs)
        policy = "MlpLstmPolicy" if name == "recurrent_ppo" else "MlpPolicy"
        return ALGORITHMS[name](policy, venv, policy_kwargs={"net_arch": [4]}, device="cpu", seed=0,
                                **{**small, **arguments})  # fmt: skip


def through_a_zip(model: BaseAlgorithm, folder: Path) -> Agent:
    model.save(folder / "given.zip")
    return load(folder / "given.zip")


def started(agent: Agent, asked: Recipe | None = None) -> WarmStarted:
    asked = asked or recipe()
    plan = make_plan(agent, asked, Situation(), home=False)
    begun = warm_start(Case(agent, task(agent.algorithm), None, asked), plan)
    begun.model.env.close()
    return begun


def held(model: BaseAlgorithm, argument: str) -> Any:
    """Return what a model has of an argument of its constructor."""
    if argument == "use_rms_prop":
        return type(model.policy.optimizer).__name__
    if argument == "rms_prop_eps":
        return model.policy.optimizer.param_groups[0]["eps"]
    return plain(getattr(model, {"stats_window_size": "_stats_window_size"}.get(argument, argument)))


def plain(value: Any) -> Any:
    """Return a setting so that two that mean the same are equal."""
    if isinstance(value, NormalActionNoise):
        return np.ravel(value._mu).tolist(), np.ravel(value._sigma).tolist()
    if callable(value):
        return value(1.0)
    return tuple(getattr(part, "value", part) for part in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_a_setting_goes_on_or_its_loss_is_said(name: str, argument: str, tmp_path: Path) -> None:
    default = settings.defaults(name)[argument]
    other = (not default) if OTHER[argument] == "not" else OTHER[argument]
    assert other != default
    model = stock(name, **{argument: other})
    agent = through_a_zip(model, tmp_path)
    begun = started(agent)
    kept = held(begun.model, argument) == held(model, argument)
    told = {what for what, _ in (*begun.carried, *begun.reset)}
    chosen = argument in TOLD or argument.startswith("exploration_")
    assert kept or argument in told or chosen, "it was dropped without a word"
    assert not (kept and argument in dict(begun.reset)), "it is said to be lost, and is not"

    agent.save(tmp_path / "written.zip")
    again = ALGORITHMS[name].load(tmp_path / "written.zip", device="cpu")
    assert held(again, argument) == held(model, argument), "the zip lost it"


@pytest.mark.parametrize("kind", ["normal", "wandering", "vectorised"])
@pytest.mark.parametrize("algorithm", [TD3, SAC])
def test_noise_goes_on_and_into_the_zip(kind: str, algorithm: Any, tmp_path: Path) -> None:
    base: Any = NormalActionNoise(np.full(1, 0.1), np.full(1, 0.4))
    if kind == "wandering":
        base = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.4), theta=0.3, dt=0.05, initial_noise=np.ones(1))
    noise = VectorizedActionNoise(base, 2) if kind == "vectorised" else base
    model = stock(algorithm.__name__.lower(), n_envs=2 if kind == "vectorised" else 1, action_noise=noise)
    for agent in (through_a_zip(model, tmp_path), load(model)):
        assert agent.blueprint.noise == Noise.around(base, 1)
        run = finetune(agent, task("td3"), recipe(n_envs=2), out=tmp_path / f"run-{agent.origin.path is None}")
        assert dict(run.report.carried)["action noise"].endswith("std 0.4 of an action in [-1, 1]")
        again = algorithm.load(run.folder / "agent.zip", device="cpu").action_noise
        assert Noise.around(again, 1) == Noise.around(base, 1), "SB3 goes on with another noise"
        assert load(run.folder).blueprint.noise == agent.blueprint.noise, "the bundle lost it"
    begun = started(load(model), recipe(warm_start={"std": 0.2}))
    if algorithm is TD3:
        assert begun.model.action_noise._sigma == pytest.approx(0.2), "what is asked for has precedence"
        assert "action noise" in dict(begun.reset)


def test_updates_after_each_episode_go_on_in_one_environment(tmp_path: Path) -> None:
    agent = through_a_zip(stock("td3", train_freq=(1, "episode"), gradient_steps=-1), tmp_path)
    assert plain(started(agent).model.train_freq) == (1, "episode")
    assert dict(started(agent, recipe(n_envs=2)).reset)["train_freq"] == "1 episode -> 1"


def test_a_noise_that_is_no_sb3_one_is_said(tmp_path: Path) -> None:
    class Own(NormalActionNoise):
        pass

    agent = load(stock("td3", action_noise=Own(np.zeros(1), np.ones(1))))
    assert agent.blueprint.noise is None
    assert "action_noise" in dict(agent.origin.unread)
    assert "action noise" in dict(started(agent).reset)


@pytest.mark.parametrize("algorithm", [DQN, SAC])
def test_returns_over_several_steps_and_time_limits_go_on(algorithm: Any, tmp_path: Path) -> None:
    name = algorithm.__name__.lower()
    model = stock(name, n_steps=3, replay_buffer_kwargs={"handle_timeout_termination": False})
    agent = through_a_zip(model, tmp_path)
    trains = started(agent).model.replay_buffer
    assert type(trains) is NStepReplayBuffer
    assert (trains.n_steps, trains.handle_timeout_termination) == (3, False)
    run = finetune(agent, task(name), recipe(), source=task(name), out=tmp_path / "run")
    again = algorithm.load(run.folder / "agent.zip", env=DummyVecEnv([lambda: Dot(discrete=name in DISCRETE)]))
    assert type(again.replay_buffer) is NStepReplayBuffer
    assert again.replay_buffer.n_steps == 3
    assert again.replay_buffer.handle_timeout_termination is False
    again.learn(32)


def test_a_changed_setting_is_in_the_report(tmp_path: Path) -> None:
    agent = through_a_zip(stock("ppo", n_epochs=3, clip_range=0.3, ent_coef=0.02), tmp_path)
    said: list[str] = []
    report = finetune(agent, task("ppo"), recipe(), say=said.append).report
    rows = dict(report.reset)
    assert rows["n_epochs"] == "3 -> 10"
    assert rows["clip_range"] == "0.3 -> 0.2"
    assert rows["ent_coef"] == "0.02 -> 0"
    assert any("n_epochs" in line and "3 -> 10" in line for line in said)


def test_a_schedule_that_is_code_is_said(tmp_path: Path) -> None:
    agent = through_a_zip(stock("ppo", clip_range=lambda left: 0.1 * left), tmp_path)
    assert "clip_range" in dict(started(agent).reset)


def test_a_memory_that_sb3_does_not_have_is_not_built() -> None:
    found, unread = hyperparameters.sensible("sac", {"optimize_memory_usage": True})
    assert "optimize_memory_usage" not in found
    assert "optimize_memory_usage" in dict(unread)
