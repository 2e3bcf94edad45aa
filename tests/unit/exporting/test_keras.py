"""A tuned agent goes back into the model of Keras that it was."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gymnasium import spaces

import acclimate as ac
from acclimate.cli import main
from acclimate.sb3.normalizer import Normalizer
from tests.unit.formats.foreign.test_cleanrl import Spaces
from tests.unit.formats.foreign.test_keras import CASES, FILES, IMAGE, SEEN, as_the_reference_drew, rebuilt, softmax
from tests.unit.formats.foreign.test_keras_refusals import THREE, drawn, graph, layer, row

pytest.importorskip("pyfive")
WORLD = Spaces(SEEN, THREE)
KERAS = Path(__file__).parents[3] / "build" / "references" / "keras_3" / "bin" / "python"
"""Where `python -m tests.references keras_3` puts it."""


def tuned(agent: ac.Agent, *, but: str = "none") -> ac.Agent:
    """Return an agent whose weights have moved, but those with a word in their names."""
    draw = torch.Generator().manual_seed(0)
    for name, weight in agent.model.policy.named_parameters():
        if but not in name:
            weight.data.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return agent


def image_file(path: Path) -> Path:
    path.write_bytes(rebuilt(json.loads((FILES / "nature.json").read_text()), as_the_reference_drew()))
    return path


@pytest.mark.parametrize(
    "name", ["one_head.keras", "two_networks.keras", "deterministic.keras", "scaled.keras", "nature"]
)
def test_it_acts_as_the_agent_does(name: str, tmp_path: Path) -> None:
    """And nothing else of the file has changed."""
    source = image_file(tmp_path / "nature.keras") if name == "nature" else FILES / name
    world = Spaces(IMAGE, THREE) if name == "nature" else Spaces(*CASES[name][1:])
    agent = tuned(ac.load(source, world=world))
    again = ac.load(ac.export(agent, tmp_path / "back.keras", to="keras", like=source), world=world)
    told, ours = agent.model.policy.state_dict(), again.model.policy.state_dict()
    first, *_ = (key for key in told if key.endswith("weight"))
    assert not torch.equal(ac.load(source, world=world).model.policy.state_dict()[first], told[first])
    kept = [key for key in told if not key.startswith(("log_std", "critic", "actor_target"))]
    kept = [key for key in kept if "value" not in key or name in ("two_networks.keras", "nature")]
    assert kept
    for key in kept:
        torch.testing.assert_close(ours[key], told[key], rtol=0, atol=0, msg=key)
    before, after = (zipfile.ZipFile(path) for path in (source, tmp_path / "back.keras"))
    assert before.read("config.json") == after.read("config.json")
    assert [each.file_size for each in before.infolist()] == [each.file_size for each in after.infolist()]


def answers(path: Path, seen: np.ndarray, folder: Path) -> np.ndarray:
    """Return what real Keras says."""
    python = KERAS if KERAS.exists() else Path(sys.executable)
    if python == Path(sys.executable) and importlib.util.find_spec("keras") is None:
        pytest.skip("no Keras here; `python -m tests.references keras_3` installs one")
    np.save(folder / "seen.npy", seen)
    code = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'torch'\n"
        "import keras, numpy as np\n"
        "model, seen, out = sys.argv[1:]\n"
        "np.save(out, keras.models.load_model(model).predict(np.load(seen), verbose=0))"
    )
    subprocess.run([python, "-c", code, path, folder / "seen.npy", folder / "out.npy"], check=True, capture_output=True)
    return np.load(folder / "out.npy")


def test_real_keras_loads_policy_and_value(tmp_path: Path) -> None:
    agent = tuned(ac.load(FILES / "one_head.keras", world=WORLD, critic=FILES / "value.keras"))
    seen = np.random.RandomState(0).uniform(-2, 2, (256, 6)).astype(np.float32)
    policy, value = (
        ac.export(agent, tmp_path / name, to="keras", like=FILES / name) for name in ("one_head.keras", "value.keras")
    )
    shown, _ = agent.model.policy.obs_to_tensor(seen)
    odds = agent.model.policy.get_distribution(shown).distribution.probs.detach()
    np.testing.assert_allclose(softmax(answers(policy, seen, tmp_path)), odds, atol=1e-5)
    np.testing.assert_allclose(answers(value, seen, tmp_path)[:, 0], agent.values(seen), atol=1e-5)


def test_its_value_alone(tmp_path: Path) -> None:
    agent = tuned(ac.load(FILES / "one_head.keras", world=WORLD, critic=FILES / "value.keras"))
    value = ac.export(agent, tmp_path / "value", to="keras", like=FILES / "value.keras")
    again = ac.load(FILES / "one_head.keras", world=WORLD, critic=value)
    seen = np.load(FILES / "value.npz")["seen"]
    np.testing.assert_allclose(again.values(seen), agent.values(seen), atol=1e-6)
    assert np.abs(again.values(seen) - np.load(FILES / "value.npz")["policy"][:, 0]).max() > 0.1


def test_a_value_of_the_shape_of_its_policy_is_told_by_its_name(tmp_path: Path) -> None:
    world = Spaces(SEEN, spaces.Box(-1e3, 1e3, (1,), np.float32))
    for name in ("act", "my_value"):
        (tmp_path / f"{name}.keras").write_bytes(rebuilt(row(layer("Dense", units=1, name=name)), drawn))
    agent = tuned(ac.load(tmp_path / "act.keras", world=world, critic=tmp_path / "my_value.keras"))
    for name, head in (("act", "action_net"), ("my_value", "value_net")):
        path = ac.export(agent, tmp_path / "back.keras", to="keras", like=tmp_path / f"{name}.keras")
        bias = ac.load(path, world=world).model.policy.action_net.bias
        assert bias.item() == getattr(agent.model.policy, head).bias.item()


def test_the_form_of_hdf5(tmp_path: Path) -> None:
    """Its biases stay as they are, as one layer of it has none."""
    agent = tuned(ac.load(FILES / "two_heads.h5", world=WORLD), but="extractor")
    path = ac.export(agent, tmp_path / "back", to="keras", like=FILES / "two_heads.h5")
    assert path.name == "back.h5"
    seen = np.load(FILES / "two_heads.npz")["seen"]
    np.testing.assert_allclose(ac.load(path, world=WORLD).values(seen), agent.values(seen), atol=1e-6)
    assert path.stat().st_size == (FILES / "two_heads.h5").stat().st_size


def test_what_the_file_cannot_hold(tmp_path: Path) -> None:
    out = tmp_path / "back.keras"
    biased = tuned(ac.load(FILES / "two_heads.keras", world=WORLD))
    with pytest.raises(ac.MisfitError, match="has no bias, and the agent learned one"):
        ac.export(biased, out, to="keras", like=FILES / "two_heads.keras")
    shared = graph(
        [["pi", 0, 0], ["value", 0, 0]],
        deep=(layer("Dense", activation="tanh"), []),
        pi=(layer("Dense", (3,)), ["deep"]),
        value=(layer("Dense", (3,), units=1), ["deep"]),
    )
    (tmp_path / "shared.keras").write_bytes(rebuilt(shared, drawn))
    apart = tuned(ac.load(tmp_path / "shared.keras", world=WORLD))
    with pytest.raises(ac.MisfitError, match="share `deep`, which the agent has twice"):
        ac.export(apart, out, to="keras", like=tmp_path / "shared.keras")
    with pytest.raises(ac.MisfitError, match="16 units of 6 inputs, and the agent has none such"):
        ac.export(apart, out, to="keras", like=FILES / "one_head.keras")
    (tmp_path / "relu.keras").write_bytes(rebuilt(row(layer("Dense", activation="relu"), layer("Dense", (3,))), drawn))
    with pytest.raises(ac.MisfitError, match="does not act as the agent"):
        ac.export(apart, out, to="keras", like=tmp_path / "relu.keras")
    (tmp_path / "relu.keras").write_bytes(
        rebuilt(row(layer("Dense", activation="relu"), layer("Dense", (3,), units=1)), drawn)
    )
    with pytest.raises(ac.MisfitError, match="does not act as the agent"):
        ac.export(apart, out, to="keras", like=tmp_path / "relu.keras")
    apart.normalizer = Normalizer.identity(apart.observation_space)
    with pytest.raises(ac.MisfitError, match="has a normaliser"):
        ac.export(apart, out, to="keras", like=tmp_path / "shared.keras")
    assert not out.exists()


def test_like_belongs_to_keras(tmp_path: Path) -> None:
    agent = ac.load(FILES / "one_head.keras", world=WORLD)
    with pytest.raises(ac.ConfigError, match="`like` names the model of Keras"):
        ac.export(agent, tmp_path / "back.keras", to="keras")
    with pytest.raises(ac.ConfigError, match="no other form takes it"):
        ac.export(agent, tmp_path / "back.zip", to="sb3", like=FILES / "one_head.keras")
    with pytest.raises(ac.SourceError, match=r"missing\.keras: cannot be read"):
        ac.export(agent, tmp_path / "back.keras", to="keras", like=tmp_path / "missing.keras")
    with pytest.raises(ac.SourceError, match="give what `model"):
        ac.export(agent, tmp_path / "back.keras", to="keras", like=FILES / "one_head.npz")


def test_the_command(tmp_path: Path) -> None:
    source = FILES / "one_head.keras"
    asked = ["export", str(source), "--env", "Acrobot-v1", "--to", "keras", "--out", str(tmp_path / "back.keras")]
    result = CliRunner().invoke(main, [*asked, "--like", str(source)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "back.keras").stat().st_size == source.stat().st_size
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2, result.output
