"""The world that an agent's files tell of: made of what they name, told line by line, or refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from stable_baselines3 import PPO

import acclimate as ac
from acclimate.cli import main
from tests.lives import Lives

TIME = "sb3_contrib.common.wrappers.TimeFeatureWrapper"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "ppo-CartPole-v1.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [4]}).save(path)
    return path


def beside(made: Path, folder: Path, *, name: str = "agent.zip", **files: dict[str, Any]) -> ac.Agent:
    """Load a copy of the agent with files beside it."""
    shutil.copy(made, folder / name)
    for file, said in files.items():
        (folder / f"{file}.yml").write_text(yaml.safe_dump(said))
    return ac.load(folder / name)


def test_all_that_the_files_name_is_applied_and_told(made: Path, tmp_path: Path) -> None:
    config = {"env_wrapper": [{TIME: {"max_steps": 200}}], "frame_stack": 2}
    found = ac.home(beside(made, tmp_path, config=config, args={"env": "Pendulum-v0", "env_kwargs": {"g": 9.0}}))
    task = ac.Task("Pendulum-v1", env_kwargs={"g": 9.0}, wrappers=(ac.TimeFeature(200), ac.FrameStack(2)))
    assert found.task == task
    assert task.observation_space.shape == (8,)
    first, *others = found.notes
    assert first.startswith("environment: Pendulum-v1, the agent's own (Pendulum-v0 is no longer made")
    assert others == [
        "environment: wrapped in time_feature:max_steps=200, frame_stack:frames=2, as the agent's files say",
        "environment: made with g=9.0, as the agent's files say",
    ]
    assert str(found) == "\n".join(found.notes)


def test_what_is_given_goes_before_and_is_not_told(made: Path, tmp_path: Path) -> None:
    agent = beside(made, tmp_path, config={"env_wrapper": TIME}, args={"env": "Pendulum-v1", "env_kwargs": {"g": 9.0}})
    assert ac.home(agent, env_kwargs={"g": 1.0}).task.env_kwargs == {"g": 1.0}
    assert not any("g=" in note for note in ac.home(agent, env_kwargs={"g": 1.0}).notes)
    mine = ac.home(agent, env="CartPole-v1", wrappers=(ac.MaskVelocity(),))
    assert (mine.task, mine.notes) == (ac.Task("CartPole-v1", wrappers=(ac.MaskVelocity(),)), ())
    assert str(mine) == "CartPole-v1"
    assert ac.home(agent, env=Lives).task == ac.Task(Lives, wrappers=(ac.TimeFeature(),))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"env_wrapper": "os.system"}, r"config\.yml: env_wrapper: `os\.system` is not on the list .*--wrapper"),
        ({"vec_env_wrapper": "my.Wrapper"}, r"config\.yml: vec_env_wrapper: `my\.Wrapper` is not on the list"),
        ({"env_wrapper": {TIME: {"max_step": 1}}}, "Did you mean `max_steps`"),
        ({"env_wrapper": "x" * 2_000}, r"not believed on env_wrapper: .* \(`wrappers`, --wrapper\)"),
        ({"vec_env_wrapper": "x" * 2_000}, r"not believed on vec_env_wrapper"),
    ],
)
def test_what_cannot_be_applied_is_an_error_that_a_wrapper_by_hand_mends(
    made: Path, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    agent = beside(made, tmp_path, config=config, args={"env": "CartPole-v1"})
    with pytest.raises(ac.ConfigError, match=said):
        ac.home(agent)
    assert ac.home(agent, wrappers=(ac.FrameStack(),)).task.wrappers == (ac.FrameStack(),)


def test_an_agent_without_a_world(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ac.ConfigError, match=r"does not name its environment; give it \(`env`, --env\)"):
        ac.home(beside(made, tmp_path))


def test_an_atari_agent_of_the_zoo(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("ale_py")
    wrapped = {"env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"], "frame_stack": 4}
    found = ac.home(beside(made, tmp_path, name="BreakoutNoFrameskip-v4.zip", config=wrapped))
    assert found.task == ac.Task("BreakoutNoFrameskip-v4", wrappers=(ac.Atari(), ac.FrameStack(4)))
    assert found.notes[1] == "environment: wrapped in atari, frame_stack, as the agent's files say"
    assert found.task.observation_space.shape == (84, 84, 4)


def test_an_old_id_of_atari_is_made_without_a_namespace() -> None:
    pytest.importorskip("ale_py")
    code = "from acclimate.tasks.task import Task; Task('BreakoutNoFrameskip-v4').make().close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_line_says_what_it_applied(made: Path, tmp_path: Path) -> None:
    stacked = PPO("MlpPolicy", ac.Task("CartPole-v1", wrappers=(ac.FrameStack(2),)).make())
    stacked.save(tmp_path / "CartPole-v1.zip")
    (tmp_path / "config.yml").write_text("frame_stack: 2\n")
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path / "CartPole-v1.zip"), "--eval-episodes", "1"])
    assert done.exit_code == 0, done.stderr
    assert "environment: wrapped in frame_stack:frames=2, as the agent's files say" in done.stderr
