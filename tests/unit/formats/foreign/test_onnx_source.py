"""Networks in ONNX files become agents that act as ONNX Runtime says they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import acclimate as ac
from acclimate.formats import writers
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from tests.unit.formats.foreign.test_cleanrl import IMAGE, REACH, SEEN, Spaces, rows

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
RNG = np.random.default_rng(0)


class Graph:
    """A graph that is written node by node."""

    def __init__(self, shape: tuple[int, ...], kind: int = onnx.TensorProto.FLOAT) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.input = helper.make_tensor_value_info("seen", kind, ["batch", *shape])

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((RNG.normal(size=shape) * scale).astype(np.float32))

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def dense(self, x: str, below: int, above: int, *, turned: bool = True) -> str:
        if turned:
            return self.node("Gemm", x, self.weight(above, below), self.weight(above), transB=1)
        return self.node("Add", self.node("MatMul", x, self.weight(below, above)), self.weight(above))

    def write(self, path: Path, *outputs: str) -> Path:
        told = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", [self.input], told, self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def answers(path: Path, seen: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"seen": seen})


def actor(path: Path, outputs: int, *, bend: str = "Tanh", end: str | None = None, turned: bool = True) -> Path:
    graph = Graph((5,))
    x = graph.node(bend, graph.dense("seen", 5, 16, turned=turned))
    x = graph.dense(graph.node(bend, graph.dense(x, 16, 8, turned=turned)), 8, outputs, turned=turned)
    return graph.write(path, x if end is None else graph.node(end, x))


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("bend", ["Tanh", "Relu", "Elu"])
def test_a_bare_actor_of_continuous_actions(bend: str, turned: bool, tmp_path: Path) -> None:
    wide = spaces.Box(-1e3, 1e3, (2,), np.float32)
    path = actor(tmp_path / "actor.onnx", 2, bend=bend, turned=turned)
    agent, seen = ac.load(path, world=Spaces(SEEN, wide)), rows(SEEN)
    again = ac.load(writers.save(agent, tmp_path / "again.zip"), normalizer=None)
    for each in (agent, again):
        np.testing.assert_allclose(
            each.predict(seen, deterministic=True)[0], answers(path, seen)[0], atol=1e-5, rtol=1e-5
        )
    assert agent.algorithm == "ppo"
    assert agent.origin.fresh


def test_one_that_ends_with_a_tanh_acts_in_the_bounds(tmp_path: Path) -> None:
    path = actor(tmp_path / "actor.onnx", 2, bend="Relu", end="Tanh")
    agent, seen = ac.load(path, world=Spaces(SEEN, REACH)), rows(SEEN)
    assert agent.algorithm == "td3"
    wanted = REACH.low + (answers(path, seen)[0] + 1) / 2 * (REACH.high - REACH.low)
    np.testing.assert_allclose(agent.predict(seen, deterministic=True)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("end", [None, "Softmax"])
def test_choices_with_and_without_a_softmax(end: str | None, tmp_path: Path) -> None:
    path = actor(tmp_path / "actor.onnx", 3, end=end)
    agent, seen = ac.load(path, world=Spaces(SEEN, spaces.Discrete(3))), rows(SEEN)
    chosen = answers(path, seen)[0].argmax(1)
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], chosen)
    assert len(np.unique(chosen)) == 3


def test_two_heads_and_a_normaliser_in_the_graph(tmp_path: Path) -> None:
    graph = Graph((5,))
    mean, spread = (graph.constant(np.float32(each)) for each in ([1, 2, 3, 4, 5], [2, 1, 0.5, 3, 1]))
    x = graph.node("Div", graph.node("Sub", "seen", mean), spread)
    x = graph.node("Tanh", graph.dense(x, 5, 16))
    path = graph.write(tmp_path / "both.onnx", graph.dense(x, 16, 3), graph.dense(x, 16, 1))
    agent, seen = ac.load(path, world=Spaces(SEEN, spaces.Discrete(3))), rows(SEEN)
    scores, values = answers(path, seen)
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], scores.argmax(1))
    np.testing.assert_allclose(agent.values(seen), values[:, 0], atol=1e-4, rtol=1e-4)
    assert not agent.origin.fresh
    assert agent.normalizer is not None
    np.testing.assert_allclose(agent.normalizer.obs_mean, [1, 2, 3, 4, 5])


def images(path: Path, *, divided: bool = True, stride: int = 4, value: bool = True) -> Path:
    graph = Graph((4, 84, 84))
    x = graph.node("Div", "seen", graph.constant(np.float32(255))) if divided else "seen"
    for below, above, kernel, step in ((4, 32, 8, stride), (32, 64, 4, 2), (64, 64, 3, 1)):
        weights = graph.weight(above, below, kernel, kernel, scale=0.05), graph.weight(above)
        x = graph.node("Relu", graph.node("Conv", x, *weights, strides=[step, step], kernel_shape=[kernel, kernel]))
    x = graph.node("Flatten", x, axis=1)
    x = graph.node("Relu", graph.node("Gemm", x, graph.weight(512, 3136, scale=0.02), graph.weight(512), transB=1))
    heads = [graph.dense(x, 512, 3), *([graph.dense(x, 512, 1)] if value else [])]
    return graph.write(path, *heads)


@pytest.mark.parametrize("value", [True, False])
def test_images(value: bool, tmp_path: Path) -> None:
    path = images(tmp_path / "images.onnx", value=value)
    agent, seen = ac.load(path, world=Spaces(IMAGE, spaces.Discrete(3))), rows(IMAGE)
    scores, *values = answers(path, seen.astype(np.float32))
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], scores.argmax(1))
    if value:
        np.testing.assert_allclose(agent.values(seen), values[0][:, 0], rtol=1e-4, atol=1e-3)
    assert agent.origin.fresh != value


def joined(path: Path) -> Path:
    graph = Graph((5,))
    x = graph.node("Tanh", graph.dense("seen", 5, 5))
    return graph.write(path, graph.dense(graph.node("Add", x, "seen"), 5, 3))


def odd(path: Path, kind: str, **attributes: Any) -> Path:
    graph = Graph((5,))
    return graph.write(path, graph.dense(graph.node(kind, graph.dense("seen", 5, 8), **attributes), 8, 3))


def elsewhere(path: Path) -> Path:
    actor(path, 3)
    model = onnx.load(path)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


def claimed(path: Path) -> Path:
    actor(path, 3)
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    path.write_bytes(model.SerializeToString())
    return path


def cut(path: Path) -> Path:
    actor(path, 3)
    path.write_bytes(path.read_bytes()[:-40])
    return path


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (joined, ac.SourceError, "`Add` joins 2 values"),
        (lambda path: odd(path, "Sin"), ac.SourceError, "`Sin` is none of the layers"),
        (lambda path: odd(path, "LeakyRelu", alpha=0.3), ac.SourceError, "with alpha 0.3, and SB3 has it with 0.01"),
        (elsewhere, ac.UnsafeFileError, "in another file"),
        (claimed, ac.SourceError, "is broken"),
        (cut, ac.SourceError, "cut short|broken|comes from nowhere|has no layers"),
        (lambda path: images(path, divided=False), ac.SourceError, "not divided by 255"),
        (lambda path: images(path, stride=3), ac.SourceError, "features extractor of your own|broken"),
    ],
)
def test_what_is_no_policy_is_one_line(make: Any, error: type[Exception], words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "net.onnx")
    with pytest.raises(error, match=words):
        ac.load(path, world=Spaces(IMAGE if "own" in words else SEEN, spaces.Discrete(3)))


def test_a_bundle_keeps_that_its_critic_is_new_until_it_was_trained(tmp_path: Path) -> None:
    agent = ac.load(actor(tmp_path / "actor.onnx", 3), world=Spaces(SEEN, spaces.Discrete(3)))
    assert ac.load(agent.save(tmp_path / "bundle")).origin.fresh
    assert not agent.around(agent.model, normalizer=None).origin.fresh


def test_a_newly_drawn_critic_learns_before_its_actor_follows_it(tmp_path: Path) -> None:
    agent = ac.load(actor(tmp_path / "actor.onnx", 3), world=Spaces(SEEN, spaces.Discrete(3)))
    situation = Situation(entropy=0.5)
    plan = make_plan(agent, Recipe(steps=50_000), situation, home=False)
    assert plan.critic_warmup == 10_000
    assert any("newly drawn" in choice.why for choice in plan.choices)
