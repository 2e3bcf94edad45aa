"""Agents that choose among what an environment allows are asked as sb3-contrib asks them, whoever asks."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3 import PPO

from acclimate.agents.load import load
from acclimate.errors import ConfigError, TaskError
from acclimate.evaluation.evaluate import evaluate, evaluate_random
from acclimate.evaluation.film import record
from acclimate.evaluation.rollouts import collect
from acclimate.parallel.vector import ForkedVecEnv
from acclimate.shifts.actions import ActionDelay, ActionNoise
from acclimate.shifts.masks import choices, sampled
from acclimate.shifts.sensors import SensorNoise
from acclimate.shifts.trace import differs
from acclimate.tasks.task import Task

SPACES = [Discrete(6), MultiDiscrete([3, 4]), MultiBinary(4)]


def numbers(space: Space[Any], action: Any) -> list[int]:
    """Return the places in a mask that an action takes."""
    if isinstance(space, Discrete):
        return [int(action)]
    if isinstance(space, MultiDiscrete):
        return [int(each) + int(offset) for each, offset in zip(action, (0, *np.cumsum(space.nvec)[:-1]), strict=True)]
    return [2 * place + int(bit) for place, bit in enumerate(action)]


class Hidden(gym.Env):
    """Pays by the places of an action; raises where one is not allowed. It tells nobody."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, space: Space[Any], render_mode: str | None = None) -> None:
        self.observation_space, self.action_space, self.render_mode = Box(0.0, 1.0, (3,)), space, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(4, 9))
        return self._next(), {}

    def _next(self) -> np.ndarray:
        """Allow others at each step, by chance, and one of each choice at least."""
        space, parts = self.action_space, []
        sizes = [space.n] if isinstance(space, Discrete) else getattr(space, "nvec", [2] * (choices(space) // 2))
        for size in sizes:
            part = self.np_random.uniform(size=size) < 0.4
            part[self.np_random.integers(size)] = True
            parts.append(part)
        self.open = np.concatenate(parts)
        return self.np_random.uniform(size=3).astype(np.float32)

    def step(self, action: Any) -> Any:
        places = numbers(self.action_space, action)
        if not self.open[places].all():
            raise ValueError(f"illegal move {action}")
        self.left -= 1
        return self._next(), float(sum(places)), self.left == 0, False, {}

    def render(self) -> np.ndarray:
        return np.zeros((16, 16, 3), np.uint8)


class Open(Hidden):
    def action_masks(self) -> np.ndarray:
        if not self.left:
            raise RuntimeError("the episode has ended: nothing is allowed")
        return self.open


def masked(space: Space[Any], algorithm: Any = MaskablePPO) -> Any:
    return load(algorithm("MlpPolicy", Open(space), policy_kwargs={"net_arch": [8]}, n_steps=8, device="cpu", seed=0))


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_return_is_that_of_sb3_contribs_own_evaluation(space: Space[Any], n_envs: int) -> None:
    class Seeded(Open):
        """Begins episode after episode by the seeds of ours, as sb3-contrib's evaluation gives none."""

        seeds = iter(range(70, 99))

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return super().reset(seed=next(self.seeds))

    class Quiet(Seeded):
        def action_masks(self) -> np.ndarray:
            return self.open

    agent = masked(space)
    theirs, lengths = evaluate_policy(
        agent.model, Quiet(space), n_eval_episodes=7, return_episode_rewards=True, warn=False
    )
    ours = evaluate(agent, Task(Open, env_kwargs={"space": space}), episodes=7, seed=70, n_envs=n_envs)
    assert ours.returns.tolist() == theirs
    assert ours.lengths.tolist() == lengths


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_no_move_is_illegal_whoever_plays(space: Space[Any], tmp_path: Any) -> None:
    agent, task = masked(space), Task(Open, env_kwargs={"space": space})
    evaluate(agent, task, episodes=10, deterministic=False)
    evaluate_random(task, episodes=10, n_envs=3)
    assert len(collect(agent, task, 60, seed=0)) == 60
    assert record(agent, task, tmp_path / "a.mp4", seconds=0.2).path is not None
    wrapped = Task(lambda: ActionMasker(Hidden(space), lambda env: env.open))
    evaluate(agent, wrapped, episodes=10)


@pytest.mark.parametrize("space", [*SPACES, MultiBinary((2, 3))], ids=str)
def test_chance_takes_all_that_is_allowed_and_nothing_else(space: Space[Any]) -> None:
    space.seed(0)
    mask = np.zeros(choices(space), bool)
    if isinstance(space, MultiDiscrete):
        mask[[0, 2, 4, 6]] = True
    else:
        mask[::2] = True  # of bits: none may be set
        mask[1] = True
    seen: set[int] = set()
    for _ in range(100):
        action = sampled(space, mask)
        assert action in space
        seen |= set(numbers(space, np.ravel(action) if isinstance(space, MultiBinary) else action))
    assert seen == set(np.flatnonzero(mask).tolist())


def test_an_agent_without_masks_gets_none() -> None:
    """It plays as it is, and an environment that refuses its move is named."""
    agent, task = masked(Discrete(6), PPO), Task(Open, env_kwargs={"space": Discrete(6)})
    with pytest.raises(TaskError, match="raised ValueError: illegal move"):
        evaluate(agent, task, episodes=10)
    with pytest.raises(ConfigError, match="a ppo agent takes no `action_masks`"):
        agent.predict(np.zeros(3, np.float32), action_masks=np.ones(6, bool))


def test_a_world_that_does_not_tell_is_played_with_one_warning() -> None:
    class Lenient(Hidden):
        def step(self, action: Any) -> Any:
            self.open[:] = True
            return super().step(action)

    agent, task = masked(Discrete(6)), Task(Lenient, env_kwargs={"space": Discrete(6)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evaluate(agent, task, episodes=4)
    (said,) = [str(each.message) for each in caught if "action_masks" in str(each.message)]
    assert "this one has none: it chooses among all actions" in said


def test_a_mask_of_another_size_is_named() -> None:
    class Short(Open):
        def action_masks(self) -> np.ndarray:
            return self.open[:-1]

    said = r"Short, episode 0 \(seed 70\), step 0, gave 5 numbers by `action_masks` for 6 choices"
    with pytest.raises(TaskError, match=said):
        evaluate(masked(Discrete(6)), Task(Short, env_kwargs={"space": Discrete(6)}), episodes=1, seed=70)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_mask_that_allows_nothing_is_named(space: Space[Any]) -> None:
    class Shut(Open):
        def action_masks(self) -> np.ndarray:
            mask = self.open.copy()
            mask[: 2 if isinstance(space, MultiBinary) else 3 if isinstance(space, MultiDiscrete) else 6] = False
            return mask

    with pytest.raises(TaskError, match=r"Shut, episode 0 \(seed 70\), step 0, allows no action by `action_masks`"):
        evaluate(masked(space), Task(Shut, env_kwargs={"space": space}), episodes=1, seed=70)


@pytest.mark.parametrize("kind", ["dummy", "auto"])
def test_masks_reach_training_through_shifts_wrappers_and_vectors(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each environment's own at each step, those of the episode that has just begun among them."""
    monkeypatch.setattr("acclimate.tasks.task.processes", lambda *_: 2)

    class Shown(gym.ObservationWrapper):
        def observation(self, observation: Any) -> Any:
            return observation * 2

    shifts = (SensorNoise(0.1), ActionNoise(0.3))
    task = Task(lambda: Shown(Open(Discrete(6))), shifts=shifts)
    venv = task.vector(3, seed=5, kind=kind, stagger=True, late=True)
    assert isinstance(venv, ForkedVecEnv) is (kind == "auto")
    try:
        venv.reset()
        assert venv.has_attr("action_masks")
        assert not venv.has_attr("no_such_thing")
        seen = []
        for _ in range(40):
            masks = np.stack(venv.env_method("action_masks"))
            seen.append(masks)
            venv.step(masks.argmax(1))
    finally:
        venv.close()
    assert np.stack(seen).shape == (40, 3, 6)
    assert any((masks[0] != masks[1]).any() for masks in seen)


def test_a_shift_of_actions_keeps_to_what_is_allowed() -> None:
    """Noise draws among it; a delay, which could not, is refused, and no shift is tried by an illegal move."""
    noisy = Task(Open, env_kwargs={"space": Discrete(6)}, shifts=(ActionNoise(1.0),))
    evaluate_random(noisy, episodes=10)
    late = Task(Open, env_kwargs={"space": Discrete(6)}, shifts=(ActionDelay(2),))
    with pytest.raises(TaskError, match="it tells which actions it allows, and one that comes later may be none"):
        late.make()
    assert {info.name for info in Task(Open, env_kwargs={"space": Discrete(6)}).offers()} >= {
        "action_noise",
        "sensor_noise",
    }


def test_other_masks_are_a_difference_of_their_own() -> None:
    class Narrow(Open):
        def _next(self) -> np.ndarray:
            seen = super()._next()
            self.open[:] = False
            self.open[int(self.np_random.integers(6))] = True
            return seen

    class Wide(Narrow):
        def action_masks(self) -> np.ndarray:
            return np.ones(6, bool)

        def step(self, action: Any) -> Any:
            self.open[:] = True
            return super().step(action)

    one, other = Narrow(Discrete(6)), Wide(Discrete(6))
    assert differs(one, other)
    assert differs(other, one)
    assert not differs(Narrow(Discrete(6)), Narrow(Discrete(6)))
