"""The steps of an evaluation, kept whole, in order, and read back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from acclimate.errors import SourceError
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.transitions import Transition, Transitions
from acclimate.tasks.task import Task
from tests.unit.evaluation.test_evaluate import Counter


class Seer(Counter):
    """The same, with two numbers to look at."""

    observation_space = gym.spaces.Box(-1.0, 1e6, (2,))


class OneArray(gym.Env):
    """Writes each observation into the array that it handed out before; ends after its seed's last digit of steps."""

    observation_space = Seer.observation_space
    action_space = gym.spaces.Discrete(10)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.length = 2 + int(seed or 0) % 10
        self.seen = np.array([seed, 0.0], np.float32)
        return self.seen, {}

    def step(self, action):
        self.seen[1] += 1
        over = self.seen[1] == self.length
        return self.seen, float(self.seen[1]), bool(over and self.length % 2), bool(over and not self.length % 2), {}


@pytest.mark.parametrize("n_envs", [1, 4])
def test_every_step_of_every_episode_in_order(n_envs: int) -> None:
    record = Transitions()
    found = evaluate(Seer(), Task(OneArray), episodes=4, seed=70, n_envs=n_envs, record=record)
    assert len(record) == found.lengths.sum() == 2 + 3 + 4 + 5
    rows = [(*step.observation, int(step.action), step.reward, *step.following) for step in record]
    assert rows == [(seed, t, t, t + 1, seed, t + 1) for seed in range(70, 74) for t in range(seed - 68)]
    ends = [(step.terminated, step.truncated) for step in record if step.terminated or step.truncated]
    assert ends == [(False, True), (True, False), (False, True), (True, False)]


def step(number: int, observation: Any) -> Transition:
    return Transition(observation, np.array([0.5 * number], np.float32), float(number), observation, True, False)


@pytest.mark.parametrize("parts", [False, True])
def test_they_are_read_back_as_they_were_written(parts: bool, tmp_path: Path) -> None:
    record, path = Transitions(), tmp_path / "probe.npz"
    for number in (5, 6):
        seen = np.full(3, number, np.uint8)
        record.add(7, step(number, {"a": seen, "b": seen[:1]} if parts else seen))
    record.write(path)
    back = list(Transitions.read(path))
    assert len(back) == 2
    for ours, theirs in zip(back, record, strict=True):
        for name in ("observation", "following"):
            first, second = getattr(ours, name), getattr(theirs, name)
            for key in "ab" if parts else [...]:
                assert first[key].tolist() == second[key].tolist()
                assert first[key].dtype == np.uint8
        assert ours.action.tolist() == theirs.action.tolist()
        assert (ours.reward, ours.terminated, ours.truncated) == (theirs.reward, True, False)


def test_none_are_none(tmp_path: Path) -> None:
    Transitions().write(tmp_path / "probe.npz")
    assert not Transitions.read(tmp_path / "probe.npz")


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_one_line(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(SourceError, match="start it anew") as caught:
        Transitions.read(path)
    assert "\n" not in str(caught.value)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    np.savez(path, observation=np.array([{}], dtype=object))
    with pytest.raises(SourceError, match="cannot be read"):
        Transitions.read(path)
