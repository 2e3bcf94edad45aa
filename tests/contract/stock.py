"""Loads every agent of a folder as stock SB3 does, and writes what each does on the same observations.

It runs in a process of its own: it unpickles, and it makes Gymnasium answer to the old name of Gym.

    python stock.py FOLDER OUT.npz
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import sb3_contrib
import stable_baselines3
from gymnasium import spaces
from stable_baselines3.common.save_util import load_from_zip_file

CLASSES = {
    **{name.lower(): getattr(stable_baselines3, name) for name in ("PPO", "A2C", "DQN", "SAC", "TD3", "DDPG")},
    **{name.lower(): getattr(sb3_contrib, name) for name in ("TQC", "QRDQN", "TRPO", "CrossQ", "ARS")},
    "her": stable_baselines3.SAC,
    "recurrent_ppo": sb3_contrib.RecurrentPPO,
    "maskable_ppo": sb3_contrib.MaskablePPO,
}


class Goal(gymnasium.Env):
    """An environment that has a goal's spaces, which is all that loading a HER agent needs."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> float:
        return 0.0


def alias_gym() -> None:
    """Make `gym` and its modules name those of Gymnasium."""
    for name in [name for name in sys.modules if name.split(".")[0] == "gymnasium"]:
        sys.modules[name.replace("gymnasium", "gym", 1)] = sys.modules[name]


def observations(space: spaces.Space, n: int = 64) -> Any:
    """Return a batch of observations, the same for equal shapes."""
    if isinstance(space, spaces.Dict):
        return {key: observations(part, n) for key, part in space.spaces.items()}
    draw = np.random.default_rng(0).normal(scale=2.0, size=(n, *space.shape))
    if space.dtype == np.uint8:
        return (np.abs(draw) * 60).clip(0, 255).astype(np.uint8)
    return draw.astype(space.dtype)


def load(path: Path) -> Any:
    """Return the model that SB3's own loader makes of a zip."""
    cls = CLASSES[path.parts[-3]]
    try:
        return cls.load(path, device="cpu")
    except AssertionError as error:
        if "HerReplayBuffer" not in str(error):
            raise
        data, _, _ = load_from_zip_file(path, device="cpu")
        env = Goal(data["observation_space"], data["action_space"])
        return cls.load(path, env=env, device="cpu")


def scaled(path: Path, model: Any, obs: Any) -> Any:
    """Return observations as the pickled normaliser beside a zip scales them."""
    beside = sorted(path.parent.glob("*/vecnormalize.pkl"))
    if not beside:
        return obs
    vec = pickle.loads(beside[0].read_bytes())
    vec.norm_obs = getattr(vec, "norm_obs", True)
    if isinstance(vec.obs_rms, dict) and not isinstance(obs, dict):
        # HER agents before SB3 1.1 put the goal behind the observation after both were normalised.
        cut = vec.obs_rms["observation"].mean.size
        parts = {"observation": obs[:, :cut], "desired_goal": obs[:, cut:]}
        normal = [vec._normalize_obs(parts[key], vec.obs_rms[key]).astype(np.float32) for key in parts]
        return np.concatenate(normal, axis=1)
    return vec.normalize_obs(obs)


def main(folder: Path, out: Path) -> None:
    """Write the deterministic actions of each zip, by its path in the folder."""
    alias_gym()
    warnings.simplefilter("ignore")
    found = {}
    for path in sorted(folder.rglob("*.zip")):
        model = load(path)
        obs = observations(model.observation_space)
        name = str(path.relative_to(folder))
        found[f"raw/{name}"], _ = model.predict(obs, deterministic=True)
        found[f"scaled/{name}"], _ = model.predict(scaled(path, model, obs), deterministic=True)
    np.savez(out, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
