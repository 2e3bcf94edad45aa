"""Code of the current folder: both forms of the command see it, behind the libraries, and only where it is named."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call
from tests.cli.test_errors import line_of

WORLD = """
import gymnasium as gym
import jinja2
from gymnasium.envs.classic_control import CartPoleEnv
WORDS = "no class"
gym.register("Near-v0", entry_point="world_of_here:Near")

class Near(CartPoleEnv):
    pass

class Halved(gym.RewardWrapper):
    def reward(self, reward):
        return reward / 2
"""
NETWORK = """
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

class Doubled(BaseFeaturesExtractor):
    def __init__(self, space):
        super().__init__(space, features_dim=4)

    def forward(self, seen):
        return 2 * seen
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder, in which the command is run; what is imported of it is forgotten."""
    here = tmp_path / "project"
    here.mkdir()
    (here / "world_of_here.py").write_text(WORLD)
    (here / "network_of_here.py").write_text(NETWORK)
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("world_of_here", "network_of_here"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return here


@pytest.fixture
def own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the zip of an agent with a features extractor of the project."""
    from stable_baselines3 import PPO

    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        made: Any = importlib.import_module("network_of_here")
        path = tmp_path / "ppo-CartPole-v1.zip"
        PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu",
            policy_kwargs={"features_extractor_class": made.Doubled, "net_arch": [4]}).save(path)  # fmt: skip
    del sys.modules["network_of_here"]
    return path


@pytest.mark.parametrize("form", ["script", "module"])
def test_both_forms_see_the_folder_and_no_file_stands_for_a_library(folder: Path, tmp_path: Path, form: str) -> None:
    for library in ("click", "gymnasium", "numpy", "jinja2"):
        (folder / f"{library}.py").write_text(f"raise SystemExit('{library} of the folder')\n")
    script = tmp_path / "acclimate"
    script.write_text("from acclimate.cli import main\nmain()\n")
    begun = [str(script)] if form == "script" else ["-m", "acclimate"]
    done = subprocess.run(
        [sys.executable, *begun, "shifts", "world_of_here:Near-v0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("world_of_here:Near-v0 has these shifts:")


def test_the_folder_is_seen_only_where_it_is_named(call: Call, folder: Path) -> None:
    assert call("shifts", "CartPole-v1").exit_code == 0
    assert str(folder) not in sys.path
    assert call("shifts", "world_of_here:Near-v0").exit_code == 0
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize("flag", ["--env", "--source-env"])
def test_the_flags_that_name_a_world(call: Call, folder: Path, agent: Path, called: Any, flag: str) -> None:
    assert call("finetune", agent, flag, "world_of_here:Near-v0", "--out", folder / "run").exit_code == 0
    assert (called.source or called.task).make().spec.name == "Near"


def test_a_wrapper_of_the_folder(call: Call, folder: Path, agent: Path) -> None:
    result = call("evaluate", agent, "--wrapper", "world_of_here:Halved", "--eval-episodes", 2, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["returns"] == [length / 2 for length in found["lengths"]]


@pytest.mark.parametrize("place", ["world_of_here:Missing", "nowhere:Halved", "world_of_here:WORDS"])
def test_a_wrapper_that_cannot_be(call: Call, folder: Path, agent: Path, place: str) -> None:
    assert place in line_of(call("evaluate", agent, "--wrapper", place))


def test_with_trust_a_network_of_the_folder_is_read(call: Call, own: Path, folder: Path) -> None:
    assert "network_of_here.Doubled" in line_of(call("inspect", own))
    assert str(folder) not in sys.path, "it was not trusted"
    result = call("inspect", own, "--trust")
    assert result.exit_code == 0, result.stderr
    assert "Doubled" in result.stdout


def test_advice_for_a_module_that_is_elsewhere(
    call: Call, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = line_of(call("inspect", own, "--trust"))
    assert "run this in the folder that holds `network_of_here`" in said
    assert "without trust" not in said, "that is refused"


def test_advice_for_a_file_that_needs_no_trust(call: Call, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_baselines3 import PPO

    def fails(*_: Any, **__: Any) -> None:
        raise ImportError("numpy of another age")

    monkeypatch.setattr(PPO, "load", fails)
    assert "load it without trust" in line_of(call("inspect", agent, "--trust"))
