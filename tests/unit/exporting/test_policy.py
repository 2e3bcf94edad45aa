"""A file of a policy, from anywhere: it acts if it is one, and is refused in one line if it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acclimate as ac
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.policy import reading
from tests import tiny
from tests.unit.exporting import made

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        path = tmp_path / "policy.onnx"
        path.write_bytes(made.exported(name)[0])
        return path

    return write


@pytest.mark.parametrize("name", tiny.MODELS)
def test_it_acts_as_the_agent(name: str, written: Callable[[str], Path]) -> None:
    agent, policy = made.agent(name), ac.load_policy(written(name))
    space = agent.observation_space
    seen = tiny.observations(space, 6)
    if name == "ppo-cnn":
        seen = np.moveaxis(seen, 1, -1)
    wanted, state = agent.predict(seen, deterministic=True)
    actions, ours = policy.predict(seen)
    np.testing.assert_allclose(actions, wanted, rtol=1e-5, atol=1e-6)
    first = {key: value[0] for key, value in seen.items()} if isinstance(seen, dict) else seen[0]
    one, _ = policy.predict(first)
    assert one.shape == (agent.action_space.shape or ())
    np.testing.assert_allclose(one, wanted[0], rtol=1e-5, atol=1e-6)
    if name == "recurrent_ppo":
        starts = np.array([True, False] * 3)
        again, _ = policy.predict(seen, ours, starts)
        np.testing.assert_allclose(
            again, agent.predict(seen, state, starts, deterministic=True)[0], rtol=1e-5, atol=1e-6
        )
    if name == "maskable_ppo":
        masks = np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]]
        np.testing.assert_array_equal(policy.predict(seen, action_masks=masks)[0], [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("name", "asked", "error", "words"),
    [
        ("dqn", {"obs": np.zeros(4)}, ac.SpaceMismatchError, r"`obs` has the shape \(4,\); give \(3\)"),
        ("dqn", {"obs": np.zeros((2, 2, 3))}, ac.SpaceMismatchError, r"`obs` has the shape \(2, 2, 3\)"),
        ("dqn", {"obs": np.array(["a", "b", "c"])}, ac.SpaceMismatchError, "`obs` is <U1"),
        ("a2c", {"obs": np.array([0.5])}, ac.SpaceMismatchError, "`obs` is float64, and the policy reads int64"),
        ("her", {"obs": np.zeros(3)}, ac.SpaceMismatchError, "a dict with `observation`"),
        ("her", {"obs": {"observation": np.zeros(3)}}, ac.SpaceMismatchError, "unknown: achieved_goal, desired_goal"),
        ("dqn", {"obs": np.zeros(3), "deterministic": False}, ac.ConfigError, "likeliest action alone"),
        ("dqn", {"obs": np.zeros(3), "action_masks": np.ones(3)}, ac.ConfigError, "takes no `action_masks`"),
        ("maskable_ppo", {"obs": np.zeros(3), "action_masks": np.ones(2)}, ac.ConfigError, "`action_masks` has the"),
        (
            "recurrent_ppo",
            {"obs": np.zeros(3), "state": (np.zeros((1, 2, 6)), np.zeros((1, 2, 6)))},
            ac.ConfigError,
            "`h_in` has the shape",
        ),
    ],
)
def test_what_it_does_not_take_is_named(
    name: str, asked: dict[str, Any], error: type[Exception], words: str, written: Callable[[str], Path]
) -> None:
    with pytest.raises(error, match=words):
        ac.load_policy(written(name)).predict(**asked)


def test_numbers_that_are_too_large(written: Callable[[str], Path]) -> None:
    """Whole ones do not wrap around into others, and a double is infinite in 32 bits without a warning."""
    image = np.full((36, 36, 3), 300)
    with pytest.raises(ac.SpaceMismatchError, match="`obs` is 300 to 300, and uint8 ends before"):
        ac.load_policy(written("ppo-cnn")).predict(image)
    with pytest.raises(ac.SpaceMismatchError, match="`obs` is -1 to -1"):
        ac.load_policy(written("ppo-cnn")).predict(image * 0 - 1)
    ac.load_policy(written("ppo")).predict(np.full(3, 1e300))


def test_neither_torch_nor_sb3_is_imported(written: Callable[[str], Path]) -> None:
    code = (
        "import sys, numpy, acclimate as ac; "
        f"ac.load_policy({str(written('ppo'))!r}).predict(numpy.zeros(3, numpy.float32)); "
        "print(sorted({'torch', 'stable_baselines3'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def elsewhere(model: Any) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")


def elsewhere_in_a_node(model: Any) -> None:
    node = model.graph.node.add(op_type="Constant", output=["secret"])
    tensor = onnx.TensorProto(name="secret", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)


def a_loop(model: Any) -> None:
    model.graph.node.add(op_type="Loop", input=["", ""], output=["more"])


def a_branch(model: Any) -> None:
    attribute = model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.CopyFrom(onnx.GraphProto(name="inner"))


def another_domain(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"


def a_function(model: Any) -> None:
    model.functions.add(name="Gemm")


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def endless_weights(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def of_type(number: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.input[0].type.tensor_type.elem_type = number

    return change


def no_tensor(model: Any) -> None:
    model.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def many_nodes(model: Any) -> None:
    for _ in range(reading.MOST_NODES):
        model.graph.node.add(op_type="Relu")


def grows(model: Any) -> None:
    """Double a value thirty times."""
    name = model.graph.input[0].name
    for step in range(30):
        model.graph.node.add(op_type="Concat", input=[name, name], output=[f"twice{step}"]).attribute.add(
            name="axis", type=onnx.AttributeProto.INT, i=1
        )
        name = f"twice{step}"


def no_contract(model: Any) -> None:
    del model.metadata_props[:]


def two_contracts(model: Any) -> None:
    model.metadata_props.add(key=KEY, value="{}")


def contract(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    def rewrite(model: Any) -> None:
        prop = next(each for each in model.metadata_props if each.key == KEY)
        prop.value = change(json.loads(prop.value))

    return rewrite


def lies(field: str, value: Any) -> Callable[[Any], None]:
    return contract(lambda data: json.dumps({**data, field: value}))


def renamed(name: str) -> Callable[[Any], None]:
    """Call an input or an output otherwise, in the graph and in its contract."""

    def rename(model: Any) -> None:
        for port in (*model.graph.input, *model.graph.output):
            port.name = "x" if port.name == name else port.name
        for node in model.graph.node:
            node.input[:] = ["x" if each == name else each for each in node.input]
            node.output[:] = ["x" if each == name else each for each in node.output]
        contract(lambda data: json.dumps(data).replace(f'"{name}"', '"x"'))(model)

    return rename


LARGER = {"kind": "Box", "shape": [7], "dtype": "float32", "low": -1.0, "high": 1.0}


def wider(data: Any) -> str:
    data["inputs"][0]["shape"] = ["batch", 7]
    return json.dumps({**data, "observation_space": LARGER})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (elsewhere, ac.UnsafeFileError, "in another file"),
        (elsewhere_in_a_node, ac.UnsafeFileError, "keeps `secret` in another file"),
        (a_loop, ac.UnsafeFileError, "computes with `'Loop'`"),
        (a_branch, ac.UnsafeFileError, "a graph within"),
        (another_domain, ac.UnsafeFileError, "com.microsoft"),
        (a_function, ac.UnsafeFileError, "brings functions"),
        (sparse, ac.UnsafeFileError, "sparse weights"),
        (endless_weights, ac.UnsafeFileError, "has the shape"),
        *((of_type(number), ac.SourceError, "policy") for number in (0, 8, 16, 23, 99)),
        (no_tensor, ac.SourceError, "policy"),
        (many_nodes, ac.UnsafeFileError, "at most"),
        (grows, ac.UnsafeFileError, "has no known, small size"),
        (no_contract, ac.SourceError, "has no contract"),
        (two_contracts, ac.SourceError, "has no contract"),
        (contract(lambda data: "{"), ac.SourceError, "its contract is broken"),
        (contract(lambda data: "[" * 100_000), ac.SourceError, "its contract is broken"),
        (contract(lambda data: "[]"), ac.SourceError, "its contract is broken"),
        (contract(wider), ac.SourceError, r"its contract tells of `obs` float32 \(batch, 7\)"),
        (lies("version", 2), ac.SourceError, "its contract is broken"),
        (lies("inputs", 3), ac.SourceError, "its contract is broken"),
        (lies("observation_space", {"kind": "Box"}), ac.SourceError, "its contract is broken"),
        *((renamed(name), ac.SourceError, "not those of its spaces") for name in ("obs", "actions")),
        (lies("observation_space", LARGER), ac.SourceError, "not those of its spaces"),
        (lies("action_space", LARGER), ac.SourceError, "not those of its spaces"),
        (lies("unheard_of", 1), ac.SourceError, "no field `unheard_of`"),
        (lambda model: model.graph.ClearField("output"), ac.SourceError, "graph"),
    ],
)
def test_a_hostile_file_is_one_line(
    change: Callable[[Any], None], error: type[Exception], words: str, written: Callable[[str], Path]
) -> None:
    path = written("ppo")
    model = onnx.load_model_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(error, match=words) as caught:
        ac.load_policy(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("data", [b"", b"\x00" * 99, b"PK\x03\x04 no", b"# text\n", b"\x08\x0a\xff\xff\xff\xff\xff"])
def test_what_is_no_onnx_is_said_to_be_none(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(data)
    with pytest.raises(ac.SourceError, match=r"policy\.onnx: ") as caught:
        ac.load_policy(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_file_that_was_cut_short(share: float, tmp_path: Path) -> None:
    data = made.exported("dqn")[0]
    path = tmp_path / "policy.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ac.SourceError):
        ac.load_policy(path)


def test_bytes_that_were_changed_are_an_error_of_ours_or_none(tmp_path: Path) -> None:
    data, rng, path = made.exported("sac")[0], np.random.default_rng(0), tmp_path / "policy.onnx"
    refused = 0
    for _ in range(150):
        raw = bytearray(data)
        for at in rng.integers(0, len(raw), 4):
            raw[at] = rng.integers(256)
        path.write_bytes(raw)
        try:
            ac.load_policy(path)
        except ac.AcclimateError:
            refused += 1
    assert refused > 10


def test_a_file_that_is_too_large_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"0" * 100)
    monkeypatch.setattr(reading, "LARGEST", 99)
    with pytest.raises(ac.UnsafeFileError, match="more than the 99"):
        ac.load_policy(path)
    with pytest.raises(ac.SourceError, match="cannot be read"):
        ac.load_policy(tmp_path / "none.onnx")


def test_a_contract_comes_back() -> None:
    for name in tiny.MODELS:
        contract = made.exported(name)[1]
        assert Contract.from_json(contract.to_json(), "here") == contract
