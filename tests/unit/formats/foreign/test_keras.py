"""Models of real Keras act here as they did there (`python -m tests.references keras_3`)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gymnasium import spaces
from torch.nn import functional

import acclimate as ac
from acclimate.cli import main
from acclimate.formats import writers
from acclimate.formats.foreign.keras_layers import ACTIVATIONS
from acclimate.sb3.vocabulary import CLASSES
from tests.unit.formats.foreign.test_cleanrl import Spaces

pytest.importorskip("pyfive")
FILES = Path(__file__).parents[3] / "references" / "files" / "keras_3"
SEEN = spaces.Box(-np.inf, np.inf, (6,), np.float32)
TWO_ROWS = spaces.Box(-np.inf, np.inf, (2, 3), np.float32)
FAR = spaces.Box(-1e3, 1e3, (2,), np.float32)
UNIT = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (44, 44, 2), np.uint8)
CASES: dict[str, tuple[str, gym.Space, gym.Space]] = {
    "one_head.keras": ("ppo", SEEN, spaces.Discrete(3)),
    "two_heads.keras": ("ppo", SEEN, spaces.Discrete(3)),
    "two_heads.h5": ("ppo", SEEN, spaces.Discrete(3)),
    "two_networks.keras": ("ppo", TWO_ROWS, FAR),
    "deterministic.keras": ("td3", SEEN, UNIT),
    "scaled.keras": ("td3", SEEN, spaces.Box(-2, 2, (1,), np.float32)),
}


def odds(agent: ac.Agent, seen: np.ndarray) -> np.ndarray:
    """Return the odds of each action."""
    policy = agent.model.policy
    shown, _ = policy.obs_to_tensor(seen)
    return policy.get_distribution(shown).distribution.probs.detach().numpy()


def softmax(numbers: np.ndarray) -> np.ndarray:
    return functional.softmax(torch.as_tensor(numbers), 1).numpy()


@pytest.mark.parametrize("name", CASES)
def test_it_acts_as_there(name: str, tmp_path: Path) -> None:
    """Also once it went through SB3's zip."""
    algorithm, seen, acted = CASES[name]
    told = np.load(FILES / f"{name.split('.')[0]}.npz")
    agent = ac.load(FILES / name, world=Spaces(seen, acted))
    again = ac.load(writers.save(agent, tmp_path / "again.zip"), normalizer=None)
    assert agent.blueprint.algorithm == algorithm
    for each in (agent, again):
        if isinstance(acted, spaces.Discrete):
            wanted = told["policy"] if "two_heads" in name else softmax(told["policy"])
            np.testing.assert_allclose(odds(each, told["seen"]), wanted, atol=1e-5)
        else:
            actions, _ = each.predict(told["seen"], deterministic=True)
            np.testing.assert_allclose(actions, told["policy"], atol=1e-5, rtol=1e-5)
        if "value" in told:
            np.testing.assert_allclose(each.values(told["seen"]), told["value"][:, 0], atol=1e-5, rtol=1e-5)
    fresh = [why for _, why in agent.origin.unread if "newly drawn" in why]
    assert any("are now in both" in why for _, why in agent.origin.unread) == ("two_heads" in name)
    assert bool(fresh) == (name not in ("two_heads.keras", "two_heads.h5"))


def test_a_value_of_its_own_is_its_critic(tmp_path: Path) -> None:
    told, of_value = (np.load(FILES / f"{name}.npz") for name in ("one_head", "value"))
    world = Spaces(SEEN, spaces.Discrete(3))
    agent = ac.load(FILES / "one_head.keras", world=world, critic=FILES / "value.keras")
    np.testing.assert_allclose(odds(agent, told["seen"]), softmax(told["policy"]), atol=1e-5)
    np.testing.assert_allclose(agent.values(of_value["seen"]), of_value["policy"][:, 0], atol=1e-5, rtol=1e-5)
    assert not any("newly drawn" in why for _, why in agent.origin.unread)


def test_the_command_takes_it_too(tmp_path: Path) -> None:
    """`value.keras` reads what CartPole does not show, which only its reader can say."""
    arguments = ["inspect", str(FILES / "one_head.keras"), "--against", "CartPole-v1"]
    result = CliRunner().invoke(main, [*arguments, "--critic", str(FILES / "two_heads.keras")])
    assert result.exit_code == 2, result.output
    assert "two_heads.keras: has 2 outputs" in result.output


