"""What reaches an environment's `step` is what its action space would give, whoever steps it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.load import load
from acclimate.evaluation.evaluate import evaluate, evaluate_random
from acclimate.evaluation.film import record
from acclimate.evaluation.rollouts import collect
from acclimate.evaluation.transitions import Transitions
from acclimate.tasks.actions import held
from acclimate.tasks.task import Task

SPACES = [
    Discrete(3),
    Discrete(3, dtype=np.int32),
    Discrete(3, start=-1),
    MultiDiscrete([2, 3]),
    MultiBinary(3),
    MultiBinary((2, 2)),
    Box(-1.0, 1.0, (2,), np.float32),
    Box(-1.0, 1.0, (), np.float64),
]


def same_kind(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("shape", ["own", "around"])
@pytest.mark.parametrize("dtype", ["own", "float32"])
def test_an_action_is_as_if_sampled(space: Space[Any], shape: str, dtype: str) -> None:
    sample = space.sample()
    given = np.array(sample, None if dtype == "own" else dtype)
    found = held(space, given if shape == "own" else given[None])
    assert same_kind(found, sample)
    assert found == pytest.approx(sample)
    assert found in space


def test_a_discrete_action_is_a_key() -> None:
    action = held(Discrete(4), np.array(2))
    assert {0: "right", 2: "left"}[action] == "left"
    assert [10, 20, 30][action] == 30
    match action:
        case 2:
            pass
        case _:
            pytest.fail("it matches no number")


@pytest.mark.parametrize("space", [Tuple([Discrete(2), Discrete(2)]), Dict(a=Discrete(2)), Text(3)], ids=str)
def test_other_actions_stay(space: Space[Any]) -> None:
    action = space.sample()
    assert held(space, action) is action


class Strict(gym.Env):
    """Takes nothing but what its action space would give, once it is asked to."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)
    refuses = False

    def __init__(self, action_space: Space[Any], render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = Box(-1.0, 1.0, (2,), np.float32), action_space
        self.render_mode, self.left = render_mode, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 6
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.refuses and not same_kind(action, self.action_space.sample()):
            raise TypeError(f"{type(action)} of {action.dtype} and shape {action.shape}")
        self.left -= 1
        return self._seen(), 1.0, False, self.left == 0, {}

    def _seen(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def render(self) -> np.ndarray:
        return np.zeros((16, 16, 3), np.uint8)


CASES = [
    *((kind, space) for kind in (PPO, A2C) for space in (Discrete(3), MultiDiscrete([2, 3]), MultiBinary(3))),
    *((kind, Box(-2.0, 2.0, (2,), dtype)) for kind in (PPO, A2C, SAC, TD3) for dtype in (np.float32, np.float64)),
    (DQN, Discrete(3)),
]


@pytest.mark.parametrize(("kind", "space"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_whoever_steps(
    kind: type[BaseAlgorithm], space: Space[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    model = kind("MlpPolicy", Strict(space), policy_kwargs={"net_arch": [4]}, device="cpu", seed=0)
    agent, task = load(model), Task(Strict, env_kwargs={"action_space": space})
    monkeypatch.setattr(Strict, "refuses", True)
    steps = Transitions()
    for deterministic in (True, False):
        played = evaluate(agent, task, episodes=3, n_envs=2, deterministic=deterministic, record=steps)
        assert played.returns.tolist() == [6.0] * 3
    assert all(same_kind(step.action, space.sample()) for step in steps)
    assert evaluate_random(task, episodes=2).returns.tolist() == [6.0] * 2
    assert len(collect(agent, task, 8, seed=0)) == 8
    venv = task.vector(2, seed=0)
    actions, _ = agent.predict(venv.reset())
    assert venv.step(actions)[1].tolist() == [1.0, 1.0]
    venv.close()
    if kind in (PPO, SAC):
        clip = record(agent, task, tmp_path / "clip.mp4", seconds=0.3)
        assert clip.path is not None, clip.reason


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float16])
def test_an_action_is_not_rounded_to_a_narrower_box(kind: Any) -> None:
    """SB3 steps an environment with the numbers that its policies draw."""
    action = np.array([0.62345678, 1.9], np.float32)
    assert held(Box(0, 3, (2,), kind), action).tolist() == action.tolist()
