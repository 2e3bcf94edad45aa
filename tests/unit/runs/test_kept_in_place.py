"""Runs whose agent keeps methods in its networks: no zip, a bundle that acts, evaluates and is tuned again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from torch import nn

from acclimate.agents import inspection
from acclimate.agents.agent import Agent
from acclimate.agents.graft import kept
from acclimate.agents.load import load
from acclimate.cli import main
from acclimate.errors import ExportError, SourceError
from acclimate.evaluation.evaluate import evaluate
from acclimate.methods.channel import ChannelScale
from acclimate.methods.channel_rates import ChannelRates
from acclimate.methods.dropout import Dropout
from acclimate.methods.fisher_channels import FisherChannels
from acclimate.methods.freeze import Freeze
from acclimate.methods.kl import KLToPrior
from acclimate.methods.lora import LoRA
from acclimate.methods.mixout import Mixout
from acclimate.methods.residual import Residual
from acclimate.methods.side import Side
from acclimate.nets.masks import Masked
from acclimate.planning.probe import is_discrete_actor
from acclimate.runs.finetune import Run, finetune
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests import cases
from tests.world import agent, observations, recipe, same, task, weights

RATES = {"learning_rate": 0.02, "gamma": 0.8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    kept = (LoRA(rank=1, train_bias=True), Residual(width=4))
    methods = (Freeze(on="critic:*.bias"), Dropout(on="critic"), kept[0], KLToPrior(weight=0.001), kept[1])
    asked = recipe(steps=1_500, methods=methods, algorithm=RATES, averaging=0.5)
    done = finetune(agent("ppo", normalize=True), task("ppo"), asked, out=tmp_path_factory.mktemp("runs") / "run")
    assert done.report.kept == "tuned"
    return done


def test_the_run_has_a_bundle_and_no_zip(run: Run) -> None:
    assert [method.name for method in run.agent.methods] == ["lora", "residual"]
    present = {path.name for path in run.folder.iterdir()}
    assert {"bundle", "report.json", "report.html", "checkpoint"} <= present
    assert not {"agent.zip", "vecnormalize.pkl"} & present
    assert any("no agent.zip: `residual` in its networks" in note for note in run.report.notes)
    assert 'ac.load("bundle")' in (run.folder / "report.md").read_text() + (run.folder / "report.html").read_text()
    manifest = json.loads((run.folder / "bundle" / "manifest.json").read_text())
    assert [next(iter(item)) for item in manifest["methods"]] == ["lora", "residual"]


def test_what_only_training_needed_does_not_stay() -> None:
    """Its pretrained weights are those of the run: put into another network, `mixout` would mix in that one's."""
    method = chain(Residual(), Mixout(), ChannelRates(), FisherChannels(), ChannelScale())
    assert [part.name for part in kept(method)] == ["residual", "channel"]
    q = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    tuner = attach(chain(ChannelScale(), Mixout(p=0.5)), {"q": q})
    tuner.keep()
    assert not [module for module in q.modules() if isinstance(module, Masked)]
    assert [name for name, _ in q.named_parameters() if "computes_weight.0" in name]
    assert tuner.parameters[0] is q[0]._parameters["weight"]


def test_it_acts_the_same_in_memory_as_a_copy_and_from_the_folder(run: Run) -> None:
    seen = observations()
    acts = run.agent.predict(seen, deterministic=True)[0]
    for other in (run.agent.copy(), load(run.folder), load(run.folder / "bundle")):
        assert np.array_equal(acts, other.predict(seen, deterministic=True)[0])
        assert same(weights(run.agent), weights(other))
        assert np.array_equal(run.agent.values(seen), other.values(seen))
    first, second = (evaluate(a, task("ppo"), episodes=4) for a in (run.agent, load(run.folder)))
    assert np.array_equal(first.returns, second.returns)


def test_no_zip_holds_it(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"`lora` and `residual` in its networks cannot .* save the bundle, a folder"):
        run.agent.save(tmp_path / "agent.zip")
    assert list(tmp_path.iterdir()) == []
    assert same(weights(run.agent), weights(load(run.agent.save(tmp_path / "agent"))))


