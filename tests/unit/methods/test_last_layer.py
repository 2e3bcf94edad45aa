from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.methods.last_layer import LastLayer
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch

HEADS = {
    "ppo-mlp": {"log_std", "action_net.weight", "action_net.bias", "value_net.weight", "value_net.bias"},
    "ppo-cnn": {"log_std", "action_net.weight", "action_net.bias", "value_net.weight", "value_net.bias"},
    "sac-mlp": {f"{part}.{kind}" for part in ("mu", "log_std", "qf0.4", "qf1.4") for kind in ("weight", "bias")},
    "td3-mlp": {f"{part}.{kind}" for part in ("mu.4", "qf0.4", "qf1.4") for kind in ("weight", "bias")},
    "dqn-mlp": {"q_net.4.weight", "q_net.4.bias"},
}


@pytest.mark.parametrize("name", HEADS)
def test_what_is_trained(name: str) -> None:
    seam = Seam(agent(name, steps=0), LastLayer())
    scales = seam.tuner.scales
    assert {path for net in seam.tuner.nets for path, p in net.named_parameters() if scales[p] > 0} == HEADS[name]


def test_the_last_layer_is_fitted_to_fixed_features_in_closed_form() -> None:
    """Least squares on the features of before, solved by numpy's own solver."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False))
    x, y = torch.randn(12, 3), torch.randn(12, 1)
    features = torch.tanh(x @ net[0].weight.detach().T + net[0].bias.detach())
    best = torch.linalg.lstsq(features, y).solution.T
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    tuner = attach(LastLayer(), {"q": net}, optimizer=optimizer)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (net(x) - y).square().mean()
        value.backward()
        return value

    optimizer.step(loss)
    tuner.step()
    torch.testing.assert_close(net[2].weight.detach(), best, atol=1e-3, rtol=1e-3)
    assert torch.equal(torch.tanh(net[0](x)), features)


@pytest.mark.parametrize("method", [LastLayer(), chain(Freeze(on="critic:qf0"), LastLayer())], ids=["alone", "with"])
def test_running_statistics_are_held_until_the_fold(method: LastLayer) -> None:
    model = agent("crossq-mlp")
    statistics = [b for net in (model.actor, model.critic) for n, b in net.named_buffers() if "ra_" in n]
    before = [b.clone() for b in statistics]
    with Seam(model, method) as seam:
        model.learn(24)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics, strict=True))
    tuned = seam.fold()
    assert not [module for module in tuned.policy.modules() if module._forward_pre_hooks]
    tuned.learn(24)
    assert not any(torch.equal(a, b) for a, b in zip(before, statistics, strict=True))


def test_on_the_actor_alone_the_critic_trains_as_a_whole() -> None:
    model = agent("td3-mlp")
    critic = model.critic.qf0[0].weight.detach().clone()
    shown = batch(model).observations
    features = model.actor.mu[:4](shown).detach()
    with Seam(model, LastLayer(on="actor")):
        model.learn(24)
    assert torch.equal(model.actor.mu[:4](shown), features)
    assert not torch.equal(model.critic.qf0[0].weight, critic)


def test_a_trunk_has_no_head() -> None:
    with pytest.raises(SurgeryError, match="`last-layer` on `trunk` constrains 0 trainable weights: it finds nothing"):
        Seam(agent("ppo-cnn", steps=0), LastLayer(on="trunk"))
