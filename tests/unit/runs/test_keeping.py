"""Agents that not every form of file can hold: known before training, a note at the end, and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.sac.policies import SACPolicy

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.errors import MisfitError, SourceError, UnsafeFileError
from acclimate.evaluation.evaluate import evaluate
from acclimate.methods.residual import Residual
from acclimate.reports.report import read
from acclimate.reports.wording import costs
from acclimate.runs.finetune import finetune
from acclimate.sb3.vocabulary import ALGORITHMS
from tests.world import ARGUMENTS, Dot, agent, linear, observations, recipe, same, task, weights


class Own(ActorCriticPolicy):
    """A policy class of somebody's own."""


class OwnSAC(SACPolicy):
    """The same for SAC."""


class Features(FlattenExtractor):
    """A features extractor of somebody's own."""


FOREIGN: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "policy": ("ppo", Own, {}),
    "extractor": ("ppo", "MlpPolicy", {"features_extractor_class": Features}),
    "trpo": ("trpo", Own, {}),
    "sac": ("sac", OwnSAC, {}),
}


def foreign(name: str) -> Agent:
    algorithm, policy, kwargs = FOREIGN[name]
    arguments = {**ARGUMENTS[algorithm], "policy_kwargs": {"net_arch": [8], **kwargs}}
    return load(ALGORITHMS[algorithm](policy, Dot(), device="cpu", seed=3, **arguments))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_class_of_ones_own_costs_the_bundle_and_nothing_else(name: str, tmp_path: Path) -> None:
    given, folder, said = foreign(name), tmp_path / "run", []
    asked, world = recipe(algorithm={"learning_rate": 0.02}), task(offset=0.5)
    done = finetune(given, world, asked, out=folder, say=said.append)
    (note,) = [note for note in done.report.notes if note.startswith("no bundle: ")]
    assert said[0] == f"note: {note}", "it was not said before training"
    assert "of its own" in note
    assert (folder / "report.html").exists()
    assert not (folder / "bundle").exists()
    assert not list(folder.glob(".*"))
    assert 'ac.load("agent.zip", trust=True)' in (folder / "report.md").read_text()
    trusted = load(folder, trust=True)
    again = finetune(given, world, asked, out=folder, resume=True)
    assert again.report.to_json() == read(folder).to_json() == done.report.to_json()
    acts = done.agent.predict(observations(), deterministic=True)[0]
    for one in (again.agent, trusted):
        assert same(weights(one), weights(done.agent))
        assert np.array_equal(one.predict(observations(), deterministic=True)[0], acts)


def test_a_finished_run_is_resumed_without_running_code_of_its_file(tmp_path: Path) -> None:
    given, folder = foreign("policy"), tmp_path / "run"
    finetune(given, task(), recipe(), out=folder)
    with pytest.raises(UnsafeFileError):
        load(folder)
    PPO.load(folder / "agent.zip", device="cpu")
    (folder / "agent.zip").write_bytes((folder / "agent.zip").read_bytes()[:-2000])
    with pytest.raises(SourceError):
        finetune(given, task(), recipe(), out=folder, resume=True)
    assert (folder / "report.json").exists()


def test_what_no_form_can_hold_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    """A method that stays rules out the zip, and a class of one's own the bundle."""
    trace: list[Any] = []
    asked = recipe(methods=(Residual(width=4),))
    with pytest.raises(MisfitError, match=r"no agent\.zip: `residual`.*no bundle: .*`Own`"):
        finetune(foreign("policy"), task(trace=trace), asked, out=tmp_path / "run")
    assert not sum(len(actions) for _, actions in trace)
    assert not (tmp_path / "run").exists()
    assert finetune(foreign("policy"), task(), asked).report.kept, "without a folder there is nothing to write"


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_what_measuring_costs_is_foreseen_and_counted(name: str, tmp_path: Path) -> None:
    trace: list[Any] = []
    said: list[str] = []
    given, world, source = agent(name), task(name, offset=0.5, trace=trace), task(name, trace=trace)
    done = finetune(given, world, recipe(), source=source, say=said.append)
    report, taken = done.report, sum(len(actions) for _, actions in trace)
    assert report.steps_measured == taken - report.steps_charged - report.steps_home
    (line,) = [line for line in said if line.startswith("measuring takes about ")]
    foreseen = int(line.split()[3].replace(",", ""))
    assert 0.6 * foreseen < report.steps_measured <= 1.1 * foreseen
    assert any("more than training takes" in line for line in said)
    assert dict(costs(report))["steps of measuring"].startswith(
        f"{taken - report.steps_charged - report.steps_home:,}, not charged, "
    )


@pytest.mark.parametrize("methods", [(), (Residual(width=4),)], ids=["stock", "residual"])
def test_what_was_trained_and_not_kept_is_there_all_the_same(methods: tuple[Any, ...], tmp_path: Path) -> None:
    few = recipe(methods=methods, evaluation={"judging_episodes": 19})
    run = finetune(agent("ppo", normalize=True), task("ppo", offset=0.5), few, out=tmp_path / "run", progress=False)
    assert (run.report.kept, run.report.too_few) == ("pretrained", True)
    assert "the agent at the end of training, which was not kept, is in last/" in run.report.notes
    last = load(tmp_path / "run" / "last")
    assert (tmp_path / "run" / "last" / "agent.zip").exists() == (not methods)
    assert last.normalizer is not None
    assert not same(weights(last), weights(run.agent))
    # It is the agent whose episodes the report shows as those of the end of training.
    played = evaluate(last, task("ppo", offset=0.5), episodes=4)
    assert run.report.target.last is not None
    assert np.allclose(played.returns, run.report.target.last.returns, atol=1e-4)
    assert same(weights(load(tmp_path / "run")), weights(run.agent))


def test_where_the_tuned_agent_is_kept_there_is_no_other(tmp_path: Path) -> None:
    """One that does nothing learns to push."""
    asked = recipe(steps=1_200, warm_start={"learning_rate": 0.01})
    run = finetune(linear(0.0), task("ppo", offset=1.0), asked, out=tmp_path / "run", progress=False)
    assert run.report.kept == "tuned"
    assert not (tmp_path / "run" / "last").exists()
