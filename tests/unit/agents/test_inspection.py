"""What an agent is made of, told as data and as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import stable_baselines3

import acclimate as ac
from acclimate.agents import inspection
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_every_agent_can_be_described(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    model.save(tmp_path / "ppo-Hopper-v3.zip")
    agent = ac.load(tmp_path / "ppo-Hopper-v3.zip")
    found = inspection.describe(agent)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["algorithm"] == tiny.MODELS[name][0]
    assert found["env_id"] == "Hopper-v3"
    assert found["parameters"] == sum(p.numel() for p in model.policy.parameters())
    assert found["versions"]["stable-baselines3"] == stable_baselines3.__version__
    assert found["steps"] == model.num_timesteps
    assert len(found["source"]["sha256"]) == 64
    text = inspection.render(found)
    assert ("4 goals a step, drawn by `future`" in text) == (name == "her")
    assert all(part in text for part in (found["source"]["sha256"], "Hopper-v3", str(agent.observation_space)))


def test_layers_normaliser_and_what_was_not_read(tmp_path: Path) -> None:
    model = tiny.model("ppo-separate", normalize=True, learning_rate=lambda left: 1e-3)
    model.save(tmp_path / "a.zip")
    model.get_vec_normalize_env().save(str(tmp_path / "vecnormalize.pkl"))
    found = inspection.describe(ac.load(tmp_path / "a.zip"))
    networks = {network["name"]: network for network in found["networks"]}
    assert networks["action_net"]["parameters"] == 5 * 3 + 3
    assert networks["value_net"]["parameters"] == 7 + 1
    layers = {layer["name"]: layer["layer"] for layer in networks["mlp_extractor"]["layers"]}
    assert layers["policy_net.0"] == "Linear(in_features=3, out_features=5, bias=True)"
    assert found["normalizer"]["shape"] == [3]
    assert found["normalizer"]["clip_obs"] == 10.0
    unread = {row["field"]: row["reason"] for row in found["unread"]}
    assert "never decoded" in unread["learning_rate"]
    text = inspection.render(found)
    assert "policy_net.0: Linear(in_features=3, out_features=5, bias=True)" in text
    assert "observations and rewards" in text
    assert "learning_rate: pickled, and never decoded" in text
