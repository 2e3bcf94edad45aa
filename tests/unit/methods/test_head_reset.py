from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.methods.head_reset import HeadReset
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch, context, responses


@pytest.mark.parametrize("name", ["sac-mlp", "ppo-cnn", "td3-mlp"])
def test_only_the_heads_of_the_critic_are_new_and_the_twins_are_the_same(name: str) -> None:
    model = agent(name)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    seam = Seam(model, HeadReset(), context=context(model))
    changed = {key for key, value in model.policy.state_dict().items() if not torch.equal(value, before[key])}
    if name == "ppo-cnn":
        # Orthogonal networks begin with biases of 0, from where the pretrained one has moved.
        assert changed == {"value_net.weight", "value_net.bias"}
        gain = model.policy.value_net.weight.detach().norm()
        assert float(gain) == pytest.approx(1.0, abs=1e-5)
    else:
        heads = {f"qf{i}.4.{kind}" for i in (0, 1) for kind in ("weight", "bias")}
        assert changed == {f"{net}.{head}" for net in ("critic", "critic_target") for head in heads}
        (critic,) = (net for net in seam.tuner.nets if net.role == "critic")
        assert all(torch.equal(layer.module.weight, layer.twin.weight) for layer in critic.layers() if layer.head)
        assert not torch.equal(model.critic.qf0[4].weight, model.critic.qf1[4].weight)


def test_the_actor_does_as_before() -> None:
    model, other = agent("sac-mlp"), agent("sac-mlp")
    reset, plain = Seam(model, HeadReset()), Seam(other, chain())
    shown = batch(model)
    first, second = (responses(seam.tuner.nets, shown) for seam in (reset, plain))
    assert all(torch.equal(a, b) for a, b in zip(first["actor"], second["actor"], strict=True))
    assert not torch.equal(first["critic"][0], second["critic"][0])


def test_the_moments_of_the_head_are_forgotten_once() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    tuner = attach(HeadReset(on="q"), {"q": net}, optimizer=optimizer)
    moments: list[tuple[float, float]] = []
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.rand(2, 3)).sum().backward()
        optimizer.step()
        tuner.step()
        moments.append(tuple(float(optimizer.state[net[i].weight]["exp_avg"].abs().sum()) for i in (0, 2)))
    assert moments[0][1] == 0.0
    assert moments[0][0] > 0.0
    assert moments[1][1] > 0.0


def test_a_frozen_head_stays_and_says_so() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = net[2].weight.detach().clone()
    with pytest.raises(SurgeryError, match="`head-reset` on `q` constrains 0 trainable weights: `freeze` froze all 2"):
        attach(chain(Freeze(on="q:2"), HeadReset(on="q")), {"q": net})
    assert torch.equal(net[2].weight, before)


def test_the_seed_decides() -> None:
    model = agent("dqn-mlp", steps=0)
    heads = []
    for seed in (1, 1, 2):
        known = context(model)
        known.seed = seed
        Seam(model, HeadReset(on="q"), context=known).fold()
        heads.append(model.q_net.q_net[4].weight.detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
