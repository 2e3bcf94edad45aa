"""The engine against Stable-Baselines3 on the same minibatches: same weights, same log."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn

from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.schedule import Linear
from acclimate.tuning.method import Method, chain
from tests.unit.engine.alike import A2C, ACTIONS, PPO, both

CLOSE = 1e-8

METHODS: dict[str, Method] = {
    "kl": KLToPrior(weight=Linear(1.0, 0.0, 0.5)),
    "kl-reverse": KLToPrior(weight=1.0, direction="reverse"),
    "l2sp": L2SP(weight=0.1),
    "l2sp-decoupled": L2SP(weight=1.0, decoupled=True, on="actor"),
    "channel": ChannelScale(rate=2.0),
    "channel-base": ChannelScale(train_base=True, on="critic"),
    "hold": Hold(steps=200, on="actor"),
    "freeze": Freeze(on="*:*.bias"),
    "freeze-layer": Freeze(on="actor:mlp_extractor"),
    "several": chain(Hold(steps=130), ChannelScale(train_base=True), KLToPrior(weight=0.5), L2SP()),
}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_300_updates_are_those_of_sb3(algorithm: type, actions: str) -> None:
    outcome = both(algorithm, actions, rollouts=15 if algorithm is PPO else 300)
    assert outcome.updates == 300
    assert outcome.distance < CLOSE
    theirs, ours = outcome.logged
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("actions", ["box", "discrete"])
def test_methods_do_what_they_do_under_sb3(name: str, actions: str) -> None:
    assert both(PPO, actions, METHODS[name], rollouts=6).distance < CLOSE


@pytest.mark.parametrize("name", ["kl", "channel", "freeze"])
def test_methods_on_a2c(name: str) -> None:
    assert both(A2C, "box", METHODS[name], rollouts=30).distance < CLOSE


@pytest.mark.parametrize(
    "arguments",
    [
        {"clip_range_vf": 0.1},
        {"target_kl": 0.001},
        {"normalize_advantage": False},
        {"max_grad_norm": 0.01},
        {"batch_size": 24},
        {"batch_size": 63},
        {"clip_range": 0.01, "learning_rate": 3e-3},
        {"policy_kwargs": {"net_arch": {"pi": [9], "vf": [7, 6, 5]}}},
        {"policy_kwargs": {"net_arch": []}},
        {"policy_kwargs": {"net_arch": [8], "optimizer_kwargs": {"weight_decay": 0.1, "eps": 1e-3}}},
        {"policy_kwargs": {"net_arch": [8], "share_features_extractor": False}},
    ],
    ids=str,
)
def test_options_of_ppo(arguments: dict[str, Any]) -> None:
    assert both(PPO, "box", rollouts=5, **arguments).distance < CLOSE


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.GELU, nn.LeakyReLU, nn.SiLU, nn.Sigmoid, nn.Identity])
def test_activations(activation: type[nn.Module]) -> None:
    kwargs = {"net_arch": [16, 8, 8], "activation_fn": activation}
    assert both(PPO, "box", rollouts=5, policy_kwargs=kwargs).distance < CLOSE


@pytest.mark.parametrize("kwargs", [{"normalize_advantage": True}, {"use_rms_prop": False}], ids=str)
def test_options_of_a2c(kwargs: dict[str, Any]) -> None:
    assert both(A2C, "box", rollouts=30, **kwargs).distance < CLOSE


def test_the_optimizer_of_old_a2c_agents() -> None:
    optimizer = {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5}}
    kwargs = {"net_arch": [16], **optimizer}
    assert both(A2C, "box", rollouts=30, policy_kwargs=kwargs, use_rms_prop=False).distance < CLOSE


@pytest.mark.parametrize("actions", ["box", "discrete"])
def test_in_float32_it_drifts_no_further_than_sb3_from_itself(actions: str) -> None:
    """After 300 updates the distance is at most three times that of SB3 with weights one unit in the last place off."""

    def disturb(model: Any) -> None:
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))

    ours = both(PPO, actions, dtype=torch.float32)
    itself = both(PPO, actions, dtype=torch.float32, disturb=disturb)
    assert ours.updates == 300
    assert ours.distance <= 3 * itself.distance


def test_one_gradient_in_float32() -> None:
    """One update by plain steps along the gradient tells the gradient itself, within 1e-5."""
    kwargs = {"net_arch": [64, 64], "optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e3}}
    one = both(PPO, "box", Full(), rollouts=1, dtype=torch.float32, batch_size=64, n_epochs=1, policy_kwargs=kwargs)
    assert one.updates == 1
    assert one.distance < 1e-5
