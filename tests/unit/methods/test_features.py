"""The change of hidden units, by hand and on SB3's own networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.features import FeatureDistillation
from acclimate.methods.freeze import Freeze
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent, batch

SHOWN = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])


def net() -> nn.Sequential:
    torch.manual_seed(0)
    shared = nn.ReLU()
    q = nn.Sequential(nn.Linear(2, 8), shared, nn.Linear(8, 6), shared, nn.Linear(6, 1))
    assert q[:2](SHOWN).any()
    assert q[:4](SHOWN).any()
    return q


def relative(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    return (now - before).square().sum() / before.square().sum()


def test_both_layers_by_hand() -> None:
    """One activation object stands behind both layers; each layer's units are told apart."""
    q = net()
    before = [q[:2](SHOWN).detach(), q[:4](SHOWN).detach()]
    tuner = attach(FeatureDistillation(weight=Linear(0.6, 0.2)), {"q": q})
    assert tuner.penalty(SHOWN).item() == 0.0
    with torch.no_grad():
        for parameter in q.parameters():
            parameter += 0.3
    now = [q[:2](SHOWN), q[:4](SHOWN)]
    expected = (relative(now[0], before[0]) + relative(now[1], before[1])) / 2
    assert float(expected) > 0
    torch.testing.assert_close(tuner.penalty(SHOWN), 0.6 * expected)
    tuner.signals.progress = 1.0
    torch.testing.assert_close(tuner.penalty(SHOWN), 0.2 * expected)
    tuner.penalty(SHOWN).backward()
    assert q[0].weight.grad.any()
    assert q[4].weight.grad is None, "the head has no part in it"
    assert not [module for module in q.modules() if module._forward_hooks]


def test_only_the_chosen_layer() -> None:
    q = net()
    before = q[:4](SHOWN).detach()
    tuner = attach(FeatureDistillation(on="q:2"), {"q": q})
    with torch.no_grad():
        q[0].weight += 0.3
    torch.testing.assert_close(tuner.penalty(SHOWN), relative(q[:4](SHOWN), before))


def test_a_layer_counts_the_same_whatever_its_scale() -> None:
    def found(scale: float) -> torch.Tensor:
        q = net()
        with torch.no_grad():
            q[0].weight *= scale
            q[0].bias *= scale
        tuner = attach(FeatureDistillation(on="q:0"), {"q": q})
        with torch.no_grad():
            q[0].weight *= 1.1
            q[0].bias *= 1.1
        return tuner.penalty(SHOWN)

    # ReLU units grow by a tenth, so by the square of it relative to themselves.
    torch.testing.assert_close(found(1.0), torch.tensor(0.01))
    torch.testing.assert_close(found(50.0), torch.tensor(0.01))


def test_a_dead_layer_is_finite() -> None:
    q = net()
    with torch.no_grad():
        q[0].bias -= 100.0
    tuner = attach(FeatureDistillation(on="q:0"), {"q": q})
    with torch.no_grad():
        q[0].bias += 200.0
    assert tuner.penalty(SHOWN).isfinite()


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-cnn"])
def test_networks_of_sb3(name: str) -> None:
    model = agent(name)
    seam = Seam(model, FeatureDistillation(weight=2.0, on="actor|q"))
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter *= 1.1
    net, shown = seam.tuner.nets[0], batch(model)
    changes = []
    for module in (net.module, net.reference):
        if name == "ppo-mlp":
            body, x = module.mlp_extractor.policy_net, shown.observations
            changes.append([body[:2](x), body[:4](x)])
        elif name == "sac-mlp":
            x = shown.observations
            changes.append([module.latent_pi[:2](x), module.latent_pi[:4](x)])
        else:
            x = shown.observations.float() / 255.0
            cnn, head = module.features_extractor, module.q_net
            flat = cnn(x)
            changes.append([cnn.cnn[:2](x), cnn.cnn[:4](x), cnn.cnn[:6](x), flat, head[:2](flat), head[:4](flat)])
    ratios = [relative(now, before) for now, before in zip(*changes, strict=True)]
    torch.testing.assert_close(seam.tuner.penalty(shown), 2.0 * torch.stack(ratios).mean())


def test_more_weight_stays_nearer() -> None:
    def change(weight: float) -> float:
        model = agent("ppo-mlp", n_epochs=8, learning_rate=1e-2)
        x = batch(model).observations
        before = model.policy.mlp_extractor.policy_net(x).detach()
        with Seam(model, FeatureDistillation(weight=weight)):
            model.learn(32)
        return float(relative(model.policy.mlp_extractor.policy_net(x), before))

    assert change(100.0) < 0.2 * change(0.0)


def test_where_it_does_not_apply() -> None:
    with pytest.raises(SurgeryError, match="`features` on `q:4` constrains 0 trainable weights: it finds nothing"):
        attach(FeatureDistillation(on="q:4"), {"q": net()})
    with pytest.raises(SurgeryError, match=r"`features` on .* constrains 0 trainable weights: `freeze` froze all"):
        Seam(agent("ppo-mlp"), chain(FeatureDistillation(on="actor"), Freeze(on="actor")))
    with pytest.raises(ConfigError, match=r"features\.weight is -1"):
        FeatureDistillation(weight=-1.0)
