"""One file filters, acts and says why: what the guard does in Python it does in the graph, flag by flag."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import acclimate as ac
from acclimate.exporting.card import card_of
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.contract.wording import render
from acclimate.exporting.graph import writing
from acclimate.exporting.graph.guarding import GuardedGraph
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.samples import drawn, masks, whole
from acclimate.exporting.graph.tripping import episodes
from acclimate.exporting.graph.writing import onnx_of
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded
from acclimate.guard.release import Release
from acclimate.guard.saved import save
from tests import tiny
from tests.unit.exporting import made
from tests.unit.guard import world
from tests.unit.guard.test_guarded import hostile

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DAY = ("ppo", "ppo-cnn", "ppo-multi", "maskable_ppo", "recurrent_ppo", "her", "dqn")
UNSEEN = {
    # No sensor of whole numbers shows what is no number, and these have no distances.
    "ppo-cnn": {"not_finite", "bounds"},
    "ppo-multi": {"not_finite"},
    "a2c": {"not_finite"},
}


@functools.cache
def guarded(name: str) -> Guarded:
    """Return an agent of any kind, behind a guard that knows a world of random observations."""
    _, task = world.random_world(name)
    return Guarded(made.agent(name), fit(made.agent(name), task, episodes=20, alarms=0.9))


@functools.cache
def exported(name: str) -> tuple[bytes, Contract]:
    return onnx_of(made.agent(name), guarded=guarded(name))


def wandering(**more: Any) -> Guarded:
    return Guarded(world.agent(), world.fitted(*world.ALL, **more))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with all tiers in it."""
    folder = tmp_path_factory.mktemp("everything")
    return ac.export(world.agent(), folder / "policy", guard=world.fitted(*world.ALL), task=world.task())


