"""The residual by hand: what it reads, what it adds, and what is frozen under it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.methods.kl import KLToPrior
from acclimate.methods.residual import Correction, Residual
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch


def moved(module: nn.Module) -> list[Correction]:
    """Put random numbers into every residual of a network, and return them."""
    torch.manual_seed(1)
    found = [part for part in module.modules() if isinstance(part, Correction)]
    for part in found:
        for parameter in part.parameters():
            parameter.data.copy_(0.3 * torch.randn_like(parameter))
    return found


def by_hand(part: Correction, features: torch.Tensor) -> np.ndarray:
    """Return scale * (W2 tanh(W1 x + b1) + b2) in numpy."""
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in part.parameters())
    return part.scale * (np.tanh(features.detach().double().numpy() @ w1.T + b1) @ w2.T + b2)


def close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=2e-5)


def test_it_adds_its_network_to_the_head() -> None:
    torch.manual_seed(0)
    q, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4)
    base, first = copy.deepcopy(q), q(x).detach()
    tuner = attach(Residual(width=7, scale=0.5), {"q": q})
    assert torch.equal(q(x), first)
    (part,) = moved(q)
    assert [tuple(p.shape) for p in part.parameters()] == [(7, 4), (7,), (3, 7), (3,)]
    close(q(x), base(x).detach().numpy() + by_hand(part, x))
    trained = {name for name, p in q.named_parameters() if tuner.scales[p] > 0}
    assert trained == {f"2.inserted_0.{name}" for name in ("hidden.weight", "hidden.bias", "out.weight", "out.bias")}


def test_the_mean_of_a_policy_and_its_logits() -> None:
    for name in ("ppo-mlp", "ppo-mlp-discrete"):
        model = agent(name)
        seam = Seam(model, Residual(width=4))
        net, shown = seam.tuner.nets[0], batch(model)
        (part,) = moved(model.policy)
        now, before = net.apply(net.module, shown), net.prior(shown)
        if name == "ppo-mlp":
            close(now.mean, before.mean.detach().numpy() + by_hand(part, shown.observations))
            assert torch.equal(now.log_std, before.log_std)
        else:
            # SB3 keeps logits that are normalised.
            logits = torch.as_tensor(before.logits.detach().numpy() + by_hand(part, shown.observations))
            torch.testing.assert_close(now.logits.double(), logits.log_softmax(-1), atol=2e-5, rtol=1e-4)


def test_squashed_and_bounded_actions_are_corrected_before_their_bounds() -> None:
    model = agent("td3-mlp")
    seam = Seam(model, Residual(width=4))
    net, shown = seam.tuner.nets[0], batch(model)
    (part,) = moved(model.actor)
    before = np.arctanh(net.prior(shown).action.detach().double().numpy())
    close(net.apply(net.module, shown).action, np.tanh(before + by_hand(part, shown.observations)))
    assert len(moved(model.actor_target)) == 1

    model = agent("sac-mlp")
    seam = Seam(model, Residual(width=4))
    net, shown = seam.tuner.nets[0], batch(model)
    mean, log_std = moved(model.actor)
    now, before = net.apply(net.module, shown), net.prior(shown)
    close(now.mean, before.mean.detach().numpy() + by_hand(mean, shown.observations))
    close(now.log_std, before.log_std.detach().numpy() + by_hand(log_std, shown.observations))


@pytest.mark.parametrize("name", ["sac-mlp", "tqc-mlp", "crossq-mlp", "sac-cnn", "td3-cnn-shared"])
def test_critics_are_corrected_by_state_and_action(name: str) -> None:
    model = agent(name)
    Seam(model, Residual(width=4, on="critic"))
    shown = batch(model)
    model.critic.eval()
    first = [value.detach() for value in _values(model, shown)]
    features = model.critic.extract_features(
        model.policy.obs_to_tensor(np.asarray(shown.observations))[0], model.critic.features_extractor
    )
    parts = moved(model.critic)
    assert len(parts) == model.critic.n_critics
    together = torch.cat([features, shown.actions], dim=1)
    for part, before, after in zip(parts, first, _values(model, shown), strict=True):
        close(after, before.numpy() + by_hand(part, together))


def _values(model: object, shown: object) -> list[torch.Tensor]:
    found = model.critic(shown.observations, shown.actions)
    return list(found) if isinstance(found, tuple) else list(found.unbind(1))


@pytest.mark.parametrize("name", ["dqn-mlp", "dqn-cnn", "qrdqn-cnn"])
def test_action_values_and_their_target(name: str) -> None:
    model = agent(name)
    Seam(model, Residual(width=4))
    net = model.policy.q_net if name.startswith("dqn") else model.policy.quantile_net
    target = model.policy.q_net_target if name.startswith("dqn") else model.policy.quantile_net_target
    shown = batch(model)
    first = net(shown.observations).detach().flatten(1).numpy()
    (part,), (theirs,) = moved(net), moved(target)
    assert part is not theirs
    features = net.extract_features(
        model.policy.obs_to_tensor(np.asarray(shown.observations))[0], net.features_extractor
    )
    close(net(shown.observations).flatten(1), first + by_hand(part, features))


def test_a_head_without_hidden_layers_and_a_policy_without_any() -> None:
    model = PPO("MlpPolicy", agent("ppo-mlp", steps=0).get_env(), policy_kwargs={"net_arch": []}, device="cpu")
    seam = Seam(model, Residual(width=4))
    net, shown = seam.tuner.nets[0], batch(model)
    (part,) = moved(model.policy)
    close(net.apply(net.module, shown).mean, net.prior(shown).mean.detach().numpy() + by_hand(part, shown.observations))


def test_copies_of_the_network_read_their_own_features() -> None:
    """The frozen prior of a further run is a copy with the residual in it."""
    model = agent("ppo-mlp")
    Seam(model, Residual(width=4)).keep()
    moved(model.policy)
    seam = Seam(model, KLToPrior(weight=1.0))
    net, shown = seam.tuner.nets[0], batch(model)
    now, prior = net.apply(net.module, shown), net.prior(shown)
    assert torch.equal(now.mean, prior.mean)
    with torch.no_grad():
        moved(model.policy)[0].out.bias += 1.0
    assert torch.equal(net.prior(shown).mean, prior.mean)
    torch.testing.assert_close(net.apply(net.module, shown).mean, prior.mean + 1.0)


def test_what_it_does_not_act_on() -> None:
    with pytest.raises(SurgeryError, match="`residual` on `trunk`: no linear layer in view"):
        Seam(agent("ppo-cnn", steps=0), Residual(on="trunk"))
    with pytest.raises(SurgeryError, match=r"`residual` .* `freeze` froze all"):
        Seam(agent("ppo-mlp", steps=0), chain(Residual(), Freeze(on="actor")))
    with pytest.raises(SurgeryError, match="`residual` on `q`: no linear layer in view"):
        attach(Residual(), {"q": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3), nn.Flatten())})


@pytest.mark.parametrize("field", [{"width": 0}, {"scale": 0.0}, {"rate": -1.0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"residual\.{next(iter(field))} is"):
        Residual(**field)
