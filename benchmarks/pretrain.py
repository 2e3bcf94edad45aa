"""Train the agents that the project pretrains itself: the shipped demo agent and those of benchmark tier A.

    python benchmarks/pretrain.py lunarlander-ppo --shipped  # src/acclimate/agents/shipped/ppo-LunarLander-v3.zip
    python benchmarks/pretrain.py cartpole-ppo --seed 2      # benchmarks/agents/ppo-CartPole-v1-s2.zip

Training and files are Stable-Baselines3's own, so that a user's agent and ours differ in nothing. Each folder
has an `index.json` with the recipe, the seed, the wall time and the return of every agent. One torch thread
and `DummyVecEnv`: a run repeats on the same versions and processor.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "src" / "acclimate" / "agents" / "shipped"
AGENTS = ROOT / "benchmarks" / "agents"
EVALUATION_SEED = 10_000
ALGORITHMS = {"ppo": sb3.PPO, "dqn": sb3.DQN, "sac": sb3.SAC}


@dataclass(frozen=True)
class Pretraining:
    """All that is needed to train one agent again, the seed apart."""

    algorithm: str
    env: str
    steps: int
    n_envs: int
    learning_rate: float
    """Falls linearly to zero over the run if `anneal`."""
    anneal: bool = False
    normalize: bool = False
    """Normalise observations and rewards by running statistics (`VecNormalize`)."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


