"""Bad input to a run: one line that says what to do, and nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from click.testing import CliRunner
from gymnasium import spaces

from acclimate.agents.load import load
from acclimate.cli import main
from acclimate.errors import AcclimateError, ConfigError, SourceError, SpaceMismatchError, SurgeryError, TaskError
from acclimate.methods.freeze import Freeze
from acclimate.methods.l2sp import L2SP
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from acclimate.sb3.normalizer import Normalizer
from acclimate.shifts import Gravity, parse
from acclimate.tasks.task import Task
from acclimate.training import watch
from tests.unit.runs.test_observations import Dying
from tests.world import Dot, agent, model, recipe, task


class Wider(Dot):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-5.0, 5.0, (3,), np.float32)


class Named(Dot):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(seen=spaces.Box(-5.0, 5.0, (2,)))


Bad = Callable[[Path], Any]

BAD: dict[str, tuple[type[AcclimateError], str, Bad]] = {
    "other observations": (
        SpaceMismatchError,
        r"observation: agent expects shape \(2,\), the environment gives \(3,\)",
        lambda out: finetune(agent("ppo"), Task(Wider), recipe(), out=out),
    ),
    "other actions": (
        SpaceMismatchError,
        r"action: agent expects Box .*, the environment gives Discrete\(3\)",
        lambda out: finetune(agent("ppo"), task("dqn"), recipe(), out=out),
    ),
    "a dictionary": (
        SpaceMismatchError,
        "observation: agent expects Box",
        lambda out: finetune(agent("ppo"), Task(Named), recipe(), out=out),
    ),
    "a source of other spaces": (
        SpaceMismatchError,
        "Wider",
        lambda out: finetune(agent("ppo"), task(), recipe(), source=Task(Wider), out=out),
    ),
    "an unknown shift": (
        ConfigError,
        "Did you mean `gravity`?",
        lambda out: finetune(agent("ppo"), task().shifted(parse("gravty=2")), recipe(), out=out),
    ),
    "a shift that the world lacks": (
        TaskError,
        r"Dot cannot have the shift `gravity=2`: .* It has: ",
        lambda out: finetune(agent("ppo"), task().shifted(Gravity(2.0)), recipe(), out=out),
    ),
    "an unknown method": (
        ConfigError,
        "Did you mean `l2sp`?",
        lambda out: finetune(agent("ppo"), task(), Recipe.from_dict({"methods": ["l2ps"]}), out=out),
    ),
    "a method that finds nothing": (
        SurgeryError,
        "there is no such network. Did you mean `actor`?",
        lambda out: finetune(agent("ppo"), task(), recipe(methods=(L2SP(on="acter"),)), out=out),
    ),
    "a method without effect": (
        SurgeryError,
        "`l2sp` on `actor` constrains 0 trainable weights: `freeze` froze all",
        lambda out: finetune(agent("ppo"), task(), recipe(methods=(Freeze(on="actor"), L2SP(on="actor"))), out=out),
    ),
    "a hyperparameter that there is not": (
        ConfigError,
        "PPO has no argument `tau`",
        lambda out: finetune(agent("ppo"), task(), recipe(algorithm={"tau": 0.1}), out=out),
    ),
    "a hyperparameter that SB3 refuses": (
        SourceError,
        "SB3 cannot build this ppo agent",
        lambda out: finetune(agent("ppo"), task(), recipe(n_envs=1, algorithm={"n_steps": 1}), out=out),
    ),
    "fewer steps than the probe takes": (
        ConfigError,
        "recipe.steps is 7, and the probe alone took 8 target steps",
        lambda out: finetune(agent("sac"), task(), recipe(steps=7, warm_start={"probe_episodes": 3}), out=out),
    ),
    "fewer steps than a rollout": (
        ConfigError,
        "one rollout of 64 steps in each of 8",
        lambda out: finetune(agent("ppo"), task(), recipe(algorithm={"n_steps": 64}), out=out),
    ),
    "a world that raises in training": (
        TaskError,
        r"Dying, episode \d+ \(.*seed \d+\), step \d+, raised ZeroDivisionError: wheel came off",
        lambda out: finetune(agent("ppo"), Task(Dying), recipe(n_envs=1), out=out),
    ),
    "a world that cannot be made": (
        TaskError,
        "NoSuch-v0",
        lambda out: finetune(agent("ppo"), Task("NoSuch-v0"), recipe(), out=out),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_line_and_nothing_written(case: str, tmp_path: Path) -> None:
    kind, said, bad = BAD[case]
    with pytest.raises(kind, match=said) as caught:
        bad(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_a_world_that_raises_after_a_checkpoint_leaves_a_run_to_go_on_with(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)

    class Breaks(Dot):
        broken = True

        def step(self, action: Any) -> Any:
            if self.trains and self.total == 44 and Breaks.broken:
                raise RuntimeError("out of memory")
            return super().step(action)

    world = Task(Breaks, env_kwargs={"discrete": name == "dqn"})
    asked = recipe(n_envs=1, algorithm={"n_steps": 16} if name == "ppo" else {})
    given = agent(name)
    with pytest.raises(TaskError, match="out of memory"):
        finetune(given, world, asked, out=tmp_path / "run")
    assert not (tmp_path / "run" / "agent.zip").exists()
    assert not (tmp_path / "run" / "report.json").exists()
    Breaks.broken = False
    assert finetune(given, world, asked, out=tmp_path / "run", resume=True).report.steps_charged <= 120


def test_a_missing_or_wrong_normaliser(tmp_path: Path) -> None:
    path = tmp_path / "ppo-Dot.zip"
    model("ppo").save(path)
    with pytest.raises(SourceError, match=r"nowhere\.pkl"):
        load(path, normalizer=tmp_path / "nowhere.pkl")
    with pytest.raises(SourceError, match=r"the normaliser holds observations of shape \(3,\), not \(2,\)"):
        load(path, normalizer=Normalizer.identity(spaces.Box(-1, 1, (3,))))


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="choose another"):
        finetune(agent("ppo"), task(), recipe(), out=tmp_path / "file" / "run")


# Through the command line

ENV = "DotOfTests-v0"


@pytest.fixture
def registered() -> Any:
    gym.register(ENV, entry_point=lambda **kwargs: Dying(**kwargs))
    yield ENV
    del gym.registry[ENV]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--hyperparams", "tau:0.1"), "no argument `tau`"),
        (("--method", "l2ps"), "Did you mean `l2sp`?"),
        (("--shift", "gravity=2"), "cannot have the shift"),
        ((), "raised ZeroDivisionError: wheel came off"),
        (("--n-timesteps", "8"), "8"),
    ],
)
def test_the_command_line_says_one_line_and_exits_2(
    registered: str, flags: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "ppo-Dot.zip", tmp_path / "run"
    model("ppo").save(path)
    limits = () if "--n-timesteps" in flags else ("--n-timesteps", "240")
    recipe().save(tmp_path / "recipe.yaml")
    given = ("--env", registered, "--n-envs", "1", "--recipe", tmp_path / "recipe.yaml", "--out", out, *limits, *flags)
    result = CliRunner().invoke(main, ["finetune", *map(str, (path, *given))])
    assert result.exit_code == 2, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("acclimate: ") and "note:" not in line]
    assert len(told) == 1
    assert said in told[0]
    assert result.stderr.splitlines()[-1] == told[0]
    assert "Traceback" not in result.stderr
    assert not out.exists()