def rebuilt(config: Mapping[str, Any], draw: Callable[[tuple[int, ...]], np.ndarray]) -> bytes:
    """Return a `.keras` file of a config, its weights drawn in the order of its layers."""
    held, counts = io.BytesIO(), {"Dense": 0, "Conv2D": 0}
    with h5py.File(held, "w") as file:
        for layer in config["config"]["layers"]:
            kind, told = layer["class_name"], layer["config"]
            if kind not in counts:
                continue
            place = kind.lower() + (f"_{counts[kind]}" if counts[kind] else "")
            counts[kind] += 1
            inputs, units = layer["build_config"]["input_shape"][-1], told.get("units", told.get("filters"))
            file[f"layers/{place}/vars/0"] = draw((*told.get("kernel_size", ()), inputs, units)).astype(np.float32)
            file[f"layers/{place}/vars/1"] = draw((units,)).astype(np.float32)
    return packed(json.dumps(config), held.getvalue())


def packed(config: str, weights: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return whole.getvalue()


def as_the_reference_drew() -> Callable[[tuple[int, ...]], np.ndarray]:
    draw = np.random.RandomState(0)
    return lambda shape: draw.uniform(-0.5, 0.5, shape) * min(1.0, 4 / np.sqrt(np.prod(shape[:-1])))


@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
def test_one_of_images_acts_as_there(first: bool, tmp_path: Path) -> None:
    """Its weights are too many to keep: they are drawn again as there."""
    path, told = tmp_path / "nature.keras", np.load(FILES / "nature.npz")
    path.write_bytes(rebuilt(json.loads((FILES / "nature.json").read_text()), as_the_reference_drew()))
    draw = np.random.RandomState(1)
    for shape in ((6,), (6,), (2, 3), (6,), (6,), (6,)):  # what was drawn before, for the other models
        draw.uniform(-2, 2, (256, *shape))
    seen = draw.randint(0, 256, (256, 44, 44, 2)).astype(np.uint8)
    seen, space = (seen.transpose(0, 3, 1, 2), spaces.Box(0, 255, (2, 44, 44), np.uint8)) if first else (seen, IMAGE)
    agent = ac.load(path, world=Spaces(space, spaces.Discrete(3)))
    np.testing.assert_allclose(odds(agent, seen), softmax(told["policy"]), atol=1e-5)
    np.testing.assert_allclose(agent.values(seen), told["value"][:, 0], atol=1e-5, rtol=1e-5)


def test_activations_are_those_of_keras() -> None:
    told = dict(np.load(FILES / "activations.npz"))
    numbers = torch.as_tensor(told["numbers"])
    assert {*ACTIVATIONS} - {"linear", "softmax", "swish"} == {*told} - {"numbers"}
    for name in {*told} - {"numbers"}:
        ours = CLASSES["activation_fn"][ACTIVATIONS[name]]()(numbers)
        np.testing.assert_allclose(ours, told[name], atol=1e-6, rtol=1e-5, err_msg=name)


def test_the_whole_form_of_keras_2(tmp_path: Path) -> None:
    """It names weights `kernel:0`, and inputs and calls otherwise."""
    told = np.load(FILES / "two_heads.npz")
    with h5py.File(FILES / "two_heads.h5") as new, h5py.File(tmp_path / "old.h5", "w") as old:
        config = json.loads(new.attrs["model_config"])
        for each in config["config"]["layers"]:
            each["inbound_nodes"] = [
                [[tensor["config"]["keras_history"][0], 0, 0, {}] for tensor in call["args"]]
                for call in each["inbound_nodes"]
            ]
            if "batch_shape" in each["config"]:
                each["config"]["batch_input_shape"] = each["config"].pop("batch_shape")
        old.attrs["model_config"] = json.dumps(config).encode()
        new.visititems(lambda name, held: old.__setitem__(f"{name}:0", held[()]) if hasattr(held, "shape") else None)
    agent = ac.load(tmp_path / "old.h5", world=Spaces(SEEN, spaces.Discrete(3)))
    np.testing.assert_allclose(odds(agent, told["seen"]), told["policy"], atol=1e-5)
