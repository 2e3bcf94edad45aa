"""Old layouts of weights describe the same function after they are renamed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import acclimate as ac
from acclimate.agents.agent import Agent
from acclimate.formats.sb3 import legacy as layout
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.parts import Parts
from tests import tiny


def test_the_linear_layer_of_ars() -> None:
    parts = ac.load(tiny.model("ars-linear")).parts()
    old = {name.replace("action_net.0.", "action_net."): tensor for name, tensor in parts.weights.items()}
    assert "action_net.weight" in old
    _, new = layout.modernize(parts.blueprint, old)
    assert new.keys() == parts.weights.keys()


def test_one_features_extractor_for_actor_and_critic() -> None:
    """SB3 before 1.7 named the CNN that both share once."""
    agent = ac.load(tiny.model("ppo-cnn"))
    parts = agent.parts()
    old = {n: t for n, t in parts.weights.items() if not n.startswith(("pi_features", "vf_features"))}
    assert len(old) < len(parts.weights)
    blueprint, new = layout.modernize(parts.blueprint, old)
    again = Agent.of(Parts(blueprint=blueprint, weights=new))
    obs = tiny.observations(agent.observation_space)
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], agent.predict(obs, deterministic=True)[0])
    np.testing.assert_array_equal(again.values(obs), agent.values(obs))


@pytest.mark.parametrize("heads", [[], [{"pi": [5], "vf": [4, 3]}], [{"vf": [4]}]])
def test_layers_shared_by_actor_and_critic(heads: list[dict[str, list[int]]]) -> None:
    """SB3 before 1.8 let them share the first layers; separate ones of equal weights do the same."""
    torch.manual_seed(0)
    widths = {"pi": [], "vf": [], **(heads[0] if heads else {})}
    shared = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 7), nn.Tanh())
    nets = {head: _mlp(7, widths[head]) for head in ("pi", "vf")}
    action, value = (nn.Linear(([7, *widths[head]])[-1], size) for head, size in (("pi", 2), ("vf", 1)))
    old = {
        **_named("mlp_extractor.shared_net", shared),
        **_named("mlp_extractor.policy_net", nets["pi"]),
        **_named("mlp_extractor.value_net", nets["vf"]),
        **_named("action_net", action),
        **_named("value_net", value),
        "log_std": torch.zeros(2),
    }
    blueprint = Blueprint("ppo", "MlpPolicy", {"net_arch": [6, 7, *heads]}, tiny.BOX, tiny.REACH)
    blueprint, new = layout.modernize(blueprint, old)
    agent = Agent.of(Parts(blueprint=blueprint, weights=new))
    obs = tiny.observations(tiny.BOX)
    with torch.no_grad():
        hidden = shared(torch.as_tensor(obs))
        expected = action(nets["pi"](hidden)).numpy()
        values = value(nets["vf"](hidden))[:, 0].numpy()
    low, high = tiny.REACH.low, tiny.REACH.high
    np.testing.assert_allclose(agent.predict(obs, deterministic=True)[0], np.clip(expected, low, high), rtol=1e-6)
    np.testing.assert_allclose(agent.values(obs), values, rtol=1e-5)


def _mlp(width: int, widths: list[int]) -> nn.Sequential:
    sizes = itertools.pairwise([width, *widths])
    return nn.Sequential(*[m for a, b in sizes for m in (nn.Linear(a, b), nn.Tanh())])


def _named(prefix: str, module: nn.Module) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
