"""The loop on the page for exports is all that it takes, and returns what the agent does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import acclimate as ac
from acclimate.agents import shipped

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PAGE = Path(__file__).parents[2] / "docs" / "exporting.md"
LOOP = next(
    code for code in re.findall(r"^```python norun\n(.*?)^```", PAGE.read_text(), re.M | re.S) if "ort." in code
)


def test_the_loop_returns_what_the_agent_does(tmp_path: Path) -> None:
    assert len(LOOP.splitlines()) <= 20
    agent, task = ac.load(Path(shipped.__path__[0]) / "ppo-LunarLander-v3.zip"), ac.Task("LunarLander-v3")
    ac.export(agent, tmp_path / "policy.onnx")
    alone = "\nimport sys\nprint(sorted({'torch', 'stable_baselines3', 'acclimate'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", LOOP + alone], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    returns, imported = map(ast.literal_eval, done.stdout.splitlines())
    assert imported == []
    assert returns == pytest.approx(ac.evaluate(agent, task, episodes=5, seed=0).returns.tolist(), abs=1e-5)
