from __future__ import annotations

import contextlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import ConfigError, SpaceMismatchError, TaskError
from acclimate.shifts import ActionDelay, Gravity, Mass, SensorNoise
from acclimate.tasks.spaces import check_spaces
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import FrameStack, TimeFeature


def test_an_environment_with_arguments_wrappers_and_shifts() -> None:
    task = Task("Pendulum-v1", (Gravity(2),), {"g": 5.0}, (TimeFeature(),))
    env = task.make()
    assert env.unwrapped.g == 10.0
    assert task.observation_space == env.observation_space
    assert task.observation_space.shape == (4,)
    assert task.action_space.shape == (1,)


def test_a_callable_environment() -> None:
    def world(g: float = 9.0, render_mode: str | None = None) -> gym.Env:
        return gym.make("Pendulum-v1", g=g, render_mode=render_mode)

    task = Task(world, (Gravity(2),), {"g": 3.0})
    assert task.make(render_mode="rgb_array").unwrapped.g == 6.0
    assert task.make(render_mode="rgb_array").render_mode == "rgb_array"
    assert task.describe() == "world with gravity=2"


def test_tasks_are_values() -> None:
    one, other = (Task("Pendulum-v1", [Gravity(2)], {"g": 5.0}) for _ in range(2))  # type: ignore[arg-type]
    assert one == other
    assert hash(one) == hash(other)
    assert one.shifts == (Gravity(2),)
    assert one.source == Task("Pendulum-v1", env_kwargs={"g": 5.0})
    assert one.source.shifted(Gravity(2)) == one
    assert one.shifted(Mass(2)).shifts == (Gravity(2), Mass(2))
    assert one.shifted(Mass(2)).describe() == "Pendulum-v1 with gravity=2, mass=2"


def test_a_shift_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    verify = Gravity.verify
    monkeypatch.setattr(Gravity, "verify", lambda self, *envs: calls.append(verify(self, *envs)))
    task = Task("CartPole-v1", (Gravity(2),))
    for _ in range(3):
        task.make()
    pickle.loads(pickle.dumps(task)).make()
    assert len(calls) == 1


# Errors


class Broken(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, **options: Any) -> Any:
        raise RuntimeError("no\nworld")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("HalfCheetha-v5"), r"cannot make the environment HalfCheetha-v5: .*Did you mean: `HalfCheetah`"),
        (Task("Hopper-v9"), r"cannot make the environment Hopper-v9: .*`v4`, `v5`"),
        (Task("LunarLander-v2"), r"LunarLander-v2: .* Use LunarLander-v3\."),
        (Task("HalfCheetah-v3"), r"HalfCheetah-v3: .* Use HalfCheetah-v5\."),
        (Task("Nowhere/Pong-v5"), r"cannot make the environment Nowhere/Pong-v5: Namespace Nowhere not found"),
        (Task("nowhere:World-v0"), r"cannot make the environment nowhere:World-v0: No module named 'nowhere'"),
        (Task("not an id"), r"cannot make the environment not an id: "),
        (Task("CartPole-v1", env_kwargs={"lenght": 2}), r"unexpected keyword argument 'lenght'"),
        (Task("LunarLander-v3", env_kwargs={"gravity": -20}), r"gravity .*must be between -12 and 0"),
        (Task(lambda: 1 / 0), r"the environment <lambda> raised ZeroDivisionError: division by zero; mend it"),
        (Task(Broken, (SensorNoise(0.1),)), r"the environment Broken with .* raised RuntimeError: no world; mend"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(task: Task, message: str) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        task.make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HalfCheetah-v3", "HalfCheetah-v5"),
        ("Swimmer-v2", "Swimmer-v5"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("LunarLanderContinuous-v2", "LunarLanderContinuous-v3"),
        ("Pendulum-v0", "Pendulum-v1"),
        ("BipedalWalker-v2", "BipedalWalker-v3"),
    ],
)
def test_old_ids_are_mapped_with_a_note(old: str, new: str) -> None:
    assert Task.modern_id(old) == (
        new,
        f"{old} is no longer made by Gymnasium: using {new}, whose physics may differ a little",
    )


@pytest.mark.parametrize(
    "env_id",
    ["CartPole-v1", "CartPole-v0", "HalfCheetah-v4", "HalfCheetah-v5", "Hopper-v9", "FetchReach-v1", "x y", "a:B-v0"],
)
def test_ids_without_a_newer_name_stay(env_id: str) -> None:
    assert Task.modern_id(env_id) == (env_id, "")


# Configuration

TASKS = [
    Task("CartPole-v1"),
    Task("Pendulum-v1", (Gravity(1.5), ActionDelay(2)), {"g": 9.0, "deep": {"list": [1, 2]}}, (FrameStack(2),)),
]


@pytest.mark.parametrize("task", TASKS)
def test_tasks_survive_yaml(task: Task) -> None:
    assert Task.from_config(yaml.safe_load(yaml.safe_dump(task.to_config()))) == task


