"""That a seed determines its episode is looked at once for each world of a run, and told where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from acclimate.runs.finetune import finetune
from acclimate.shifts import SensorNoise
from acclimate.tasks.repeated import STEPS, repeated
from acclimate.tasks.task import Task
from tests.world import Dot, agent, recipe, task


class Game(gym.Env):
    """Draws its numbers as its seed says."""

    opened: list[Game] = []  # noqa: RUF012 (all of them, on purpose)

    def __init__(self, length: int = 99) -> None:
        self.observation_space = Dict(seen=Box(-9.0, 9.0, (2,), np.float32), score=Discrete(1000))
        self.action_space, self.length, self.closed = Discrete(3), length, False
        assert all(other.closed for other in self.opened), "perhaps no two may be open"
        self.opened.append(self)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.seen = 0, np.zeros(2, np.float32)
        return self.show(), {}

    def show(self) -> Any:
        self.seen[:] = self.np_random.normal(size=2)  # into the same array
        return {"seen": self.seen, "score": int(self.np_random.integers(1000))}

    def reward(self) -> float:
        return float(self.np_random.normal())

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.show(), self.reward() + int(action), False, self.steps == self.length, {}

    def close(self) -> None:
        self.closed = True


class Layout(Game):
    """Draws where it stands when it is made, by numbers of its own."""

    def reset(self, **given: Any) -> Any:
        seen, info = super().reset(**given)
        return seen | {"score": len(self.opened)}, info


class Remembers(Game):
    """Pays more in each episode."""

    episodes = 0

    def reset(self, **given: Any) -> Any:
        self.episodes += 1
        return super().reset(**given)

    def reward(self) -> float:
        return 0.01 * self.episodes * (self.steps > 2)


class Lives(Game):
    """Goes on where it stood if it is reset within a game, as a wrapper that ends episodes with a life does."""

    def reset(self, **given: Any) -> Any:
        if getattr(self, "steps", 0) and self.steps < self.length:
            return self.show(), {}
        return super().reset(**given)


class Ends(Game):
    def step(self, action: Any) -> Any:
        *rest, _, info = super().step(action)
        return *rest, self.steps == 2 + len(self.opened) % 2, info


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (Layout, "another observation at the reset of seed 7"),
        (Remembers, "another reward at step 3 of seed 7"),
        (Lives, "another observation at the reset of seed 7"),
        (Ends, "another end at step 2 of seed 7"),
    ],
)
def test_what_a_seed_does_not_determine_is_named(env: Any, said: str) -> None:
    found = repeated(Task(env), 7)
    assert found.differs.startswith(f"{env.__name__}: the seed of a reset does not determine the episode ({said}).")
    assert "\n" not in found.differs


@pytest.mark.parametrize("length", [3, 99])
def test_what_repeats_is_not_named(length: int) -> None:
    assert repeated(Task(Game, env_kwargs={"length": length}), 7) == (None, 3 * min(length, STEPS))


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "LunarLander-v3", "Hopper-v5", "FrozenLake-v1"])
def test_worlds_that_are_known_repeat(env: str) -> None:
    assert repeated(Task(env), 7).differs is None


def test_a_shift_that_draws_repeats() -> None:
    assert repeated(Task("Pendulum-v1", (SensorNoise(0.1),)), 7).differs is None


class Restless(Dot):
    """Begins by numbers that no seed sets."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=None if seed is None else seed + 100 * Restless.resets())

    count = 0

    @classmethod
    def resets(cls) -> int:
        cls.count += 1
        return cls.count


def test_a_run_says_so_once_and_keeps_it(tmp_path: Path) -> None:
    said: list[str] = []
    world = Task(Restless)
    run = finetune(agent("ppo"), world, recipe(vec_env="dummy"), source=task(), out=tmp_path / "run", say=said.append)
    (note,) = [note for note in run.report.notes if "does not determine" in note]
    assert note.startswith("Restless: ")
    assert sum("does not determine" in each for each in said) == 1
    assert "does not determine" in (tmp_path / "run" / "before.json").read_text()
    quiet = finetune(agent("ppo"), task(), recipe(), source=task())
    assert not any("does not determine" in note for note in quiet.report.notes)
