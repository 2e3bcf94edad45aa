"""A replay buffer begins with the transitions of the old training, or with steps that were played before this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.buffers import ReplayBuffer

from acclimate.agents.load import load
from acclimate.errors import AcclimateError, ConfigError, SourceError
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.transitions import Transition, Transitions
from acclimate.planning.case import Case
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.training.replay import replay_state, store
from acclimate.training.warm_start import WarmStarted, warm_start
from tests import tiny
from tests.world import agent, model, recipe, task


def begin(name: str, old: object, buffer: Path, **more: object) -> WarmStarted:
    asked = recipe(mode="continue", warm_start={"replay_buffer": str(buffer)}, **more)
    given = load(old)
    return warm_start(Case(given, task(name), None, asked), make_plan(given, asked, Situation(), home=False))


@pytest.mark.parametrize("name", ["sac", "dqn"])
@pytest.mark.parametrize("kind", ["pkl", "npz"])
@pytest.mark.parametrize("size", [20, 32, 200])
def test_the_continued_model_samples_what_the_old_one_saw(name: str, kind: str, size: int, tmp_path: Path) -> None:
    old = model(name, steps=32, buffer_size=size)
    path = tmp_path / f"replay.{kind}"
    if kind == "pkl":
        old.save_replay_buffer(path)
    else:
        np.savez(path, **replay_state(old))
    started = begin(name, old, path, algorithm={"buffer_size": 200})
    try:
        buffer, kept = started.model.replay_buffer, min(size, 32)
        assert ("replay buffer", f"{kept} transitions") in started.carried
        assert "replay buffer" not in dict(started.reset)
        assert (buffer.pos, buffer.full, buffer.buffer_size) == (kept, False, 200)
        order = np.arange(32 - kept, 32) % size
        for part in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
            assert np.array_equal(getattr(buffer, part)[:kept], getattr(old.replay_buffer, part)[order])
        rewards = set(old.replay_buffer.rewards[order].ravel().tolist())
        assert set(buffer.sample(50).rewards.ravel().tolist()) <= rewards
        started.model.learn(8, reset_num_timesteps=False)
        assert buffer.pos == kept + 8
        assert started.model._n_updates > old._n_updates
    finally:
        started.model.env.close()


def test_a_buffer_that_is_filled_to_the_brim_goes_round(tmp_path: Path) -> None:
    old = model("dqn", steps=32, buffer_size=20)
    old.save_replay_buffer(tmp_path / "replay.pkl")
    started = begin("dqn", old, tmp_path / "replay.pkl")
    buffer = started.model.replay_buffer
    assert (buffer.pos, buffer.full, buffer.size()) == (0, True, 20)
    started.model.env.close()


def test_a_buffer_of_another_world_or_size_is_refused(tmp_path: Path) -> None:
    old = model("sac")
    old.save_replay_buffer(tmp_path / "own.pkl")
    tiny.model("sac", steps=8).save_replay_buffer(tmp_path / "other.pkl")
    cases: list[tuple[str, dict[str, object], type[AcclimateError], str]] = [
        (
            "other.pkl",
            {},
            SourceError,
            r"its actions are float32 of shape \(2,\), and the agent's float32 of shape \(1,\)",
        ),
        ("own.pkl", {"algorithm": {"buffer_size": 10}}, ConfigError, "holds 32 transitions, and the model's buffer 10"),
        ("own.pkl", {"n_envs": 2}, ConfigError, "set n_envs to 1"),
    ]
    for file, more, error, said in cases:
        with pytest.raises(error, match=said) as caught:
            begin("sac", old, tmp_path / file, **more)
        assert "\n" not in str(caught.value)


def test_where_there_is_no_buffer_none_is_taken() -> None:
    with pytest.raises(ConfigError, match="set mode to `continue`"):
        Recipe.from_dict({"warm_start": {"replay_buffer": "replay.pkl"}})
    asked = Recipe.from_dict({"mode": "continue", "warm_start": {"replay_buffer": "replay.pkl"}})
    assert Recipe.from_dict(asked.to_dict()) == asked
    with pytest.raises(ConfigError, match="PPO has none"):
        make_plan(load(model("ppo")), asked, Situation(), home=False)


# What was played before the training


def played(name: str, episodes: int, *, trace: list[Any] | None = None, **more: Any) -> Transitions:
    record = Transitions()
    evaluate(agent(name), task(name, trace=trace, **more), episodes=episodes, n_envs=1, record=record)
    return record


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_steps_are_stored_as_sb3_stores_its_own(name: str) -> None:
    """What the environment was given and what it gave back: actions in the policy's units, ends by the time limit."""
    trace: list[Any] = []
    steps, fresh = played(name, 2, trace=trace), model(name, steps=0)
    assert store(fresh, steps) == 16
    buffer = fresh.replay_buffer
    assert (buffer.pos, buffer.full) == (16, False)
    given = buffer.actions[:16, 0]
    given = given if name == "dqn" else fresh.policy.unscale_action(given)
    assert np.allclose(given.ravel(), np.ravel([actions for _, actions in trace]))
    seen, following = buffer.observations[:16, 0], buffer.next_observations[:16, 0]
    inside = [t for t in range(15) if t != 7]
    assert np.array_equal(seen[[t + 1 for t in inside]], following[inside])
    assert not np.array_equal(seen[8], following[7]), "the end of an episode is its own last observation"
    assert np.allclose(buffer.rewards[:16, 0], -np.abs(following[:, 0]))
    ends = [float(t in (7, 15)) for t in range(16)]
    assert buffer.dones[:16, 0].tolist() == buffer.timeouts[:16, 0].tolist() == ends
    assert buffer.sample(64).dones.sum() == 0, "a time limit is no terminal state"


def test_a_terminal_state_is_one() -> None:
    record, seen = Transitions(), np.zeros(2, np.float32)
    record.add(0, Transition(seen, np.array(1), 1.0, seen, True, True))
    fresh = model("dqn", steps=0)
    store(fresh, record)
    assert fresh.replay_buffer.sample(4).dones.tolist() == [[1.0]] * 4


def test_several_environments_share_them_and_a_cut_bootstraps() -> None:
    """16 steps of two episodes over three columns: five each, and the sixteenth is left over."""
    fresh = model("sac", steps=0)
    fresh.replay_buffer = buffer = ReplayBuffer(40, fresh.observation_space, fresh.action_space, n_envs=3)
    steps = played("sac", 2)
    assert store(fresh, steps) == 15
    assert buffer.pos == 5
    rewards = np.array([step.reward for step in steps], np.float32)
    assert np.array_equal(buffer.rewards[:5].T.ravel(), rewards[:15])
    assert (
        buffer.dones[:5].T.tolist()
        == buffer.timeouts[:5].T.tolist()
        == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 1], [0] * 4 + [1]]
    )