def test_inspect_shows_what_it_carries(run: Run) -> None:
    found = inspection.describe(load(run.folder))
    assert [next(iter(item)) for item in found["methods"]] == ["lora", "residual"]
    said = CliRunner().invoke(main, ["inspect", str(run.folder)])
    assert said.exit_code == 0
    assert "methods in its networks:\n  lora:" in said.output
    assert inspection.describe(agent("ppo"))["methods"] == []


def test_it_is_tuned_again_with_all_in_place(run: Run, tmp_path: Path) -> None:
    """What folds by itself does not fold here: it was trained on what stays."""
    asked = recipe(steps=1_500, methods=(LoRA(rank=1, train_bias=True), Side(width=3)), algorithm=RATES)
    given = load(run.folder)
    before = weights(given)
    again = finetune(given, task("ppo", offset=1.5), asked, out=tmp_path / "again")
    assert same(before, weights(given))
    assert again.report.kept == "tuned"
    assert [method.name for method in again.agent.methods] == ["lora", "residual", "lora", "side"]
    back = load(again.folder)
    assert same(weights(again.agent), weights(back))
    seen = observations()
    assert np.array_equal(again.agent.predict(seen)[0].shape, back.predict(seen)[0].shape)
    assert np.array_equal(*(a.predict(seen, deterministic=True)[0] for a in (again.agent, back)))


def test_a_run_that_keeps_the_pretrained_agent_writes_its_zip(tmp_path: Path) -> None:
    asked = recipe(steps=120, methods=(Residual(width=2),), algorithm={"learning_rate": 0.0})
    done = finetune(agent("ppo"), task("ppo"), asked, out=tmp_path / "run")
    assert done.report.kept == "pretrained"
    assert done.agent.methods == ()
    assert (done.folder / "agent.zip").exists()


@pytest.mark.parametrize("name", ["sac", "dqn", "td3"])
def test_off_policy_runs_with_a_method_that_stays(name: str, tmp_path: Path) -> None:
    methods = (Freeze(on="*:*.bias"), Residual(width=2))
    asked = recipe(steps=200, methods=methods)
    first = finetune(agent(name), task(name), asked, out=tmp_path / "run")
    resumed = finetune(agent(name), task(name), asked, out=tmp_path / "run", resume=True)
    assert same(weights(first.agent), weights(resumed.agent))


@pytest.mark.parametrize(
    ("methods", "error", "said"),
    [
        (["os.system"], SourceError, "methods that are not known here"),
        ([{"residual": {"width": -1}}], SourceError, "residual.width is -1"),
        ([{"lora": {"rank": 1}}, {"residual": {"width": 5}}], SourceError, "its network takes"),
        ([], SourceError, "weights do not fit its network"),
        ("residual", SourceError, "broken bundle"),
    ],
)
def test_a_bundle_whose_methods_were_changed(run: Run, methods: object, error: type, said: str, tmp_path: Path) -> None:
    folder = run.agent.save(tmp_path / "bundle")
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "methods": methods}))
    with pytest.raises(error, match=said):
        load(folder)


def test_a_bundle_cannot_ask_for_more_memory_than_its_weights(run: Run, tmp_path: Path) -> None:
    folder = run.agent.save(tmp_path / "bundle")
    path = folder / "manifest.json"
    methods = ["lora", *[{"residual": {"width": 2**16}}] * 20]
    path.write_text(json.dumps({**json.loads(path.read_text()), "methods": methods}))
    with pytest.raises(SourceError, match="far larger than its weights"):
        load(folder)


def test_a_softmax_that_methods_make_is_not_divided() -> None:
    """The numbers of a residual divided by a temperature are another function, not cooler logits."""
    plain = load(cases.agent("ppo-mlp-discrete"))
    carrying = Agent.of(plain.parts())
    Seam(carrying.model, Residual(width=2)).keep()
    carrying.methods = (Residual(width=2),)
    assert is_discrete_actor(plain)
    assert not is_discrete_actor(carrying)
