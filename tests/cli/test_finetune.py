"""`acclimate finetune`: what its flags become, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from acclimate.cli.group import spread
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.planning.recipe import Recipe, WarmStart
from acclimate.shifts import Gravity, Length
from tests.cli.conftest import Call


def test_flags_become_task_and_recipe(call: Call, agent: Path, called: SimpleNamespace, tmp_path: Path) -> None:
    flags = (
        "--shift gravity=1.5 --shift length=2 --env-kwargs sutton_barto_reward:true --method l2sp=0.2 "
        "--method kl:weight=0.5->0.0,on=actor -n 1234 --seed 7 --mode continue --hyperparams gamma:0.9 "
        "n_steps:64 --n-envs 3 --vec-env subproc --eval-freq 100 --eval-episodes 4 --device cpu --no-progress --resume "
        "--track --wandb-project-name p --wandb-entity e"
    )
    result = call("finetune", agent, "--env", "CartPole-v1", "--out", tmp_path, *flags.split())
    assert result.exit_code == 0, result.output
    assert called.task.env == "CartPole-v1"
    assert called.task.shifts == (Gravity(1.5), Length(2.0))
    assert called.task.env_kwargs == {"sutton_barto_reward": True}
    recipe = called.recipe
    assert recipe.methods[0] == L2SP(weight=0.2)
    assert isinstance(recipe.methods[1], KLToPrior)
    assert (recipe.steps, recipe.seed, recipe.mode, recipe.n_envs) == (1234, 7, "continue", 3)
    assert recipe.algorithm == {"gamma": 0.9, "n_steps": 64}
    assert (recipe.vec_env, recipe.evaluation.freq, recipe.evaluation.episodes) == ("subproc", 100, 4)
    assert (called.out, called.resume, called.progress, called.source) == (tmp_path, True, False, None)
    assert (called.track.project, called.track.entity) == ("p", "e")


def test_no_flags_are_the_defaults(call: Call, agent: Path, called: SimpleNamespace) -> None:
    result = call("finetune", agent)
    assert called.recipe == Recipe()
    assert called.task.env == "CartPole-v1"
    assert "environment: CartPole-v1, the agent's own" in result.stderr
    assert (called.out, called.resume, called.track) == (
        Path("runs", f"{called.agent.algorithm}-{called.task.env}-1"),
        False,
        None,
    )


def test_the_file_is_above_the_defaults_and_below_the_flags(
    call: Call, agent: Path, called: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.yaml"
    data = {"steps": 50, "seed": 3, "methods": ["full"], "algorithm": {"gamma": 0.5, "n_steps": 8}}
    path.write_text(yaml.safe_dump(data))
    call("finetune", agent, "--recipe", path, "--seed", 4, "--hyperparams", "gamma:0.9")
    assert called.recipe == Recipe.from_dict({**data, "seed": 4, "algorithm": {"gamma": 0.9, "n_steps": 8}})


def test_the_old_transitions_go_into_the_recipe(
    call: Call, agent: Path, called: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "replay_buffer.pkl"
    result = call("finetune", agent, "--mode", "continue", "--replay-buffer", path)
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    path.write_bytes(b"")
    assert call("finetune", agent, "--mode", "continue", "--replay-buffer", path).exit_code == 0
    assert called.recipe == Recipe(mode="continue", warm_start=WarmStart(replay_buffer=str(path)))


def test_a_source_of_its_own(call: Call, agent: Path, called: SimpleNamespace) -> None:
    call("finetune", agent, "--env", "CartPole-v1", "--shift", "gravity=2", "--source-env", "CartPole-v0")
    assert called.source.env == "CartPole-v0"
    assert called.source.shifts == ()


def test_a_fresh_normaliser_keeps_what_the_agent_knew_until_training(
    call: Call, agent: Path, called: SimpleNamespace
) -> None:
    call("finetune", agent, "--normalizer", "fresh")
    assert called.recipe.warm_start.normalizer == "fresh"
    assert called.agent.normalizer is not None
    assert called.agent.normalizer.obs_mean.tolist() == [0.0] * 4
    call("finetune", agent, "--normalizer", "none")
    assert called.agent.normalizer is None


def test_pair_options_take_several_values_as_rl_zoo3_has_it() -> None:
    args = ["a.zip", "--env-kwargs", "a:1", "b:2", "--env", "X", "--env-kwargs", "c:3", "hf://org/repo", "d:4"]
    expected = [
        "a.zip",
        "--env-kwargs",
        "a:1",
        "--env-kwargs",
        "b:2",
        "--env",
        "X",
        "--env-kwargs",
        "c:3",
        "hf://org/repo",
        "d:4",
    ]
    assert spread(args, {"--env-kwargs"}) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_whole_run(call: Call, agent: Path, tmp_path: Path) -> None:
    from stable_baselines3 import PPO

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "steps: 128\nn_envs: 2\nwarm_start: {probe_episodes: 0}\n"
        "evaluation: {final_episodes: 4, episodes: 1, points: 1}\n"
    )
    out = tmp_path / "run"
    args = ("finetune", agent, "--shift", "length=2", "--recipe", recipe, "--out", out)
    result = call(*args)
    assert result.exit_code == 0, result.output
    assert "\r" not in result.output
    assert "\x1b" not in result.output, "control characters where no terminal is"
    report = json.loads((out / "report.json").read_text())
    assert report["verdict"] in result.stdout
    assert str(out / "report.html") in result.stdout
    assert (out / "report.html").exists()
    PPO.load(out / "agent.zip")

    again = call(*args)
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    assert call(*args, "--resume").stdout == result.stdout
