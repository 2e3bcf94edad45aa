"""What is written where, what a contract tells, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from gymnasium import spaces

import acclimate as ac
from acclimate.exporting.card import card_of
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.contract.describing import contract_of, robot_keys
from acclimate.exporting.contract.run import Tuning, tuning_of
from acclimate.exporting.contract.wording import render
from acclimate.exporting.contract.worlds import facts
from acclimate.exporting.graph.module import Graph
from acclimate.methods.residual import Residual
from tests import tiny, world
from tests.unit.exporting import made

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def agent_of(env: str, **more: Any) -> ac.Agent:
    from stable_baselines3 import PPO

    arguments = {"policy_kwargs": {"net_arch": [4]}, "n_steps": 8, "batch_size": 8, "device": "cpu", **more}
    return ac.load(made.restless(PPO("MlpPolicy", env, **arguments)))


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cheetah")
    return ac.export(agent_of("HalfCheetah-v5"), folder / "policy", task=ac.Task("HalfCheetah-v5"))


def test_the_contract_is_in_the_file_and_beside_it(cheetah: Path) -> None:
    assert cheetah.name == "policy.onnx"
    assert {path.name for path in cheetah.parent.iterdir()} == {"policy.onnx", "contract.json"}
    beside = json.loads((cheetah.parent / "contract.json").read_text())
    data = cheetah.read_bytes()
    assert beside.pop("file") == {
        "name": "policy.onnx",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    inside = {prop.key: prop.value for prop in onnx.load_model_from_string(data).metadata_props}
    assert json.loads(inside[KEY]) == beside
    assert inside["joint_names"] == "bthigh,bshin,bfoot,fthigh,fshin,ffoot"
    assert inside["observation_names"].split(",")[7:9] == ["qpos[7]", "qvel[0]"]
    assert inside["action_scale"] == "1.0,1.0,1.0,1.0,1.0,1.0"


def test_what_a_contract_tells(cheetah: Path) -> None:
    contract = ac.load_policy(cheetah).contract
    assert contract.world is not None
    assert contract.world.name == "HalfCheetah-v5"
    assert contract.world.rate_hz == 20.0  # frames of 0.01 s, five of them a step
    assert contract.world.observation_units == ("m", *["rad"] * 7, "m/s", "m/s", *["rad/s"] * 7)  # the torso slides
    assert "observed:     qpos[0] (m), qpos[1] (rad)" in render(contract)
    assert contract.parity is not None
    assert contract.parity.observations == {"drawn": 264, "seen": 264}
    assert contract.parity.batches == (1, 7, 256)
    assert contract.versions["onnx"] == onnx.__version__
    assert contract.spaces().action_space == gym.make("HalfCheetah-v5").action_space


def test_units_of_a_free_body_and_none_where_nothing_tells() -> None:
    found = facts(ac.Task("Ant-v5")).observation_units or ()
    assert found[:6] == ("m", "1", "1", "1", "1", "rad")  # height, a quaternion, joints
    assert found[13:20] == ("m/s", "m/s", "m/s", "rad/s", "rad/s", "rad/s", "rad/s")
    assert set(found[27:]) == {""}
    assert facts(ac.Task("CartPole-v1")).observation_units is None


def test_stacked_observations_are_told_and_compared() -> None:
    stacked = ac.Task(lambda: gym.wrappers.FrameStackObservation(Robot(), 3))
    told = facts(stacked)
    assert told.frames == 3
    agent = agent_of(gym.wrappers.FrameStackObservation(Robot(), 3))
    contract = dataclasses.replace(contract_of(agent, Graph(agent), stacked), parity=None)
    assert "3 observations in a row make up one" in render(contract)

    class Flat(gym.ObservationWrapper):
        def observation(self, observation: Any) -> Any:
            return np.stack([observation] * 3)

    other = Flat(Robot())
    other.observation_space = agent.observation_space
    contract.check(ac.Task(lambda: other), "here")  # which tells of no frames
    once = dataclasses.replace(contract, world=dataclasses.replace(told, frames=4))
    with pytest.raises(ac.SpaceMismatchError, match="`frames`: the file expects 4, the environment gives 3"):
        once.check(stacked, "here")


def test_normalisation_is_told() -> None:
    contract, normalizer = made.exported("ppo")[1], made.agent("ppo").normalizer
    assert normalizer is not None
    (scaling,) = contract.normalization
    assert scaling.input == "obs"
    assert scaling.clip == 1.5
    np.testing.assert_allclose(scaling.mean, normalizer.obs_mean)
    np.testing.assert_allclose(scaling.std, np.sqrt(np.asarray(normalizer.obs_var) + 1e-8))
    assert [each.input for each in made.exported("her")[1].normalization] == [
        "obs.observation",
        "obs.achieved_goal",
        "obs.desired_goal",
    ]


def test_a_task_that_fits_is_taken_and_another_refused_by_name(cheetah: Path) -> None:
    ac.load_policy(cheetah, task=ac.Task("HalfCheetah-v5"))
    with pytest.raises(ac.SpaceMismatchError, match=r"observation: agent expects shape \(17,\).*gives \(11,\)"):
        ac.load_policy(cheetah, task=ac.Task("Hopper-v5"))
    slower = ac.Task("HalfCheetah-v5", env_kwargs={"frame_skip": 10})
    with pytest.raises(ac.SpaceMismatchError, match="`rate_hz`: the file expects 20, the environment gives 10"):
        ac.load_policy(cheetah, task=slower)
    with pytest.raises(ac.SpaceMismatchError, match="`rate_hz`"):
        ac.load_policy(cheetah).check(slower)


class Robot(gym.Env):
    """Tells what it observes, in an order of its own."""

    def __init__(self, order: tuple[str, ...] = ("arm", "leg"), dt: float = 0.02) -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        sizes = {"arm": 2, "leg": 1}
        self.observation_structure = {"skipped_arm": 1, **{name: sizes[name] for name in order}}
        self.dt = dt

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(3, np.float32), 0.0, False, True, {}


def test_an_order_that_was_changed_is_seen() -> None:
    told = facts(ac.Task(Robot))
    assert told.observation_names == ("arm[0]", "arm[1]", "leg[0]")
    assert told.rate_hz == 50.0
    assert told.config is None
    found = made.exported("ppo")[1]
    contract = Contract.from_json(json.dumps({**json.loads(found.to_json()), "world": vars(told)}), "here")
    turned = ac.Task(lambda: Robot(("leg", "arm")))
    with pytest.warns(UserWarning, match="bounds differ"):
        contract.check(ac.Task(Robot), "here")
    with (
        pytest.warns(UserWarning, match="bounds differ"),
        pytest.raises(ac.SpaceMismatchError, match="`observation_names`: the file expects arm"),
    ):
        contract.check(turned, "here")


@pytest.mark.parametrize(("env", "rate"), [("CartPole-v1", 50.0), ("Pendulum-v1", 20.0), ("Acrobot-v1", 5.0)])
def test_rates_of_other_environments(env: str, rate: float) -> None:
    told = facts(ac.Task(env))
    assert told.rate_hz == rate
    assert told.joint_names is None
    assert "joint_names" not in robot_keys(made.exported("ppo")[1])


def test_weights_alone_have_the_same_contract(tmp_path: Path) -> None:
    agent = made.agent("her")
    path = ac.export(agent, tmp_path / "w", to="safetensors")
    with safetensors.safe_open(path, "np") as file:
        contract = Contract.from_json(file.metadata()[KEY], "here")
        mean = file.get_tensor("normalization/obs.observation/mean")
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert agent.normalizer is not None
    np.testing.assert_array_equal(mean, agent.normalizer.obs_mean["observation"])
    for name, tensor in agent.model.policy.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    assert contract.parity is None
    assert contract.inputs == made.exported("her")[1].inputs


def test_a_zip_is_what_save_writes(tmp_path: Path) -> None:
    agent = made.agent("ppo")
    path = ac.export(agent, tmp_path / "agent", to="sb3")
    again = ac.load(path)
    assert path.name == "agent.zip"
    assert again.normalizer is not None
    obs = tiny.observations(agent.observation_space)
    np.testing.assert_array_equal(*(each.predict(obs, deterministic=True)[0] for each in (agent, again)))


def test_a_contract_of_another_file_is_not_replaced(tmp_path: Path) -> None:
    first = ac.export(made.agent("dqn"), tmp_path / "one.onnx")
    kept = (tmp_path / "contract.json").read_bytes()
    with pytest.raises(ac.ExportError, match=r"is the contract of one\.onnx"):
        ac.export(made.agent("dqn"), tmp_path / "two.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"one.onnx", "contract.json"}
    assert (tmp_path / "contract.json").read_bytes() == kept
    ac.export(made.agent("dqn"), first)
    first.unlink()
    ac.export(made.agent("dqn"), tmp_path / "two.onnx")
    (tmp_path / "contract.json").write_text('{"of": "somebody"}')
    with pytest.raises(ac.ExportError, match="of something else"):
        ac.export(made.agent("dqn"), tmp_path / "two.onnx")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"to": "torchscript"}, ac.ConfigError, "no form `torchscript`"),
        ({"to": "onnx", "license": "mit"}, ac.ConfigError, "`license` is for the card"),
        ({"to": "hub"}, ac.ConfigError, "give it"),
        ({"to": "onnx", "path": "policy.zip"}, ac.MisfitError, "name it policy.onnx"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], error: type[Exception], words: str, tmp_path: Path) -> None:
    path = tmp_path / asked.pop("path", "out")
    with pytest.raises(error, match=words):
        ac.export(made.agent("dqn"), path, **asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_there_is_one_line(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(made.exported("dqn")[0])
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ac.ExportError, match=rf"needs `{missing}`.*acclimate\[onnx\]"):
        ac.export(made.agent("dqn"), tmp_path / "other" / "policy.onnx")
    if missing != "onnxscript":
        with pytest.raises(ac.ExportError, match=rf"needs `{missing}`"):
            ac.load_policy(path)
    assert not (tmp_path / "other").exists()


def test_a_policy_of_ones_own_is_refused_in_one_line() -> None:
    class Own(made.agent("dqn").model.policy.__class__.__mro__[1]):  # type: ignore[misc]
        pass

    agent = ac.load(tiny.model("dqn"))
    agent.model.policy.__class__ = Own
    from acclimate.sb3.policies.mode import choice_of

    with pytest.raises(ac.MisfitError, match="class Own cannot be written as a graph"):
        choice_of(agent.model.policy)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run in CartPole, whose agent came from the Hub."""
    folder = tmp_path_factory.mktemp("run")
    ac.export(agent_of("CartPole-v1"), folder / "models--an--agent" / "snapshots" / "1" / "a", to="sb3")
    agent = ac.load(folder / "models--an--agent" / "snapshots" / "1" / "a.zip")
    task = ac.Task("CartPole-v1", shifts=(ac.Length(2.0),))
    ac.finetune(agent, task, world.recipe(steps=600), out=folder / "tuned", progress=False)
    return folder / "tuned"


