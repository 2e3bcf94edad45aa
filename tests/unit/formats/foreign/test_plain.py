"""Weights of anybody's, with a few words on which layers are which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from gymnasium import spaces
from torch import nn

import acclimate as ac
from tests.unit.formats.foreign.test_cleanrl import REACH, SEEN, Spaces, grown, mlp, rows

WORLD = Spaces(SEEN, spaces.Discrete(3))


class Both(nn.Module):
    """A policy and a value, named as nobody else names them."""

    def __init__(self, outputs: int = 3, values: int = 5) -> None:
        super().__init__()
        self.brain = mlp(5, 8, 6, outputs, between=nn.ReLU)
        self.judge = mlp(values, 8, 1, between=nn.ReLU)
        self.rest = nn.Linear(2, 2)
        self.spread = nn.Parameter(torch.full((outputs,), -0.7))


def written(module: nn.Module, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("told", ["spec", "file"])
def test_ppo(name: str, told: str, tmp_path: Path) -> None:
    theirs = grown(Both())
    words = {"actor": "brain.", "critics": ["judge."], "activation": "relu"}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(words))
    spec: Any = (
        ac.Spec(actor="brain.", critics=("judge.",), activation="relu") if told == "spec" else tmp_path / "spec.yaml"
    )
    agent, seen = ac.load(written(theirs, tmp_path / name), world=WORLD, spec=spec), torch.from_numpy(rows(SEEN))
    np.testing.assert_array_equal(agent.predict(seen.numpy(), deterministic=True)[0], theirs.brain(seen).argmax(1))
    np.testing.assert_allclose(agent.values(seen.numpy()), theirs.judge(seen)[:, 0], atol=1e-5)
    assert not agent.origin.fresh


def test_layers_by_their_names_and_a_spread(tmp_path: Path) -> None:
    theirs = grown(Both(2))
    spec = ac.Spec(actor=("brain.0", "brain.2", "brain.4"), activation="relu", log_std="spread")
    agent = ac.load(written(theirs, tmp_path / "net.pt"), world=Spaces(SEEN, REACH), spec=spec)
    np.testing.assert_allclose(agent.model.policy.log_std.detach(), theirs.spread)
    seen = torch.from_numpy(rows(SEEN))
    wanted = theirs.brain(seen).clamp(torch.tensor(REACH.low), torch.tensor(REACH.high))
    np.testing.assert_allclose(agent.predict(seen.numpy(), deterministic=True)[0], wanted, atol=1e-5)
    assert agent.origin.fresh


@pytest.mark.parametrize("algorithm", ["td3", "sac"])
def test_actors_within_bounds(algorithm: Any, tmp_path: Path) -> None:
    theirs = grown(Both(2, values=7))
    spec = ac.Spec(actor="brain.", critics=("judge.",), algorithm=algorithm, activation="relu")
    agent = ac.load(written(theirs, tmp_path / "net.pt"), world=Spaces(SEEN, REACH), spec=spec)
    seen = torch.from_numpy(rows(SEEN))
    acted = theirs.brain(seen).tanh()
    wanted = REACH.low + (acted.numpy() + 1) / 2 * (REACH.high - REACH.low)
    np.testing.assert_allclose(agent.predict(seen.numpy(), deterministic=True)[0], wanted, atol=1e-5)
    (found,) = agent.model.policy.critic(seen, acted)
    torch.testing.assert_close(found, theirs.judge(torch.cat([seen, acted], 1)), atol=1e-4, rtol=1e-4)


def test_values_of_actions(tmp_path: Path) -> None:
    theirs = grown(Both())
    agent = ac.load(
        written(theirs, tmp_path / "net.pt"),
        world=WORLD,
        spec=ac.Spec(actor="brain.", algorithm="dqn", activation="relu"),
    )
    seen = torch.from_numpy(rows(SEEN))
    np.testing.assert_array_equal(agent.predict(seen.numpy(), deterministic=True)[0], theirs.brain(seen).argmax(1))


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ({"actor": "mind."}, ac.SourceError, "has no layers of that name"),
        ({"actor": "brain.", "critics": ["brain."]}, ac.SourceError, "more than one number"),
        ({"actor": "brain.", "activation": "wavy"}, ac.ConfigError, "spec.activation is `wavy`"),
        ({"actor": "brain.", "algorithm": "dqn", "critics": ["judge."]}, ac.ConfigError, "its own critic"),
        ({"actor": "brain.", "run": "rm"}, ac.ConfigError, "run"),
        ({"actor": ["brain.0", "rest"]}, ac.SourceError, "is followed by one that reads 2"),
        ({"actor": "brain.", "log_std": "nowhere"}, ac.SourceError, "lacks `nowhere`"),
    ],
)
def test_what_does_not_fit_is_named(words: dict[str, Any], error: type[Exception], said: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(words))
    path = written(Both(), tmp_path / "net.pt")
    with pytest.raises(error, match=said):
        ac.load(path, world=WORLD, spec=tmp_path / "spec.yaml")


def test_a_spec_needs_a_world_and_weights(tmp_path: Path) -> None:
    spec, path = ac.Spec(actor="brain."), written(Both(), tmp_path / "net.pt")
    with pytest.raises(ac.ConfigError, match="name its environment too"):
        ac.load(path, spec=spec)
    with pytest.raises(ac.SourceError, match="say which layers are which"):
        ac.load(path, world=WORLD)
    (tmp_path / "words.txt").write_text("hello")
    with pytest.raises(ac.SourceError, match="no state dict that a spec speaks of"):
        ac.load(tmp_path / "words.txt", world=WORLD, spec=spec)
    with pytest.raises(ac.ConfigError, match="give the path of a spec"):
        ac.load(path, world=WORLD, spec=tmp_path / "nowhere.yaml")
