"""Images that a normaliser scales: SB3 keeps their space as what it clips to, and the environment gives bytes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.load import load
from acclimate.errors import SpaceMismatchError
from acclimate.evaluation.evaluate import evaluate
from acclimate.runs.finetune import finetune
from acclimate.tasks.task import Task
from tests.world import ARGUMENTS, recipe

PICTURE = spaces.Box(0, 255, (4, 5, 3), np.uint8)
CODED = spaces.Box(0.0, 1.0, (4, 5, 3), np.float32)


class Tiles(gym.Env):
    """Four steps along a row of tiles; what is paid is where one stands."""

    def __init__(self, *, parts: bool, discrete: bool, wind: int = 0, picture: gym.Space = PICTURE) -> None:
        self.observation_space = spaces.Dict(image=picture, place=spaces.Discrete(5)) if parts else picture
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.parts, self.wind = parts, wind

    def _seen(self) -> Any:
        image = np.zeros((4, 5, 3), np.uint8)
        image[:, self.x] = (5, self.left, 8)
        return {"image": image, "place": self.x} if self.parts else image

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.left = int(self.np_random.integers(5)), 4
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        move = int(action) - 1 if isinstance(self.action_space, spaces.Discrete) else round(float(action[0]))
        self.x, self.left = int(np.clip(self.x + move - self.wind, 0, 4)), self.left - 1
        return self._seen(), float(self.x), self.left == 0, False, {}


@pytest.mark.parametrize("parts", [True, False], ids=["dict", "image"])
@pytest.mark.parametrize("kind", [PPO, SAC, DQN], ids=lambda kind: kind.__name__)
def test_an_agent_of_normalised_images_is_tuned_and_goes_back_to_sb3(kind: Any, parts: bool, tmp_path: Path) -> None:
    name = kind.__name__.lower()
    given = {"parts": parts, "discrete": kind is not SAC}
    venv = VecNormalize(DummyVecEnv([lambda: Monitor(Tiles(**given))]), norm_obs_keys=["image"] if parts else None)
    policy = "MultiInputPolicy" if parts else "MlpPolicy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(policy, venv, seed=0, device="cpu", policy_kwargs={"net_arch": [8]}, **ARGUMENTS[name]).learn(64)
    agent, task = load(model), Task(Tiles, env_kwargs=given)
    venv.training = venv.norm_reward = False
    mine = evaluate(agent, task, episodes=6, n_envs=1)
    venv.seed(int(mine.seeds[0]))
    seen = [evaluate_policy(model, venv, n_eval_episodes=1, warn=False)[0]]
    assert mine.returns[0] == pytest.approx(seen[0]), "not the action of stock SB3 on the same picture"

    changed = Task(Tiles, env_kwargs={**given, "wind": 1})
    run = finetune(agent, changed, recipe(steps=400), source=task, out=tmp_path / "run", progress=False)
    held = run.agent.blueprint.observation_space
    image = held["image"] if isinstance(held, spaces.Dict) else held
    assert image.dtype == np.float32, "SB3 compares spaces behind the normaliser"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = VecNormalize.load(str(tmp_path / "run" / "vecnormalize.pkl"), DummyVecEnv([lambda: Tiles(**given)]))
        kind.load(tmp_path / "run" / "agent.zip", env=stock).learn(32)


def test_other_numbers_in_a_picture_s_place_are_still_refused() -> None:
    """Bounds that no normaliser clips to are the environment's own."""
    venv = DummyVecEnv([lambda: Tiles(parts=False, discrete=True, picture=CODED)])
    agent = load(PPO("MlpPolicy", venv, device="cpu", policy_kwargs={"net_arch": [8]}))
    with pytest.raises(SpaceMismatchError, match="agent expects float32, the environment gives uint8"):
        evaluate(agent, Task(Tiles, env_kwargs={"parts": False, "discrete": True}), episodes=1)


def test_the_space_that_environments_share_stays_theirs(tmp_path: Path) -> None:
    """SB3's normaliser writes into the Dict that it is given; a space of a class is that of every environment."""
    given = {"parts": True, "discrete": True}
    shared = spaces.Dict(image=spaces.Box(0, 255, (4, 5, 3), np.uint8), place=spaces.Discrete(5))

    class Shared(Tiles):
        def __init__(self) -> None:
            super().__init__(**given)
            self.observation_space = shared

    venv = VecNormalize(DummyVecEnv([lambda: Tiles(**given)]), norm_obs_keys=["image"])
    model = PPO("MultiInputPolicy", venv, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu")
    finetune(load(model), Task(Shared), recipe(steps=400), progress=False)
    assert shared["image"].dtype == np.uint8