def test_a_folder_for_the_hub(run: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = ac.export(run, tmp_path / "card", to="hub", license="apache-2.0")
    assert {path.name for path in folder.iterdir()} == {"README.md", "agent.zip", "contract.json", "policy.onnx"}
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == "an/agent"
    result, source = card.data.eval_results
    assert source.dataset_name == "CartPole-v1"
    report = json.loads((run / "report.json").read_text())
    mean = np.mean(report["target"]["after"]["returns"])
    assert result.metric_value.startswith(f"{mean:.2f} [")
    assert result.dataset_name == report["task"] == "CartPole-v1 with length=2"
    contract = Contract.from_json((folder / "contract.json").read_text(), "here")
    assert contract.history.run is not None
    assert contract.history.run["steps"] == 600
    assert contract.history.run["pretrained"] == "a.zip"
    assert contract.parity is not None
    obs = np.zeros((1, 4), np.float32)
    ours, _ = ac.load_policy(folder / "policy.onnx").predict(obs)
    np.testing.assert_array_equal(ours, ac.load(folder).predict(obs, deterministic=True)[0])
    with pytest.raises(ac.ExportError, match="is there already"):
        ac.export(run, folder, to="hub", license="mit")


def test_the_task_of_a_run_is_its_target(run: Path) -> None:
    tuning = tuning_of(ac.load(run))
    assert tuning is not None
    assert tuning.task() == ac.Task("CartPole-v1", shifts=(ac.Length(2.0),))
    named = Tuning(run, None, {"task": "os:Evil-v0"})  # type: ignore[arg-type]
    with pytest.raises(ac.ConfigError, match="a file may not ask for"):
        named.task()
    code = Tuning(run, None, {"task": "Dot", "callables": {"target": {"env": "a.b"}}})  # type: ignore[arg-type]
    assert code.task() is None


def test_an_agent_that_no_zip_holds_goes_to_the_hub_as_a_bundle(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    stock = made.agent("dqn")
    agent = ac.Agent(stock.blueprint, stock.model, methods=(Residual(),))
    card = card_of(agent, made.exported("dqn")[1], name="n", license="mit", held="bundle", graph=False)
    assert "`bundle` holds the agent" in card
    assert "policy.onnx" not in card
