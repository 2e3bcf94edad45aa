"""Five traps of Stable-Baselines3, each once stepped into."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
import torch
from torch.nn import Parameter

from acclimate.methods.channel import ChannelScale
from acclimate.methods.l2sp import L2SP
from acclimate.nets.copies import frozen_copy
from acclimate.nets.net import Net
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Scales, Signals, chain
from tests.cases import agent, batch, reloaded


class Slower(Method):
    """Trains biases at a tenth of the rate."""

    name: ClassVar[str] = "slower"
    family: ClassVar[str] = "learning-rate"

    def scales(self, net: Net, state: object, signals: Signals) -> Scales:
        return {p: 0.1 for path, p in net.named_parameters() if path.endswith("bias")}


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp"])
def test_sb3_overwrites_every_groups_learning_rate(name: str) -> None:
    """`train()` writes one rate into all groups: scales are applied at the step, and taken back after it."""
    model = agent(name, learning_rate=1e-3)
    used: list[dict[float, float]] = []
    with Seam(model, Slower()) as seam:
        optimizer = model.policy.optimizer if name == "ppo-mlp" else model.actor.optimizer
        optimizer.register_step_pre_hook(lambda o, a, k: used.append({g["scale"]: g["lr"] for g in o.param_groups}))
        model.learn(16)
    assert len(used) >= 2
    assert all(rates == {1.0: pytest.approx(1e-3), 0.1: pytest.approx(1e-4)} for rates in used)
    assert {g["lr"] for g in optimizer.param_groups} == {1e-3}
    assert seam.signals.learning_rate == 1e-3


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "dqn-cnn", "tqc-mlp"])
def test_target_networks_have_the_same_parameters(name: str) -> None:
    """Polyak averaging pairs parameters in order, so that a network is never changed without its twin."""
    model = agent(name, **({"target_update_interval": 4} if name == "dqn-cnn" else {}))
    with Seam(model, ChannelScale()) as seam:
        for net in seam.tuner.nets:
            if net.twin is not None:
                assert [p.shape for p in net.module.parameters()] == [p.shape for p in net.twin.parameters()]
        model.learn(16)
        twins = [net for net in seam.tuner.nets if net.twin is not None]
        assert any(not torch.equal(p, torch.ones_like(p)) for net in twins for p in _scales_of(net.twin))
    seam.fold()


def _scales_of(module: torch.nn.Module) -> list[Parameter]:
    return [p for name, p in module.named_parameters() if name.endswith("scale")]


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp", "sac-mlp", "td3-mlp", "dqn-mlp"])
def test_a_stale_optimizer_is_not_saved(name: str) -> None:
    """A zip with moments of parameters that are gone loads, and fails at the next `learn`."""
    model = agent(name)
    with Seam(model, ChannelScale()) as seam:
        model.learn(16)
    tuned = reloaded(seam.fold())
    tuned.learn(16)
    owners = (
        [tuned.policy.optimizer]
        if name[:3] in ("ppo", "a2c", "dqn")
        else [tuned.actor.optimizer, tuned.critic.optimizer]
    )
    held = {id(p) for o in owners for g in o.param_groups for p in g["params"]}
    assert held <= {id(p) for p in tuned.policy.parameters()}
    assert all(p.shape == m["exp_avg"].shape for o in owners for p, m in o.state.items() if "exp_avg" in m)


def test_state_is_keyed_by_parameter_and_not_by_name() -> None:
    """An anchor by name is lost when a layer is changed after it was taken, and the penalty is silently 0."""
    model = agent("ppo-mlp")
    seam = Seam(model, chain(L2SP(weight=1.0), ChannelScale(train_base=True)))
    anchored = [p for part in seam.tuner.composition.parts[:1] for s in part.states.values() for p in s]
    assert {id(p) for p in anchored} == {id(p) for net in seam.tuner.nets for p in net.pretrained}
    assert float(seam.tuner.penalty(batch(model))) == 0.0
    with torch.no_grad():
        anchored[0].view(-1)[0] += 2.0
    assert float(seam.tuner.penalty(batch(model))) == pytest.approx(0.5 * 1.0 * 2.0**2)


def test_a_policy_that_was_trained_can_be_copied() -> None:
    """`copy.deepcopy` fails after a forward pass with gradients, for SB3's distribution keeps its tensors."""
    model = agent("ppo-mlp")
    shown = batch(model).observations
    model.policy.evaluate_actions(shown, torch.zeros(len(shown), 2))
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model.policy)
    twin = frozen_copy(model.policy)
    assert not any(p.requires_grad for p in twin.parameters())
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.policy.parameters()}
    assert twin.optimizer is None
    torch.testing.assert_close(twin.predict_values(shown), model.policy.predict_values(shown), rtol=0, atol=0)