def test_the_form_of_a_task_in_a_file() -> None:
    assert TASKS[0].to_config() == "CartPole-v1"
    assert TASKS[1].to_config() == {
        "env": "Pendulum-v1",
        "shifts": [{"gravity": {"factor": 1.5}}, {"action_delay": {"steps": 2}}],
        "env_kwargs": {"g": 9.0, "deep": {"list": [1, 2]}},
        "wrappers": [{"frame_stack": {"frames": 2}}],
    }
    short = {"env": "Pendulum-v1", "shifts": [{"gravity": 1.5}, {"action_delay": 2}], "wrappers": ["frame_stack"]}
    assert Task.from_config(short).shifts == TASKS[1].shifts


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"evn": "x"}, r"task: no field `evn`\. Did you mean `env`\?"),
        ({}, r"task: the field `env` is missing"),
        ({"env": 3}, r"task\.env: expected str, not 3"),
        ({"env": "a", "shifts": [{"gravity": 1}, "gravty"]}, r"task\.shifts\[1\]: no shift `gravty`\. Did you mean"),
        ({"env": "a", "shifts": [{"gravity": {"factr": 1}}]}, r"task\.shifts\[0\]\.gravity: no field `factr`"),
        (3, r"task: expected a mapping, not 3"),
    ],
)  # fmt: skip
def test_errors_in_a_file_name_the_field(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Task.from_config(value)


def test_a_file_may_not_import_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intruder.py").write_text(
        "import gymnasium as gym\ngym.register('Intruder-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for value in ("intruder:Intruder-v0", {"env": "intruder:Intruder-v0"}):
        with pytest.raises(ConfigError, match=r"task\.env: `intruder:Intruder-v0` imports code, which a file may not"):
            Task.from_config(value)
    assert "intruder" not in sys.modules
    trusted = Task.from_config("intruder:Intruder-v0", trust=True)
    assert trusted == Task("intruder:Intruder-v0")
    try:
        assert trusted.observation_space.shape == (4,)
    finally:
        gym.registry.pop("Intruder-v0", None)
        sys.modules.pop("intruder", None)


def test_a_callable_cannot_be_written() -> None:
    with pytest.raises(ConfigError, match="is a callable, which no file can hold; register it with Gymnasium"):
        Task(Broken).to_config()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=5,
    )
)
def test_any_data_is_a_task_or_a_config_error(value: Any) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(Task.from_config(value).env, str)


# Vectors


def test_a_vector_is_monitored_seeded_and_raw(tmp_path: Path) -> None:
    task = Task("Pendulum-v1", (Gravity(1.5),))
    venv = task.vector(2, seed=7, monitor=tmp_path / "log")
    first = venv.reset()
    for i in range(2):
        np.testing.assert_array_equal(first[i], task.make().reset(seed=7 + i)[0])
    for _ in range(200):
        _, _, dones, infos = venv.step(np.zeros((2, 1), dtype=np.float32))
    assert all(dones)
    assert infos[0]["episode"]["l"] == 200
    venv.close()
    assert sorted(os.listdir(tmp_path / "log")) == ["0.monitor.csv", "1.monitor.csv"]


def test_action_spaces_are_seeded() -> None:
    samples = []
    for _ in range(2):
        venv = Task("Pendulum-v1").vector(2, seed=7)
        samples.append([env.action_space.sample()[0] for env in venv.envs])  # type: ignore[attr-defined]
    assert samples[0] == samples[1]
    assert samples[0][0] != samples[0][1]


def test_processes_do_as_one_process_does() -> None:
    length = 0.25
    task = Task(lambda: gym.make("CartPole-v1"), (Gravity(2), SensorNoise(length)))
    seen = []
    for kind in ("dummy", "subproc"):
        venv = task.vector(2, seed=3, kind=kind)  # type: ignore[arg-type]
        observations = [venv.reset()]
        observations += [venv.step(np.array([1, 0]))[0] for _ in range(20)]
        seen.append(np.array(observations))
        venv.close()
    np.testing.assert_array_equal(seen[0], seen[1])


def test_vectors_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a vector of 0 environments is empty"):
        Task("CartPole-v1").vector(0, seed=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*; choose another folder"):
        Task("CartPole-v1").vector(1, seed=0, monitor=tmp_path / "file" / "x")


def test_a_swimmer_that_saw_the_time_needs_its_wrapper() -> None:
    class Agent:
        observation_space = gym.spaces.Box(-np.inf, np.inf, (9,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    with pytest.raises(SpaceMismatchError) as caught:
        check_spaces(Agent(), Task("Swimmer-v5"))
    assert str(caught.value) == (
        "Swimmer-v5: observation: agent expects shape (9,), the environment gives (8,). "
        "One entry more is what the wrapper `time_feature` adds: try it"
    )
