"""What the tests of the command line share: a tiny agent, and a runner."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from acclimate.cli import main

Call = Callable[..., Result]


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the zip of an untrained PPO agent of CartPole with four hidden units."""
    from stable_baselines3 import PPO

    path = tmp_path_factory.mktemp("agents") / "ppo-CartPole-v1.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [4]}, n_steps=32, batch_size=32, seed=0).save(path)
    return path


@pytest.fixture
def call() -> Call:
    """Return what runs a command line in this process."""

    def run(*args: object) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return run


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand in for the fine-tuning, and keep what it was called with."""
    import acclimate.runs.finetune  # noqa: F401

    seen = SimpleNamespace()

    def stand_in(agent: Any, task: Any, recipe: Any, **others: Any) -> Any:
        vars(seen).update(agent=agent, task=task, recipe=recipe, **others)
        return SimpleNamespace(report="the report", folder=None)

    monkeypatch.setattr(sys.modules["acclimate.runs.finetune"], "finetune", stand_in)
    return seen
