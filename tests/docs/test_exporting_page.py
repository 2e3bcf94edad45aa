"""The loop on the page for exports is all that it takes, and returns what the agent does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import acclimate as ac
from acclimate import guard
from acclimate.agents import shipped
from acclimate.evaluation.evaluate import play

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PAGE = Path(__file__).parents[2] / "docs" / "exporting.md"
LOOPS = [code for code in re.findall(r"^```python norun\n(.*?)^```", PAGE.read_text(), re.M | re.S) if "ort." in code]
ALONE = "\nimport sys\nprint(sorted({'torch', 'stable_baselines3', 'acclimate'} & sys.modules.keys()))"


def printed(loop: str, folder: Path) -> str:
    """Run a loop of the page beside its file, and return what it prints."""
    assert len(loop.splitlines()) <= 20
    command = [sys.executable, "-c", loop + ALONE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    said, imported = done.stdout.splitlines()
    assert ast.literal_eval(imported) == []
    return said


def test_the_loop_returns_what_the_agent_does(tmp_path: Path) -> None:
    agent, task = ac.load(Path(shipped.__path__[0]) / "ppo-LunarLander-v3.zip"), ac.Task("LunarLander-v3")
    ac.export(agent, tmp_path / "policy.onnx")
    returns = ast.literal_eval(printed(LOOPS[0], tmp_path))
    assert returns == pytest.approx(ac.evaluate(agent, task, episodes=5, seed=0).returns.tolist(), abs=1e-5)


def test_the_loop_with_a_guard_returns_what_the_guarded_agent_does(tmp_path: Path) -> None:
    agent, task = ac.load(Path(shipped.__path__[0]) / "ppo-LunarLander-v3.zip"), ac.Task("LunarLander-v3")
    made = guard.fit(agent, task, episodes=40, alarms=0.3)
    ac.export(agent, tmp_path / "policy.onnx", guard=made, task=task)
    said, _, refused = printed(LOOPS[1], tmp_path).rpartition(" ")
    player = guard.GuardedPlayer(guard.Guarded(agent, made))
    wanted = play(player, task, 5, 0, 1, True).returns.tolist()
    assert ast.literal_eval(said) == pytest.approx(wanted, abs=1e-5)
    assert int(refused) < 100