# In the manner of rl-baselines3-zoo's tuned hyperparameters, changed where that saves minutes on one core.
PRETRAININGS = {
    "lunarlander-ppo": Pretraining(
        algorithm="ppo",
        env="LunarLander-v3",
        steps=1_500_000,
        n_envs=16,
        learning_rate=5e-4,
        anneal=True,
        normalize=True,
        hyperparameters={
            "n_steps": 1024,
            "batch_size": 128,
            "n_epochs": 4,
            "gamma": 0.999,
            "gae_lambda": 0.98,
            "ent_coef": 0.01,
        },
    ),
    "cartpole-ppo": Pretraining(
        algorithm="ppo",
        env="CartPole-v1",
        steps=100_000,
        n_envs=8,
        learning_rate=1e-3,
        anneal=True,
        hyperparameters={
            "n_steps": 32,
            "batch_size": 256,
            "n_epochs": 20,
            "gamma": 0.98,
            "gae_lambda": 0.8,
            "ent_coef": 0.0,
        },
    ),
    "acrobot-ppo": Pretraining(
        algorithm="ppo",
        env="Acrobot-v1",
        steps=200_000,
        n_envs=16,
        learning_rate=3e-4,
        normalize=True,
        hyperparameters={"n_steps": 256, "n_epochs": 4, "gamma": 0.99, "gae_lambda": 0.94, "ent_coef": 0.0},
    ),
    "pendulum-ppo": Pretraining(
        algorithm="ppo",
        env="Pendulum-v1",
        steps=150_000,
        n_envs=4,
        learning_rate=1e-3,
        hyperparameters={
            "n_steps": 1024,
            "n_epochs": 10,
            "gamma": 0.9,
            "gae_lambda": 0.95,
            "ent_coef": 0.0,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    "pendulum-sac": Pretraining(
        algorithm="sac",
        env="Pendulum-v1",
        steps=8_000,
        n_envs=1,
        learning_rate=1e-3,
        hyperparameters={
            "learning_starts": 500,
            "batch_size": 64,
            "buffer_size": 10_000,
            "gamma": 0.98,
            "policy_kwargs": {"net_arch": [64, 64]},
        },
    ),
    "lunarlander-dqn": Pretraining(
        algorithm="dqn",
        env="LunarLander-v3",
        steps=150_000,
        n_envs=1,
        learning_rate=6.3e-4,
        anneal=True,
        hyperparameters={
            "batch_size": 128,
            "buffer_size": 50_000,
            "learning_starts": 0,
            "gamma": 0.99,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": -1,
            "exploration_fraction": 0.12,
            "exploration_final_eps": 0.1,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
}


def train(pretraining: Pretraining, *, seed: int) -> tuple[BaseAlgorithm, VecNormalize | None]:
    """Train one agent from scratch and return it with its normaliser, if it has one."""
    venv = make_vec_env(pretraining.env, n_envs=pretraining.n_envs, seed=seed)
    if pretraining.normalize:
        venv = VecNormalize(venv, gamma=pretraining.hyperparameters["gamma"])
    rate = pretraining.learning_rate
    model = ALGORITHMS[pretraining.algorithm](
        "MlpPolicy",
        venv,
        learning_rate=LinearSchedule(rate, 0.0, 1.0) if pretraining.anneal else rate,
        seed=seed,
        device="cpu",
        **pretraining.hyperparameters,
    )
    model.learn(pretraining.steps)
    return model, venv if isinstance(venv, VecNormalize) else None


def returns(model: BaseAlgorithm, normalizer: VecNormalize | None, env: str, *, episodes: int = 50) -> np.ndarray:
    """Return what deterministic episodes bring, side by side, episode `i` seeded `EVALUATION_SEED + i`."""
    envs = [gym.make(env) for _ in range(episodes)]
    observations = np.stack([one.reset(seed=EVALUATION_SEED + index)[0] for index, one in enumerate(envs)])
    totals, alive = np.zeros(episodes), np.arange(episodes)
    while alive.size:
        batch = observations[alive]
        actions, _ = model.predict(normalizer.normalize_obs(batch) if normalizer else batch, deterministic=True)
        going = []
        for index, action in zip(alive, actions, strict=True):
            observations[index], reward, terminated, truncated, _ = envs[index].step(action)
            totals[index] += reward
            going.append(not (terminated or truncated))
        alive = alive[going]
    for one in envs:
        one.close()
    return totals


def record(index: Path, stem: str, entry: Mapping[str, Any]) -> None:
    """Write one agent's entry into the folder's index, in the order of names."""
    entries = json.loads(index.read_text()) if index.exists() else {}
    entries[stem] = entry
    index.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


def pretrain(name: str, *, seed: int, shipped: bool) -> dict[str, Any]:
    """Train the named agent, save it with its normaliser and return its entry in the index."""
    pretraining = PRETRAININGS[name]
    begun = time.perf_counter()
    model, normalizer = train(pretraining, seed=seed)
    seconds = time.perf_counter() - begun
    folder, stem = (SHIPPED if shipped else AGENTS), f"{pretraining.algorithm}-{pretraining.env}"
    if not shipped:
        stem += f"-s{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{stem}.zip")
    if normalizer:
        # Beside a lone agent; where there are many, in a folder of the agent's name, as the zoo has it.
        beside = folder if shipped else folder / stem
        beside.mkdir(exist_ok=True)
        normalizer.save(beside / "vecnormalize.pkl")
    scores = returns(model, normalizer, pretraining.env)
    entry = {
        "pretraining": name,
        "algorithm": pretraining.algorithm,
        "env": pretraining.env,
        "seed": seed,
        "steps": model.num_timesteps,
        "n_envs": pretraining.n_envs,
        "policy": "MlpPolicy",
        "learning_rate": pretraining.learning_rate,
        "anneal": pretraining.anneal,
        "normalize": pretraining.normalize,
        "hyperparameters": dict(pretraining.hyperparameters),
        "wall_seconds": round(seconds, 1),
        "return": {
            "mean": round(float(scores.mean()), 2),
            "std": round(float(scores.std(ddof=1)), 2),
            "episodes": len(scores),
            "seeds": [EVALUATION_SEED, EVALUATION_SEED + len(scores) - 1],
        },
        "versions": {
            "python": platform.python_version(),
            "stable_baselines3": sb3.__version__,
            "gymnasium": gym.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    record(folder / "index.json", stem, entry)
    return entry


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PRETRAININGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shipped", action="store_true", help="write the agent that is shipped in the wheel")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    entry = pretrain(arguments.name, seed=arguments.seed, shipped=arguments.shipped)
    print(json.dumps({"return": entry["return"], "wall_seconds": entry["wall_seconds"]}))


if __name__ == "__main__":
    main()