def run_beside(
    policy: Any, twin: Guarded, steps: np.ndarray, rng: np.random.Generator, other: Any = None
) -> np.ndarray:
    """Play rows through both, each with a state of its own, and return how often each flag was raised."""
    state, memory, raised = None, twin.initial(steps.shape[1]), 0
    for step, rows in enumerate(steps):
        batch = twin.guard.layout.observations(rows)
        starts = np.ones(len(rows), bool) if step == 0 else rng.random(len(rows)) < 0.05
        asked = {}
        if policy.contract.ports.masked:
            asked["action_masks"] = masks(twin.guard.action_space, len(rows), rng)
        wanted, decision, memory = twin.predict(batch, memory, starts, **asked)
        acted = {} if other is None else {"other": other(batch)}
        found = policy.decide(batch, state, starts, **asked, **acted)
        state = found.state
        np.testing.assert_array_equal(found.flags, decision.flags)
        np.testing.assert_allclose(found.scores, decision.scores, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(found.fallback, decision.refusing)
        np.testing.assert_array_equal(found.mended, decision.mended)
        assert found.actions.dtype == wanted.dtype
        np.testing.assert_allclose(found.actions, wanted, rtol=1e-5, atol=1e-5)
        raised = raised + decision.flags.sum(0)
    return raised


@pytest.mark.parametrize(
    "name", [name if name in DAY else pytest.param(name, marks=pytest.mark.nightly) for name in tiny.MODELS]
)
def test_every_agent_behind_its_guard(name: str, tmp_path: Path) -> None:
    """Identical flags at batch 1, 7 and 256, while each side carries its own state."""
    data, contract = exported(name)
    path, twin, rng = tmp_path / "policy.onnx", guarded(name), np.random.default_rng(3)
    path.write_bytes(data)
    policy, raised = ac.load_policy(path), 0
    clean = twin.guard.layout.rows(whole(drawn(made.agent(name), Graph(made.agent(name)).ports, 64, seed=5)))
    lengths = (20, 8, 2) if twin.guard.layout.images else (40, 20, 6)
    for size, length in zip((1, 7, 256), lengths, strict=True):
        raised = raised + run_beside(policy, twin, episodes(twin.guard, clean, length, size, rng), rng)
    unseen = {reason.word for reason, count in zip(twin.reasons, raised, strict=True) if not count}
    assert unseen == UNSEEN.get(name, set())
    assert contract.guard is not None
    assert {reason.name for reason in contract.guard.reasons if not reason.raised} == unseen
    assert contract.guard.parity.largest_error <= 1e-5


def test_every_tier(everything: Path) -> None:
    twin, policy, rng = wandering(), ac.load_policy(everything), np.random.default_rng(0)
    raised = 0
    for size, length in ((1, 120), (7, 100), (256, 30)):
        clean = world.wandered(200).numpy()[:, 0]
        raised = raised + run_beside(policy, twin, episodes(twin.guard, clean, length, size, rng), rng)
    assert (raised > 0).all()


@pytest.mark.parametrize("tiers", [["bounds", "latent"], ["latent"]])
@pytest.mark.parametrize("name", ["a2c", "ppo-multi"])
def test_choices_that_there_are_not(name: str, tiers: list[str], tmp_path: Path) -> None:
    """A guard that reads the inside of a policy, before one whose network has no place for them."""
    _, task = world.random_world(name)
    guard = fit(made.agent(name), task, episodes=20, alarms=0.9, tiers=tiers)
    policy = ac.load_policy(ac.export(made.agent(name), tmp_path / "policy", guard=guard))
    rng = np.random.default_rng(0)
    clean = guard.layout.rows(tiny.observations(task.observation_space, 64))
    raised = run_beside(policy, Guarded(made.agent(name), guard), episodes(guard, clean, 20, 7, rng), rng)
    assert raised[1] or tiers == ["latent"]


def test_a_policy_that_was_trained_with_dropout(tmp_path: Path) -> None:
    """The masks are in the file, so that it is as unsure as the agent is here."""
    agent = ac.load(made.restless(world.agent().model.__class__("MlpPolicy", world.Wander(), n_steps=8)))
    agent.model.policy.mlp_extractor.policy_net.append(torch.nn.Dropout(0.2))
    guard = fit(agent, world.task(), episodes=20, alarms=0.5, tiers=["uncertainty", "latent"])
    policy = ac.load_policy(ac.export(agent, tmp_path / "policy", guard=guard, task=world.task()))
    rng = np.random.default_rng(0)
    steps = episodes(guard, world.wandered(100).numpy()[:, 0], 40, 7, rng)
    assert (run_beside(policy, Guarded(agent, guard), steps, rng) > 0).all()


def test_2000_hostile_observations_never_reach_the_policy(everything: Path) -> None:
    """A policy that sees what is no number puts out none, which would have to be mended."""
    policy, space, state, refused = ac.load_policy(everything), world.task().action_space, None, 0
    with np.errstate(over="ignore"):
        rows = hostile(2000, 3).astype(np.float32).reshape(-1, 8, 3)
    for seen in rows:
        found = policy.decide(seen, state)
        state = found.state
        assert np.isfinite(found.actions).all()
        assert ((found.actions >= space.low) & (found.actions <= space.high)).all()
        assert not found.mended.any()
        refused += int(found.flags.any(1).sum())
    assert refused > 500


def test_the_policy_alone_lets_them_through(tmp_path: Path) -> None:
    """So the test above can fail."""
    policy = ac.load_policy(ac.export(world.agent(), tmp_path / "bare"))
    with np.errstate(over="ignore"):
        assert not np.isfinite(policy.predict(hostile(200, 3).astype(np.float32))[0]).all()


@pytest.mark.parametrize("fallback", ["safe", "other", "asked"])
def test_what_acts_instead(fallback: str, tmp_path: Path) -> None:
    """The safe action, another agent in the graph, or a controller whose actions the caller gives."""
    kind = "other" if fallback == "asked" else fallback
    guard = fit(world.agent(), world.task(), episodes=20, alarms=0.5, fallback=kind, safe=[0.5, 0.1], action_rate=0.2)
    turned = made.scaled(ac.load(made.restless(world.agent().model.__class__("MlpPolicy", world.Wander(), n_steps=8))))
    other = turned if fallback == "other" else None
    control: Any = (lambda obs: np.full((len(obs), 2), 0.25, np.float32)) if fallback == "asked" else None
    path = ac.export(world.agent(), tmp_path / "policy", guard=guard, other=other, task=world.task())
    policy, rng = ac.load_policy(path), np.random.default_rng(1)
    told = policy.contract.guard
    assert told is not None
    assert (told.fallback, told.other) == (kind, {"safe": None, "other": "inside", "asked": "input"}[fallback])
    twin = Guarded(world.agent(), guard, other or control)
    steps = episodes(guard, world.wandered(100).numpy()[:, 0], 60, 16, rng)
    run_beside(policy, twin, steps, rng, control)
    if fallback == "asked":
        with pytest.raises(ac.ConfigError, match="needs `other`"):
            policy.decide(steps[0])


def test_zeros_and_a_start_begin_it(everything: Path) -> None:
    policy, seen = ac.load_policy(everything), world.wandered(1)[0].numpy()
    size = policy.contract.ports.inputs[-1].shape[1]
    begun = policy.decide(seen, (np.zeros((1, size), np.float32),), np.array([True]))
    for asked in ({}, {"episode_start": np.array([False])}):  # without a state there is nothing to go on with
        for one, other in zip(begun, policy.decide(seen, **asked), strict=True):
            np.testing.assert_array_equal(one, other)


def untold(guard: Any) -> None:
    return None


def one_reason_less(guard: Any) -> Any:
    return {**guard, "reasons": guard["reasons"][1:]}


def a_controller(guard: Any) -> Any:
    return {**guard, "other": "input"}


@pytest.mark.parametrize("told", [untold, one_reason_less, a_controller])
def test_a_contract_that_lies_about_its_guard(told: Any, everything: Path, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(everything.read_bytes())
    prop = next(each for each in model.metadata_props if each.key == KEY)
    contract = json.loads(prop.value)
    prop.value = json.dumps({**contract, "guard": told(contract["guard"])})
    (tmp_path / "lies.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ac.SourceError, match="not those of its spaces and its guard"):
        ac.load_policy(tmp_path / "lies.onnx")


def test_the_card_tells_of_the_guard(everything: Path) -> None:
    pytest.importorskip("huggingface_hub")
    contract = ac.load_policy(everything).contract
    card = card_of(world.agent(), contract, name="n", license="mit", held="agent.zip", graph=True)
    assert "A guard is part of the graph (not_finite, bounds, rate" in card
    assert "A guard is part of the graph" not in card_of(
        world.agent(), dataclasses.replace(contract, guard=None), name="n", license="mit", held="agent.zip", graph=True
    )


def test_a_step_that_is_bounded_in_one_number_alone(tmp_path: Path) -> None:
    guard = world.fitted("bounds")
    release = Release.of(guard.action_space, rate=0.5)
    release.step[0] = torch.inf
    path = ac.export(world.agent(), tmp_path / "policy", guard=dataclasses.replace(guard, release=release))
    told = ac.load_policy(path).contract.guard
    assert told is not None
    assert told.largest_step == (None, 0.5)


def test_the_contract_tells_what_was_calibrated(everything: Path) -> None:
    guard, contract = world.fitted(*world.ALL), ac.load_policy(everything).contract
    assert contract.guard is not None
    assert [reason.name for reason in contract.guard.reasons] == [reason.word for reason in guard.filter.reasons]
    assert [reason.code for reason in contract.guard.reasons] == [int(reason) for reason in guard.filter.reasons]
    np.testing.assert_allclose([reason.limit for reason in contract.guard.reasons], guard.filter.limits.numpy())
    assert (contract.guard.episodes, contract.guard.alarms, contract.guard.task) == (60, 0.5, "Wander")
    assert contract.guard.parity.observations == {"drawn": 1824, "seen": 1824}
    assert Contract.from_json(contract.to_json(), "here") == contract
    text = render(contract)
    assert "fallback:     hold, after 3 refused of 5 steps" in text
    assert "60 episodes of Wander" in text


@pytest.mark.parametrize("what", ["limits", "policy", "state", "no state", "no scores", "fallback"])
def test_a_graph_that_is_not_its_guard_is_never_written(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(GuardedGraph):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            if what == "limits":
                self.filter.limits.mul_(1.01)
            elif what == "fallback":
                self.release.safe.add_(0.01)
            elif what == "policy":
                with torch.no_grad():
                    self.bare.policy.action_net.bias.add_(1e-3)

        def forward(self, *inputs: Any) -> Any:
            *rest, scores, fallback, mended, state = super().forward(*inputs)
            state = state * {"state": 1.001, "no state": torch.nan}.get(what, 1.0)
            return (*rest, scores * torch.nan if what == "no scores" else scores, fallback, mended, state)

    monkeypatch.setattr(writing, "GuardedGraph", Wrong)
    guard = fit(world.agent(), world.task(), episodes=20, alarms=0.5, fallback="safe", safe=[0.5, 0.1])
    with pytest.raises(ac.ExportError, match="nothing was written"):
        ac.export(world.agent(), tmp_path / "p", guard=guard, task=world.task())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"to": "sb3"}, ac.ConfigError, "`sb3` holds no guard"),
        ({"other": "agent.zip", "guard": None}, ac.ConfigError, "there is none; give `guard` as well"),
        ({"guard": "nowhere.safetensors"}, ac.SourceError, "nowhere.safetensors"),
        ({"agent": "dqn"}, ac.ConfigError, "the guard is another agent's"),
    ],
)
def test_what_cannot_be_guarded_is_said(
    asked: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    given = {"guard": world.fitted("bounds"), **asked}
    agent = made.agent(given.pop("agent")) if "agent" in given else world.agent()
    with pytest.raises(error, match=words):
        ac.export(agent, tmp_path / "p", **given)
    assert not list(tmp_path.iterdir())


def test_images_come_to_guard_and_graph_alike(tmp_path: Path) -> None:
    with pytest.raises(ac.ConfigError, match="channels of images where the environment has them"):
        ac.export(made.agent("ppo-cnn"), tmp_path / "p", guard=turned_guard(), channels_last=False)


def turned_guard() -> Any:
    """Return a guard of images as most environments give them."""
    agent = made.agent("ppo-cnn")
    shown = spaces.Box(0, 255, tuple(np.moveaxis(np.empty(agent.observation_space.shape), 0, -1).shape), np.uint8)
    arguments = {"observation_space": shown, "action_space": agent.action_space}
    return fit(agent, ac.Task(world.Sampled, env_kwargs=arguments), episodes=20, alarms=0.9)


@pytest.mark.parametrize(
    ("read", "seen", "acted"),
    [(np.float32, np.float64, np.float32), (np.float32, np.float32, np.float64), (np.float16, np.float16, np.float32)],
)
def test_numbers_of_other_sizes(read: Any, seen: Any, acted: Any, tmp_path: Path) -> None:
    """A guard of a world that shows doubles, before an agent of floats; actions that are doubles; halves."""
    home, shown = (spaces.Box(-1, 1, (3,), each) for each in (read, seen))
    done = spaces.Box(-0.1, 0.1, (2,), acted)
    agent = ac.load(made.restless(world.agent().model.__class__("MlpPolicy", tiny.World(home, done), n_steps=8)))
    arguments = {"observation_space": shown, "action_space": done}
    guard = fit(agent, ac.Task(world.Sampled, env_kwargs=arguments), episodes=20, alarms=0.9)
    policy, rng = ac.load_policy(ac.export(agent, tmp_path / "policy", guard=guard)), np.random.default_rng(0)
    clean = guard.layout.rows(tiny.observations(shown, 64))
    run_beside(policy, Guarded(agent, guard), episodes(guard, clean, 20, 7, rng), rng)
    found = policy.decide(tiny.observations(shown, 64))
    assert (np.abs(found.actions) >= np.abs(done.high) * 0.999).any(), "no action is at its bounds"
    assert not found.mended.any()


def test_a_folder_for_the_hub_says_that_a_guard_is_in_it(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    guard = world.fitted("bounds", episodes=20)
    folder = ac.export(world.agent(), tmp_path / "hub", to="hub", guard=guard, task=world.task(), license="mit")
    assert ac.load_policy(folder / "policy.onnx").contract.ports.guarded
    card = (folder / "README.md").read_text()
    assert "A guard is part of the graph (not_finite, bounds), calibrated on 20 clean episodes of Wander" in card
    assert "false alarms in 50 % of them" in card


def test_a_guard_from_its_file_goes_in_from_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from acclimate.cli import main
    from acclimate.formats import writers

    writers.save(made.agent("dqn"), tmp_path / "agent.zip")
    save(guarded("dqn").guard, tmp_path / "guard.safetensors")
    arguments = ["export", str(tmp_path / "agent.zip"), "--guard", str(tmp_path / "guard.safetensors")]
    done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "policy.onnx")])
    assert done.exit_code == 0, done.output
    assert ac.load_policy(tmp_path / "policy.onnx").contract.ports.guarded
