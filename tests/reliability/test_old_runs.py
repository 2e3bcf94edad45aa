"""Runs of version 0.1.0, before its folders were moved, still load, and one that was killed goes on.

`tests/old_runs` was written by that code: PPO on CartPole with a normaliser, SAC on Pendulum, small networks; each was
killed in training (`killed`), one ended (`finished`), and one ended as a bundle with `residual` in its networks.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import acclimate as ac
from acclimate.errors import ConfigError, SourceError
from acclimate.reports.report import read
from tests.record import OLD, RESUMED


def test_a_finished_run_loads_and_acts_as_it_did() -> None:
    agent = ac.load(OLD / "ppo" / "finished")
    seen = np.array([[0.1, 0.2, -0.05, 0.3], [0.0, -1.0, 0.1, 1.0]], np.float32)
    assert agent.predict(seen, deterministic=True)[0].tolist() == [0, 1]
    assert agent.values(seen) == pytest.approx([2.807724, 1.7460955], rel=1e-5)
    report = read(OLD / "ppo" / "finished")
    assert report.method == "kl+channel"
    assert report.steps_measured is None
    assert "steps of measuring" not in str(report)


def test_a_bundle_with_methods_in_it_loads_and_acts_as_it_did() -> None:
    agent = ac.load(OLD / "sac" / "bundle")
    assert [method.name for method in agent.methods] == ["residual"]
    seen = np.array([[0.5, 0.8, -1.0], [-1.0, 0.0, 2.0], [0.0, 1.0, 0.3]], np.float32)
    acted = agent.predict(seen, deterministic=True)[0]
    assert acted.ravel() == pytest.approx([-1.5455482, 0.64795065, -1.6562092], rel=1e-4)


@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_run_is_resumed_and_ends(name: str, tmp_path: Path) -> None:
    env, shift, methods, steps = RESUMED[name]
    out = tmp_path / "run"
    shutil.copytree(OLD / name / "killed", out)
    agent, source = ac.load(OLD / name / "agent.zip"), ac.Task(env)
    target = source.shifted(ac.shifts.parse(shift))
    said: list[str] = []

    def go_on(**changed: object) -> ac.Run:
        evaluation = {"points": 3, "episodes": 3, "final_episodes": 4}
        begun = {"probe_episodes": 4}  # as was the default then
        asked = {"methods": list(methods), "steps": steps, "evaluation": evaluation, "warm_start": begun, **changed}
        recipe = ac.Recipe.from_dict(asked)
        return ac.finetune(agent, target, recipe, source=source, out=out, resume=True, progress=False, say=said.append)

    with pytest.raises(ConfigError, match=r"another recipe\.steps"):
        go_on(steps=steps + 1)
    report = go_on().report
    assert any(line.startswith("resumed at step ") for line in said), said
    assert report.curve[-1].steps <= report.steps_charged <= steps
    assert len(report.curve) == 4
    assert (out / "report.html").exists()


def test_a_killed_run_of_other_defaults_is_refused_in_a_line(tmp_path: Path) -> None:
    """Its critic learnt alone at first, which nobody had asked for by a number."""
    out = tmp_path / "run"
    shutil.copytree(OLD / "ppo" / "killed", out)
    agent, source = ac.load(OLD / "ppo" / "agent.zip"), ac.Task("CartPole-v1")
    target = source.shifted(ac.shifts.parse("length=2"))
    asked = {"methods": [{"kl": {"weight": 0.5}}, {"channel": {}}], "steps": 3_000}
    asked |= {"evaluation": {"points": 3, "episodes": 3, "final_episodes": 4}, "warm_start": {"probe_episodes": 4}}
    with pytest.raises(SourceError, match=r"is of the methods \['hold', 'kl', 'channel'\].*remove that folder"):
        ac.finetune(agent, target, ac.Recipe.from_dict(asked), source=source, out=out, resume=True, progress=False)
