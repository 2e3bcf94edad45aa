"""One file of ONNX acts as the agent does, whatever it is made of; one that does not is never written."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

import acclimate as ac
from acclimate.exporting.contract.ports import Port, Ports
from acclimate.exporting.graph import parity, rounding, writing
from acclimate.exporting.graph.module import Bounded, Graph
from acclimate.exporting.graph.samples import drawn, masks, whole
from acclimate.exporting.graph.tracing import traced
from acclimate.sb3.policies.mode import scores
from acclimate.seam.seam import Seam
from acclimate.shifts.masks import choices, leaves_a_choice
from tests import cases, tiny, world
from tests.unit.exporting import made

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def runs(data: bytes) -> Any:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def fed(name: str, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Return some of each input."""
    rng = np.random.default_rng(seed)
    agent, ports = made.agent(name), made.exported(name)[1].ports
    feeds = dict(drawn(agent, ports, rows, seed=seed))
    for port in ports.inputs:
        if port.name in ("h_in", "c_in"):
            feeds[port.name] = rng.normal(size=port.sized(rows)).astype(np.float32)
        elif port.name == "episode_start":
            feeds[port.name] = np.arange(rows) % 3 == 0
        elif port.name == "action_masks":
            feeds[port.name] = masks(agent.action_space, rows, rng)
    return feeds


def expected(name: str, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, Any]:
    """Return what the agent does, asked as anybody asks it."""
    agent = made.agent(name)
    asked: dict[str, Any] = {}
    if "h_in" in feeds:
        asked = {"state": (feeds["h_in"], feeds["c_in"]), "episode_start": feeds["episode_start"]}
    if "action_masks" in feeds:
        asked = {"action_masks": feeds["action_masks"]}
    seen = {key: value for key, value in feeds.items() if key.split(".")[0] == "obs"}
    return agent.predict(whole(seen), deterministic=True, **asked)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_the_file_acts_as_the_agent(name: str) -> None:
    data, contract = made.exported(name)
    session, space = runs(data), made.agent(name).action_space
    for seed, rows in enumerate((1, 7, 256)):
        feeds = fed(name, rows, seed)
        actions, *state = session.run(None, feeds)
        wanted, remembered = expected(name, feeds)
        assert actions.dtype == space.dtype
        np.testing.assert_allclose(actions, wanted, rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(state, remembered or (), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        if isinstance(space, spaces.Box):
            assert (actions >= space.low).all()
            assert (actions <= space.high).all()
    assert len(np.unique(actions, axis=0)) > 1, "an agent that always does the same shows nothing"
    assert contract.parity is not None
    assert contract.parity.largest_error <= 1e-5


@pytest.mark.parametrize("name", ["her", "recurrent_ppo", "maskable_ppo"])
def test_each_input_is_read_by_itself(name: str) -> None:
    """Inputs that are merged into one another leave some without effect."""
    session, feeds = runs(made.exported(name)[0]), fed(name, 64, 0)
    before = session.run(None, feeds)
    assert [each.name for each in session.get_inputs()] == list(feeds)
    for key, value in feeds.items():
        other = ~value if value.dtype == bool else (value + 0.7 * (1 - value)).astype(value.dtype)
        after = session.run(None, {**feeds, key: other})
        assert any(not np.array_equal(*each) for each in zip(before, after, strict=True)), key


def test_an_input_that_the_graph_does_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(made.agent("maskable_ppo"))
    monkeypatch.setattr(Graph, "forward", lambda self, *inputs: (scores(self.policy, inputs[0]).argmax(dim=1),))
    with pytest.raises(ac.MisfitError, match="does not read `action_masks`"):
        traced(graph)


def tampered(change: Any) -> Any:
    """Return an exporter whose graphs are wrong."""

    def wrong(graph: Graph) -> Any:
        model = traced(graph)
        change(model)
        return model

    return wrong


def stronger(model: Any) -> None:
    """Multiply the last weights of a model."""
    weights = [each for each in model.graph.initializer if len(each.dims) == 2][-1]
    array = onnx.numpy_helper.to_array(weights)
    weights.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(-1.01), weights.name))


def without_clipping(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "Clip":
            del node.input[1:]


def nothing(model: Any) -> None:
    for weights in model.graph.initializer:
        if len(weights.dims) == 2:
            array = np.full(tuple(weights.dims), np.nan, np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))


