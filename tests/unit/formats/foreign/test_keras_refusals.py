"""Files of Keras that no SB3 policy can be, hostile ones and broken ones: one clear line."""

from __future__ import annotations

import io
import json
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import acclimate as ac
from tests import tiny
from tests.unit.formats.foreign.test_cleanrl import Spaces
from tests.unit.formats.foreign.test_keras import FILES, IMAGE, SEEN, UNIT, packed, rebuilt

pytest.importorskip("pyfive")


def layer(kind: str, reads: tuple[int, ...] = (6,), **config: Any) -> dict[str, Any]:
    """Return a layer as a file tells it."""
    defaults = {"Dense": {"units": 3}, "Conv2D": {"filters": 2, "kernel_size": [3, 3], "strides": [1, 1]}}
    told = {"name": kind.lower(), "activation": "linear", "padding": "valid", **defaults.get(kind, {}), **config}
    return {"class_name": kind, "config": told, "build_config": {"input_shape": [None, *reads]}}


def row(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return a Sequential model."""
    return {"class_name": "Sequential", "config": {"layers": list(layers)}}


def graph(outputs: Any, **nodes: tuple[dict[str, Any], list[str]]) -> dict[str, Any]:
    """Return a Functional model: layers by their names, with the names of those that they read."""
    layers = []
    for name, (each, below) in nodes.items():
        tensors = [
            {"class_name": "__keras_tensor__", "config": {"shape": [], "keras_history": [other, 0, 0]}}
            for other in below
        ]
        calls = [{"args": [tensors], "kwargs": {}}] if below else []
        layers.append({**each, "config": {**each["config"], "name": name}, "inbound_nodes": calls})
    return {"class_name": "Functional", "config": {"layers": layers, "output_layers": outputs}}


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(0).uniform(-0.5, 0.5, shape)


def nature(last: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return the convolutions that SB3 has, and a head."""
    sizes = ((32, 8, 4, 2), (64, 4, 2, 32), (64, 3, 1, 64))
    images = [
        layer("Conv2D", (0, 0, below), filters=n, kernel_size=[k, k], strides=[s, s], activation="relu", **changed)
        for n, k, s, below in sizes
    ]
    scale = layer("Rescaling", (44, 44, 2), scale=1 / 255, offset=0.0)
    return row(scale, *images, layer("Flatten"), layer("Dense", (256,), units=512, activation="relu"), last)


DENSE, VALUE = layer("Dense"), layer("Dense", units=1)
SMALL = layer("Rescaling", (8, 8, 1), scale=1 / 255, offset=0.0)
THREE = spaces.Discrete(3)
REFUSED: dict[str, tuple[Any, gym.Space, gym.Space, str]] = {
    "a layer of no SB3 policy": (row(DENSE, layer("BatchNormalization")), SEEN, THREE, "`batchnormalization` \\(Batch"),
    "code in a layer": (row(DENSE, layer("Lambda")), SEEN, THREE, "\\(Lambda\\)"),
    "a memory": (row(layer("LSTM", (5, 6)), DENSE), SEEN, THREE, "\\(LSTM\\)"),
    "a model in a model": (row(layer("Sequential"), DENSE), SEEN, THREE, "\\(Sequential\\)"),
    "a layer of one's own": (row({**DENSE, "module": "mine.layers"}), SEEN, THREE, "`Dense` is of mine.layers"),
    "a registered layer": (row({**DENSE, "registered_name": "my>Dense"}), SEEN, THREE, "`my>Dense` is of a package"),
    "a model of one's own": ({"class_name": "Actor", "config": {}}, SEEN, THREE, "of the class `Actor`"),
    "no layers": (row(), SEEN, THREE, "has 0 layers"),
    "too many layers": (row(*[DENSE] * 201), SEEN, THREE, "has 201 layers"),
    "nothing but its input": (row(layer("InputLayer")), SEEN, THREE, "no Dense layer"),
    "two activations": (row(layer("Dense", activation="tanh"), layer("ReLU")), SEEN, THREE, "one activation for each"),
    "an activation of its own": (
        row(layer("Dense", activation={"config": 1})),
        SEEN,
        THREE,
        "activation one of your own",
    ),
    "a slope": (row(DENSE, layer("LeakyReLU", negative_slope=0.3)), SEEN, THREE, "slope 0.3"),
    "a bend": (row(DENSE, layer("ReLU", threshold=1.0)), SEEN, THREE, "bends as none"),
    "an alpha": (row(DENSE, layer("ELU", alpha=2.0)), SEEN, THREE, "alpha other than 1"),
    "odds in the middle": (
        row(layer("Dense", activation="softmax"), layer("Dense", (3,))),
        SEEN,
        THREE,
        "above a softmax",
    ),
    "rows scaled": (row(layer("Rescaling", scale=1 / 255, offset=0.0), DENSE), SEEN, THREE, "for images alone"),
    "another scale": (
        row(layer("Rescaling", (8, 8, 1), scale=0.5, offset=0.0), layer("Conv2D", (8, 8, 1))),
        IMAGE,
        THREE,
        "Rescaling\\(1 / 255\\)",
    ),
    "pixels as they are": (row(layer("Conv2D", (8, 8, 1)), DENSE), IMAGE, THREE, "put Rescaling"),
    "padding": (row(SMALL, layer("Conv2D", (8, 8, 1), padding="same")), IMAGE, THREE, "has padding"),
    "channels first": (
        row(SMALL, layer("Conv2D", (8, 8, 1), data_format="channels_first")),
        IMAGE,
        THREE,
        "has padding",
    ),
    "flattened channels first": (row(layer("Flatten", data_format="channels_first"), DENSE), SEEN, THREE, "leave the"),
    "dilation": (row(SMALL, layer("Conv2D", (8, 8, 1), dilation_rate=[2, 2])), IMAGE, THREE, "dilation"),
    "no Flatten": (row(SMALL, layer("Conv2D", (8, 8, 1)), layer("Dense", (6, 6, 2))), IMAGE, THREE, "put a Flatten"),
    "other convolutions": (
        row(SMALL, layer("Conv2D", (8, 8, 1)), layer("Flatten"), layer("Dense", (72,)), layer("Dense", (3,))),
        spaces.Box(0, 255, (36, 36, 1), np.uint8),
        THREE,
        "SB3's own extractor",
    ),
    "images and a tanh": (nature(layer("Dense", (512,), activation="tanh")), IMAGE, UNIT, "ends with a tanh"),
    "mixed activations": (
        row(layer("Dense", activation="tanh"), layer("Dense", (3,), activation="relu"), layer("Dense", (3,))),
        SEEN,
        THREE,
        "activations relu, tanh",
    ),
    "no value": (graph([["a", 0, 0], ["b", 0, 0]], a=(DENSE, []), b=(DENSE, [])), SEEN, THREE, "has the outputs a, b"),
    "a value that is bent": (
        graph([["a", 0, 0], ["v", 0, 0]], a=(DENSE, []), v=(layer("Dense", units=1, activation="tanh"), [])),
        SEEN,
        THREE,
        "`v` is no value, which is one number",
    ),
    "a value of several": (
        graph([["a", 0, 0], ["value", 0, 0]], a=(DENSE, []), value=(DENSE, [])),
        SEEN,
        THREE,
        "`value` is no value",
    ),
    "three outputs": (
        graph([["a", 0, 0], ["b", 0, 0], ["v", 0, 0]], a=(DENSE, []), b=(DENSE, []), v=(VALUE, [])),
        SEEN,
        THREE,
        "has the outputs a, b, v",
    ),
    "two inputs": (
        graph(["last", 0, 0], a=(DENSE, []), b=(DENSE, []), last=(layer("Concatenate"), ["a", "b"])),
        SEEN,
        THREE,
        "`last` \\(Concatenate\\) reads a and b",
    ),
    "a circle": (graph(["a", 0, 0], a=(DENSE, ["b"]), b=(DENSE, ["a"])), SEEN, THREE, "in a circle"),
    "a layer that is not there": (graph(["a", 0, 0], a=(DENSE, ["b"])), SEEN, THREE, "none that Keras writes"),
    "a layer used twice": (
        row({**DENSE, "inbound_nodes": [{"args": []}, {"args": []}]}),
        SEEN,
        THREE,
        "used 2 times",
    ),
    "a name on two lines": (row(layer("Dense", name="a\nb")), SEEN, THREE, "none that Keras writes"),
    "no mapping": ([1, 2], SEEN, THREE, "none that Keras writes"),
    "odds and a Box": (row(layer("Dense", activation="softmax")), SEEN, UNIT, "odds of actions"),
    "numbers and no Box": (row(layer("Dense", activation="tanh")), SEEN, THREE, "actions as numbers"),
    "other bounds": (row(layer("Dense", activation="tanh")), SEEN, spaces.Box(-2, 2, (3,)), "RescaleAction"),
    "other actions": (row(DENSE), SEEN, spaces.Discrete(4), "puts out 3 numbers"),
    "another world": (row(DENSE), spaces.Box(-1, 1, (7,)), THREE, "reads 6 numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_policy_can_be_is_one_line(case: str, tmp_path: Path) -> None:
    config, seen, acted, words = REFUSED[case]
    path = tmp_path / "policy.keras"
    path.write_bytes(rebuilt(config, drawn) if "layers" in str(config) else packed(json.dumps(config), WEIGHTS))
    refused(path, words, Spaces(seen, acted))


def refused(path: Path, words: str, world: Spaces = Spaces(SEEN, THREE)) -> None:  # noqa: B008
    with pytest.raises(ac.AcclimateError, match=words) as error:
        ac.load(path, world=world)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


ONE_HEAD = (FILES / "one_head.keras").read_bytes()
with zipfile.ZipFile(io.BytesIO(ONE_HEAD)) as archive:
    CONFIG, WEIGHTS = archive.read("config.json").decode(), archive.read("model.weights.h5")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((FILES / "alone.weights.h5").read_bytes(), "weights and no structure; save the whole model"),
        (packed(CONFIG, WEIGHTS, zipfile.ZIP_DEFLATED), "is compressed"),
        (packed("[" * 100_000, WEIGHTS), "no JSON"),
        (packed("{", WEIGHTS), "no JSON"),
        (packed(CONFIG, b"\x89HDF"), "cannot be read"),
        (
            packed(CONFIG.replace('"units": 16', '"units": 17'), WEIGHTS),
            "is of shape .6, 16., and its config tells .6, 17",
        ),
        (packed(CONFIG.replace('"Dense"', '"InputLayer"'), WEIGHTS), "no Dense layer"),
        (rebuilt(row(DENSE), lambda shape: np.full(shape, np.nan)), "not finite"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_file_that_is_none_is_one_line(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / ("policy.keras" if data.startswith(b"PK") else "policy.h5")
    path.write_bytes(data)
    refused(path, words)


@pytest.mark.parametrize(
    ("agent", "critic", "words"),
    [
        ("one_head", "one_head", "`dense_2` is no value"),
        ("one_head", "two_heads", "has 2 outputs"),
        ("one_head", "scaled", "is no value, which is one number"),
        ("two_heads", "value", "has its critics; leave .*value.keras out"),
        ("deterministic", "value", "goes on as td3"),
        ("one_head", "activations", "give what `model.save"),
        ("one_head", "missing", "cannot be read"),
    ],
)
def test_a_critic_that_is_none(agent: str, critic: str, words: str) -> None:
    ending = "npz" if critic == "activations" else "keras"
    with pytest.raises(ac.SourceError, match=words):
        ac.load(FILES / f"{agent}.keras", world=Spaces(SEEN, THREE), critic=FILES / f"{critic}.{ending}")


def test_a_critic_of_other_observations(tmp_path: Path) -> None:
    (tmp_path / "value.keras").write_bytes(rebuilt(row(layer("Dense", (5,), units=1)), drawn))
    (tmp_path / "nature.keras").write_bytes(rebuilt(nature(layer("Dense", (512,))), drawn))
    for agent, seen in ((FILES / "one_head.keras", SEEN), (tmp_path / "nature.keras", IMAGE)):
        with pytest.raises(ac.SourceError, match=r"value\.keras: reads 5 numbers, and the policy of"):
            ac.load(agent, world=Spaces(seen, THREE), critic=tmp_path / "value.keras")
    (tmp_path / "value.keras").write_bytes(rebuilt(nature(layer("Dense", (512,), units=1)), drawn))
    with pytest.raises(ac.SourceError, match="sees images, which SB3"):
        ac.load(FILES / "one_head.keras", world=Spaces(SEEN, THREE), critic=tmp_path / "value.keras")


def test_a_critic_of_an_agent_of_sb3() -> None:
    with pytest.raises(ac.SourceError, match="a policy of Keras alone"):
        ac.load(tiny.model("ppo"), critic=FILES / "value.keras")


@pytest.mark.parametrize("first", [True, False])
def test_two_outputs_of_one_number_are_told_apart_by_their_names(first: bool, tmp_path: Path) -> None:
    names = ["my_critic", "act"] if first else ["act", "my_critic"]
    path, one = tmp_path / "policy.keras", spaces.Box(-1e3, 1e3, (1,), np.float32)
    biases = iter([np.array([5.0]), np.array([2.0])])  # of the critic, which is the first layer, and of the policy
    config = graph([[name, 0, 0] for name in names], my_critic=(VALUE, []), act=(VALUE, []))
    path.write_bytes(rebuilt(config, lambda shape: next(biases) if shape == (1,) else np.zeros(shape)))
    policy = ac.load(path, world=Spaces(SEEN, one)).model.policy
    assert (policy.action_net.bias.item(), policy.value_net.bias.item()) == (2.0, 5.0)


def test_members_that_share_their_bytes_are_no_way_to_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "policy.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", CONFIG)
        archive.writestr("model.weights.h5", WEIGHTS)
        archive.filelist.extend(archive.filelist * 10)
    refused(path, "is compressed, which Keras does not do")


def test_what_is_compressed_is_not_opened(tmp_path: Path) -> None:
    """However much room the file has: here its comment."""
    path = tmp_path / "policy.keras"
    path.write_bytes(packed(CONFIG, WEIGHTS, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = bytes(60_000)
    refused(path, "is compressed, which Keras does not do")


def test_without_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfive.core", None)
    refused(FILES / "one_head.keras", r"needs `pyfive`, which is not installed; pip install 'acclimate\[keras\]'")


def asked(path: Path, data: bytes) -> None:
    """Load it; what is broken is one line."""
    path.write_bytes(data)
    try:
        agent = ac.load(path, world=Spaces(SEEN, THREE))
        said = f"{path}: {agent.blueprint.algorithm}"
    except ac.AcclimateError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


def test_a_config_of_anything_is_one_line(tmp_path: Path) -> None:
    """Each value in turn is something else."""
    draw = random.Random(0)
    for _ in range(200):
        config = json.loads(CONFIG)
        held: Any = config
        while True:
            key = draw.choice(list(held) if isinstance(held, dict) else range(len(held)))
            if not isinstance(held[key], (dict, list)) or not held[key] or draw.random() < 0.2:
                break
            held = held[key]
        held[key] = draw.choice([None, -1, 1e300, "x", "\n", [], {}, [[]], {"class_name": "x"}, "0" * 999])
        asked(tmp_path / "policy.keras", packed(json.dumps(config), WEIGHTS))


def test_random_damage_is_one_line(tmp_path: Path) -> None:
    draw = random.Random(0)
    for name in ("one_head.keras", "two_heads.h5"):
        whole = (FILES / name).read_bytes()
        used = [place for place, byte in enumerate(whole) if byte]
        for _ in range(100):
            data = bytearray(whole)
            for place in draw.sample(used, draw.randint(1, 8)):
                data[place] = draw.randrange(256)
            asked(tmp_path / name, bytes(data[: draw.choice([len(data), draw.randrange(len(data))])]))
