"""The lines that a report shows of a baseline, run as they stand, end with the weights of its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.load import load
from acclimate.studies import baselines
from acclimate.studies.lines import lines
from acclimate.tasks.task import Task
from tests.world import DISCRETE, Dot

SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 32, "batch_size": 32, "gamma": 0.9, "vf_coef": 0.7, "learning_rate": 1e-4},
    "A2C": {"gamma": 0.9, "n_steps": 7},
    "TRPO": {"n_steps": 32, "batch_size": 32, "target_kl": 0.02},
    "SAC": {"learning_starts": 20, "batch_size": 8, "tau": 0.01},
    "TD3": {"learning_starts": 20, "batch_size": 8, "action_noise": NormalActionNoise(np.zeros(1), np.full(1, 0.3))},
    "DDPG": {
        "learning_starts": 20,
        "batch_size": 8,
        "action_noise": OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.3), theta=0.2),
    },
    "DQN": {"learning_starts": 20, "batch_size": 8, "exploration_final_eps": 0.07, "train_freq": 2},
    "TQC": {"learning_starts": 20, "batch_size": 8},
    "QRDQN": {"learning_starts": 20, "batch_size": 8},
}
STEPS = 150
BY_DAY = {("PPO", True), ("SAC", False), ("DQN", False), ("TD3", False), ("TRPO", True)}


@pytest.mark.parametrize("row", ["competent", "naive", "scratch"])
@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        pytest.param(name, normalised, marks=() if (name, normalised) in BY_DAY else pytest.mark.nightly)
        for name in SETTINGS
        for normalised in (False, True)
    ],
)
def test_they_are_the_lines_that_ran(
    name: str, normalised: bool, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind: Any = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
    discrete = name.lower() in DISCRETE or name == "QRDQN"
    env: Any = DummyVecEnv([lambda: Dot(discrete=discrete)])
    if normalised:
        env = VecNormalize(env, gamma=0.9, clip_obs=7.0)
    own = {"net_arch": [8]}
    given = kind("MlpPolicy", env, policy_kwargs=own, seed=1, device="cpu", **SETTINGS[name]).learn(80)
    given.save("agent.zip")
    if normalised:
        env.save("vecnormalize.pkl")
    agent, task, seed = load("agent.zip"), Task(Dot, env_kwargs={"discrete": discrete, "offset": 0.5}), 3
    ways = baselines.way(row, agent, {})
    model = baselines.model_of(agent, task, ways, seed).learn(baselines.budget(agent, ways, STEPS))
    written = lines(agent, ways, STEPS)
    names = {
        **{one: getattr(module, one) for module in (stable_baselines3, sb3_contrib) for one in module.__all__},
        "VecNormalize": VecNormalize,
        "NormalActionNoise": NormalActionNoise,
        "OrnsteinUhlenbeckActionNoise": OrnsteinUhlenbeckActionNoise,
        "np": np,
        "task": task,
        "seed": seed,
        "torch": torch,
        "stable_baselines3": stable_baselines3,
    }
    exec(written, names)
    theirs = names["model"]
    for key, tensor in model.policy.state_dict().items():
        assert torch.equal(tensor, theirs.policy.state_dict()[key]), f"{key}\n{written}"
    if normalised:
        mine, other = model.get_env(), theirs.get_env()
        assert np.array_equal(mine.obs_rms.mean, other.obs_rms.mean)


def test_the_competent_user_does_what_is_said_of_him(tmp_path: Path) -> None:
    model = stable_baselines3.PPO("MlpPolicy", DummyVecEnv([Dot]), n_steps=32, batch_size=32, seed=0, device="cpu")
    with torch.no_grad():
        model.policy.log_std.fill_(-3.0)
    agent = load(model)
    made: Any = baselines.model_of(agent, Task(Dot), baselines.way("competent", agent, {}), 0)
    assert (made.n_envs, made.n_steps, made.batch_size, made.n_epochs, made.ent_coef) == (8, 256, 64, 10, 0.0)
    assert made.lr_schedule(1.0) == 3e-4
    assert float(made.policy.log_std) == -1.5
    naive: Any = baselines.model_of(agent, Task(Dot), baselines.way("naive", agent, {}), 0)
    assert float(naive.policy.log_std) == -3.0
    assert naive.n_steps == 32


def test_schedules_of_the_file_are_words() -> None:
    agent = load(stable_baselines3.PPO("MlpPolicy", DummyVecEnv([Dot]), n_steps=32, batch_size=32, device="cpu"))
    ways = baselines.way("naive", agent, {"learning_rate": "lin_0.004", "clip_range": 0.1})
    assert ways.settings["learning_rate"](0.25) == pytest.approx(0.001)
    assert "lambda left: 0.004 * max(left, 0.0)" in lines(agent, ways, 100)
