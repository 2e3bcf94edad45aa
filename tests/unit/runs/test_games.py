"""A run trains on lives and clipped rewards, measures whole games, and says which score it is."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv
from stable_baselines3.common.monitor import Monitor

from acclimate.agents.load import load
from acclimate.evaluation.evaluate import INSIDE, evaluate
from acclimate.reports.report import read
from acclimate.runs.finetune import finetune
from acclimate.sb3.vocabulary import ALGORITHMS
from acclimate.shifts import SensorNoise
from acclimate.tasks.task import Task
from tests.lives import Lives
from tests.world import ARGUMENTS, recipe


def games() -> gym.Env:
    return ClipRewardEnv(EpisodicLifeEnv(Monitor(Lives(ready=True))))


@pytest.mark.parametrize("name", ["ppo", "a2c", "dqn"])
@pytest.mark.parametrize("source", [True, False])
def test_a_run_measures_whole_games_and_says_so(name: str, source: bool, tmp_path: Path) -> None:
    made = ALGORITHMS[name]("MlpPolicy", games(), policy_kwargs={"net_arch": [8]}, seed=0, **ARGUMENTS[name])
    task, said = Task(games), []
    world = task.shifted(SensorNoise(0.01)) if source else task
    run = finetune(
        load(made), world, recipe(steps=400, evaluation={"n_envs": 2}), out=tmp_path / "run", say=said.append
    )
    alone = evaluate(load(made), world, episodes=4, n_envs=1)
    report = read(tmp_path / "run")
    assert report.target.before.returns.tolist() == alone.returns.tolist()
    assert (report.source is not None) == source
    worlds = "target and source" if source else "target"
    (note,) = [note for note in run.report.notes if INSIDE in note]
    assert note.startswith(f"{worlds}: ")
    assert f"note: {note}" in said
    assert note in report.notes
    assert report.target.before.inside
    assert not any("does not determine" in each for each in said)


def test_a_run_of_plain_episodes_says_nothing_of_it() -> None:
    made = ALGORITHMS["ppo"](
        "MlpPolicy", Lives(ready=True), policy_kwargs={"net_arch": [8]}, seed=0, **ARGUMENTS["ppo"]
    )
    run = finetune(load(made), Task(lambda: Monitor(Lives(ready=True))), recipe(steps=400))
    assert not any(INSIDE in note for note in run.report.notes)
