"""The command `convert`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import acclimate as ac
from tests.cli.conftest import Call
from tests.unit.formats.foreign.test_cleanrl import grown, mlp, saved

FILES = Path(__file__).parents[1] / "references" / "files"


class Pole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic, self.actor = mlp(4, 8, 1), mlp(4, 8, 2)


def test_an_agent_of_cleanrl_becomes_a_zip_that_stock_sb3_loads(call: Call, tmp_path: Path) -> None:
    theirs = grown(Pole())
    path = saved(tmp_path / "pole.cleanrl_model", theirs)
    done = call("convert", path, "--env", "CartPole-v1", "--out", tmp_path / "pole.zip")
    assert "read back it acts the same on 256 random observations (largest difference 0)" in done.stdout
    seen = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    actions, _ = PPO.load(tmp_path / "pole.zip").predict(seen, deterministic=True)
    np.testing.assert_array_equal(actions, theirs.actor(torch.from_numpy(seen)).argmax(1))


@pytest.mark.parametrize("name", ["again.zip", "bundle"])
def test_with_a_normaliser_and_what_was_not_carried_over(
    name: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import gymnasium as gym, numpy as np\n"
        "class Robot(gym.Env):\n"
        "    observation_space = gym.spaces.Box(-np.inf, np.inf, (6,), np.float32)\n"
        "    action_space = gym.spaces.Box(-9, 9, (3,), np.float32)\n"
        "    def reset(self, seed=None, options=None): return np.zeros(6, np.float32), {}\n"
        "    def step(self, action): return np.zeros(6, np.float32), 0.0, False, False, {}\n"
        "gym.register('Foreign-v0', Robot)\n"
    )
    (tmp_path / "foreign_robots.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = FILES / "rsl_rl_5" / "privileged.pt"
    done = call("convert", path, "--env", "foreign_robots:Foreign-v0", "--out", tmp_path / name)
    assert "acts the same" in done.stdout
    assert "a new one is drawn" in done.stderr
    assert ac.load(tmp_path / name).normalizer is not None
