"""The commands that only read: inspect, shifts, methods, evaluate, watch; and the demo's arguments."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import imageio.v3
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.monitor import Monitor

import acclimate as ac
from acclimate import shifts
from acclimate.attacks.attack import Attack
from acclimate.attacks.playing import attacked
from acclimate.catalogue import FAMILIES, families, fields
from acclimate.methods.l2sp import L2SP
from acclimate.registry import METHODS
from tests.cli.conftest import Call
from tests.lives import Lives


def test_inspect(call: Call, agent: Path) -> None:
    facts = json.loads(call("inspect", agent, "--json").stdout)
    assert facts["algorithm"] == "ppo"
    text = call("inspect", agent).stdout
    assert "CartPole-v1" in text
    assert "Discrete(2)" in text


def test_evaluate_is_what_python_gives(call: Call, agent: Path) -> None:
    flags = ("--env", "CartPole-v1", "--shift", "length=2", "--eval-episodes", 5, "--seed", 3)
    facts = json.loads(call("evaluate", agent, *flags, "--json").stdout)
    task = ac.Task("CartPole-v1", shifts=(shifts.Length(2.0),))
    expected = ac.evaluate(ac.load(agent), task, episodes=5, seed=3)
    assert facts["returns"] == expected.returns.tolist()
    assert facts["mean"] == expected.returns.mean()
    assert facts["task"] == task.describe()
    line = call("evaluate", agent, *flags).stdout
    assert f"mean return {facts['mean']:.1f} [{facts['ci95'][0]:.1f}" in line
    assert "seeds 3 to 7" in line


def test_evaluate_under_an_attack_is_what_python_gives(call: Call, agent: Path) -> None:
    flags = ("--eval-episodes", 4, "--attack", "pgd:radius=0.3,steps=4")
    facts = json.loads(call("evaluate", agent, *flags, "--json").stdout)
    expected = attacked(ac.load(agent), ac.Task("CartPole-v1"), Attack("pgd", 0.3, 4), episodes=4)
    assert facts["returns"] == expected.returns.tolist()
    assert facts["attack"] == {"name": "pgd", "radius": 0.3, "steps": 4}
    assert "CartPole-v1 under pgd within 0.3: mean return" in call("evaluate", agent, *flags).stdout
    for text, said in (
        ("pdg", "Did you mean `pgd`"),
        ("pgd=-1", "attack.radius is -1"),
        ("critic", "only rates states"),
    ):
        refused = call("evaluate", agent, "--attack", text)
        assert refused.exit_code == 2
        assert said in refused.stderr
    assert "--stochastic" in call("evaluate", agent, "--attack", "pgd", "--stochastic").stderr


def test_evaluate_says_that_it_is_of_whole_games(call: Call, tmp_path: Path) -> None:
    gym.register("Lives-v0", lambda: EpisodicLifeEnv(Monitor(Lives(ready=True))))
    path = tmp_path / "lives.zip"
    PPO("MlpPolicy", gym.make("Lives-v0"), policy_kwargs={"net_arch": [8]}).save(path)
    flags = ("--env", "Lives-v0", "--eval-episodes", 3)
    assert "the returns are of whole episodes" in call("evaluate", path, *flags).stdout
    assert json.loads(call("evaluate", path, *flags, "--json").stdout)["counted_inside"]
    del gym.registry["Lives-v0"]


def test_an_interval_that_is_not_there_is_null(call: Call, agent: Path) -> None:
    facts = json.loads(call("evaluate", agent, "--eval-episodes", 1, "--json").stdout)
    assert facts["ci95"] == [None, None]


def test_shifts(call: Call) -> None:
    found = json.loads(call("shifts", "CartPole-v1", "--json").stdout)
    assert {info["name"] for info in found} == {info.name for info in shifts.available(ac.Task("CartPole-v1"))}
    text = call("shifts", "CartPole-v1").stdout
    assert all(info["example"] in text and info["unit"] in text for info in found)


def test_methods_lists_them_all(call: Call) -> None:
    rows = json.loads(call("methods", "--json").stdout)
    assert sorted(row["name"] for row in rows) == sorted(METHODS.names())
    lines = call("methods").stdout.splitlines()
    for family, names in families().items():
        begin = lines.index(f"{family}: {FAMILIES[family]}") + 1
        shown = lines[begin : begin + len(names)]
        assert [line.split()[0] for line in shown] == names


def test_a_family_of_another_package_comes_last(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(L2SP, "family", "homemade")
    assert list(families())[-1] == "homemade"
    assert "\nhomemade\n  l2sp" in call("methods").stdout


def test_every_method_of_ours_has_a_family_with_a_purpose() -> None:
    assert set(families()) <= set(FAMILIES)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_is_explained(call: Call, name: str) -> None:
    facts = json.loads(call("methods", name, "--json").stdout)
    assert all(field["doc"] for field in facts["fields"]), "a field without a description under it"
    text = call("methods", name).stdout
    assert all(f"{field['name']} = " in text for field in facts["fields"])


def test_fields_have_their_defaults_and_texts() -> None:
    found = {field["name"]: field for field in fields(L2SP)}
    assert found["weight"]["default"] == "0.1"
    assert found["weight"]["doc"].startswith("Strength of the pull.")
    assert found["on"]["default"] == "*"


def test_watch_films_an_episode(call: Call, agent: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    result = call("watch", agent, "--env", "CartPole-v1", "--seconds", 0.5, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    frames = imageio.v3.imread(out)
    assert len(frames) > 1
    assert frames.std() > 0, "an empty picture"


def test_the_demo_is_a_shipped_agent_in_a_changed_world(call: Call, called: SimpleNamespace, tmp_path: Path) -> None:
    result = call("demo", "--out", tmp_path / "demo", "--seed", 2)
    assert result.exit_code == 0, result.output
    assert called.agent.origin.env_id == called.task.env == "LunarLander-v3"
    assert len(called.task.shifts) == 1
    assert called.recipe.seed == 2
    assert called.out == tmp_path / "demo"


def test_evaluate_prints_success_where_the_world_tells_it(call: Call, agent: Path) -> None:
    class Steady(gym.Wrapper):
        def step(self, action: Any) -> Any:
            *rest, info = super().step(action)
            return *rest, info | {"is_success": True}

    gym.register("Steady-v0", entry_point=lambda **more: Steady(gym.make("CartPole-v1", **more)))
    try:
        flags = ("evaluate", agent, "--env", "Steady-v0", "--eval-episodes", 4)
        facts = json.loads(call(*flags, "--json").stdout)
        assert facts["successes"] == [True] * 4
        assert facts["success"] == 1.0
        # Wilson's lower end of n of n is n / (n + z^2).
        assert facts["success_ci95"] == pytest.approx([4 / (4 + 1.959964**2), 1.0])
        assert "success in 100.0 % of 4 episodes [51.0, 100.0] (Wilson's 95 % interval)" in call(*flags).stdout
    finally:
        del gym.registry["Steady-v0"]
    assert "success" not in call("evaluate", agent, "--eval-episodes", 2).stdout