@pytest.mark.parametrize(
    ("name", "change"),
    [("ppo", stronger), ("ppo", without_clipping), ("sac", nothing), ("dqn", stronger), ("maskable_ppo", stronger)],
)
def test_a_wrong_graph_leaves_nothing_behind(
    name: str, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "traced", tampered(change))
    with pytest.raises(ac.ExportError, match="does not act as the agent") as caught:
        ac.export(made.agent(name), tmp_path / "policy.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_state_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(self: Graph, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        actions, hidden, cell = right(self, *inputs)
        return actions, hidden * 1.001, cell

    agent, right = ac.load(made.restless(tiny.model("recurrent_ppo", steps=0))), Graph.forward
    with torch.no_grad():  # so that no action shows it
        agent.model.policy.action_net.weight.zero_()
    monkeypatch.setattr(Graph, "forward", forgets)
    with pytest.raises(ac.ExportError, match="does not act as the agent"):
        writing.onnx_of(agent)


def test_an_action_that_rounding_moves_is_held_as_closely_as_it_can_be() -> None:
    """A first layer that multiplies by a million: the last bit of an observation is worth more than the tolerance."""
    agent = ac.load(world.model("td3", steps=0, policy_kwargs={"net_arch": []}))
    with torch.no_grad():
        agent.model.policy.actor.mu[0].weight.copy_(torch.tensor([[3e3, -3e3]]))
    rng, seen = np.random.default_rng(0), np.array([[0.7, 0.7], [0.0, 0.0]], np.float32)
    own = rounding.moves(agent, seen, {}, rng)
    assert own[0] > 1e-4
    assert own[1] < 1e-4
    assert parity.judged(own, lambda: own, "here").rounded == 1
    with pytest.raises(ac.ExportError, match="off by"):
        parity.judged(17 * own, lambda: own, "here")
    with pytest.raises(ac.ExportError, match="off by nan"):
        parity.judged(np.full((2, 1), np.nan), lambda: own, "here")


def test_whole_numbers_are_not_nudged() -> None:
    obs = tiny.observations(made.agent("ppo-multi").observation_space, 3)
    assert not rounding.moves(made.agent("ppo-multi"), obs, {}, np.random.default_rng(0)).any()


def test_ties_are_told_and_worse_choices_refused() -> None:
    graph = Graph(made.agent("dqn"))
    obs = np.zeros((2, 3), np.float32)
    with torch.no_grad():
        graph.policy.q_net.q_net[-1].weight.zero_()
        graph.policy.q_net.q_net[-1].bias.copy_(torch.tensor([1.0, 1.0 + 1e-6, 0.5]))
    first, second, worse = (np.full(2, number) for number in range(3))
    assert parity.ties_of(graph, {"obs": obs}, first, second, "here") == 2
    for pair in ((worse, first), (first, worse)):
        with pytest.raises(ac.ExportError, match="2 of 2 choices differ"):
            parity.ties_of(graph, {"obs": obs}, *pair, "here")


def test_masks_do_not_make_everything_a_tie() -> None:
    graph = Graph(made.agent("maskable_ppo"))
    feeds = {"obs": np.zeros((1, 3), np.float32), "action_masks": np.array([[True, True, False]])}
    best = graph(*(torch.as_tensor(each) for each in feeds.values()))[0].numpy()
    with pytest.raises(ac.ExportError, match="1 of 1 choices differ"):
        parity.ties_of(graph, feeds, 1 - best, best, "here")


@pytest.mark.parametrize("method", ["residual", "side"])
@pytest.mark.parametrize("algorithm", ["ppo", "sac", "dqn", "recurrent_ppo"])
def test_methods_that_stay_are_in_the_graph(method: str, algorithm: str) -> None:
    model, chosen = cases.agent(f"{algorithm}-mlp", steps=0), cases.METHODS[method]
    stock = ac.load(model)
    seam = Seam(model, chosen, context=cases.context(model))
    with seam:
        pass
    agent = ac.Agent(stock.blueprint, made.restless(seam.keep()), methods=(chosen,))
    data, contract = writing.onnx_of(agent)
    assert contract.history.methods == (chosen.to_config(),)
    feeds = {port.name: np.zeros(port.sized(5), port.dtype) for port in contract.inputs}
    feeds["obs"] = np.random.default_rng(0).normal(size=feeds["obs"].shape).astype(np.float32)
    ours, (theirs, _) = runs(data).run(None, feeds)[0], agent.predict(feeds["obs"], deterministic=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_images_come_as_environments_give_them_or_as_the_network_reads_them() -> None:
    agent = made.agent("ppo-cnn")
    last, first = made.exported("ppo-cnn"), writing.onnx_of(agent, channels_last=False)
    assert last[1].inputs == (Port("obs", "uint8", ("batch", 36, 36, 3)),)
    assert first[1].inputs == (Port("obs", "uint8", ("batch", 3, 36, 36)),)
    images = fed("ppo-cnn", 32, 5)["obs"]
    actions = runs(last[0]).run(None, {"obs": images})[0]
    turned = runs(first[0]).run(None, {"obs": np.ascontiguousarray(np.moveaxis(images, -1, 1))})[0]
    np.testing.assert_array_equal(actions, turned)


def test_observations_of_64_bits_are_scaled_before_they_are_rounded() -> None:
    """What never changes has no spread: in 32 bits its rounding would be scaled up to something."""
    space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = DummyVecEnv([lambda: tiny.World(space, tiny.REACH)])
        agent = made.scaled(ac.load(PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu", seed=0)))
    agent.normalizer.obs_mean[0], agent.normalizer.obs_var[0] = 1234.567, 0.0
    data, contract = writing.onnx_of(agent)
    assert contract.inputs[0].dtype == "float64"
    obs = np.array([[1234.567, 0.3], [1234.567 + 5e-5, 0.3]])
    actions, wanted = runs(data).run(None, {"obs": obs})[0], agent.predict(obs, deterministic=True)[0]
    np.testing.assert_allclose(actions, wanted, rtol=1e-5, atol=1e-7)
    assert np.abs(actions[0] - actions[1]).max() > 1e-5


def test_the_file_tells_nothing_of_the_machine_and_holds_all_weights() -> None:
    data, _ = made.exported("ppo")
    model = onnx.load_model_from_string(data)
    assert str(Path.cwd()).encode() not in data
    assert b"site-packages" not in data
    assert b"File " not in data
    assert not any(each.external_data for each in model.graph.initializer)
    assert len(data) < 4 * sum(p.numel() for p in made.agent("ppo").model.policy.parameters()) + 8_000


def test_the_agent_stays_as_it_is() -> None:
    agent = ac.load(tiny.model("ppo"))
    before = world.weights(agent)
    writing.onnx_of(agent)
    assert all(parameter.requires_grad for parameter in agent.model.policy.parameters())
    assert world.same(before, world.weights(agent))


def test_rows_of_an_example_are_no_other_size() -> None:
    from acclimate.exporting.graph.tracing import examples

    ports = Ports((Port("a", "float32", ("batch", 3)), Port("b", "float32", (4, "batch", 3))), ())
    first, second = examples(ports.inputs)
    assert first.shape[0] == second.shape[1] not in (3, 4)
    assert first is not second


@pytest.mark.parametrize("space", [spaces.Discrete(2), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)], ids=str)
def test_masks_that_are_drawn_leave_a_choice(space: spaces.Space) -> None:
    found = masks(space, 300, np.random.default_rng(0))
    assert found.shape == (300, choices(space))
    assert all(leaves_a_choice(space, mask) for mask in found)
    assert not found.all()


BY_DAY = ("ppo/HalfCheetah-v3", "tqc/Hopper-v3", "qrdqn/CartPole-v1")


def real() -> list[Any]:
    """Return the agents of the zoo, all but a few at night."""
    found = tiny.zoo_params()
    return [
        pytest.param(*each.values, id=each.id, marks=[*each.marks, *([] if by_day(each.values[0]) else [NIGHTLY])])
        for each in found
    ]


def by_day(path: Path | None) -> bool:
    return path is None or f"{path.parts[-3]}/{path.stem}" in BY_DAY


NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize("path", real())
def test_real_agents(path: Path) -> None:
    _, contract = writing.onnx_of(ac.load(path))
    assert contract.parity is not None
    assert contract.parity.ties == 0
    assert contract.parity.largest_error < 1e-4
    assert contract.parity.rounded <= 3


def test_an_action_that_is_bounded_in_one_number_alone_is_clipped_in_it() -> None:
    space = spaces.Box(np.array([-1.0, -np.inf], np.float32), np.array([1.0, np.inf], np.float32))
    found = Bounded(space, squashed=False)(torch.tensor([[5.0, 5.0], [-5.0, -5.0]]))
    assert found.tolist() == [[1.0, 5.0], [-1.0, -5.0]]
