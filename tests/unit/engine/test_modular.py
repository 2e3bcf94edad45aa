"""The engine on the policy's own modules against Stable-Baselines3 on the same minibatches: same weights, same log."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acclimate.engine.modules import prefix
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.features import FeatureDistillation
from acclimate.methods.freeze import Freeze
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.last_layer import LastLayer
from acclimate.methods.lora import LoRA
from acclimate.methods.mixout import Mixout
from acclimate.methods.residual import Residual
from acclimate.methods.side import Side
from acclimate.tuning.method import Method, chain
from tests.unit.engine.alike import A2C, PPO, both

CLOSE = 1e-8
SMALL = {"features_extractor_kwargs": {"features_dim": 9}}
IMAGES: dict[str, Any] = {"policy": "CnnPolicy", "policy_kwargs": SMALL}
CNN = "features_extractor.cnn"

METHODS: dict[str, Method] = {
    "dropout": Dropout(p=0.3),
    "dropout-all": Dropout(p=0.2, on="*"),
    "mixout": Mixout(p=0.3, on="*"),
    "residual": Residual(width=4, on="actor|critic"),
    "side": Side(width=4),
    "features": FeatureDistillation(on="*"),
    "kl": KLToPrior(weight=1.0),
    "kl-dropout": chain(KLToPrior(weight=1.0), Dropout(p=0.2, on="*"), L2SP()),
}
FROZEN: dict[str, Method] = {
    "trunk": Freeze(on="trunk"),
    "first": Freeze(on=f"trunk:{CNN}.0"),
    "two": Freeze(on=[f"trunk:{CNN}.0", f"trunk:{CNN}.2"]),
    "all-convolutions": Freeze(on=f"trunk:{CNN}"),
    "middle": Freeze(on=f"trunk:{CNN}.2"),
    "last-layer": LastLayer(),
    "for-a-while": Hold(steps=200, on="trunk"),
}


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_300_updates_are_those_of_sb3(algorithm: type, images: bool) -> None:
    method = None if images else Dropout(p=0.3)
    rollouts = 15 if algorithm is PPO else 300
    outcome = both(algorithm, "box", method, rollouts=rollouts, modular=True, **(IMAGES if images else {}))
    assert outcome.updates == 300
    assert outcome.distance < CLOSE
    theirs, ours = outcome.logged
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_methods_on_perceptrons(name: str) -> None:
    assert both(PPO, "discrete", METHODS[name], rollouts=5, modular=True).distance < CLOSE


@pytest.mark.parametrize("name", METHODS)
def test_methods_on_images(name: str) -> None:
    kwargs = {**SMALL, "net_arch": [8]}
    assert (
        both(PPO, "box", METHODS[name], rollouts=2, modular=True, policy="CnnPolicy", policy_kwargs=kwargs).distance
        < CLOSE
    )


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_first_layers(name: str) -> None:
    assert both(PPO, "discrete", FROZEN[name], rollouts=4, modular=True, **IMAGES).distance < CLOSE


@pytest.mark.parametrize("name", ["trunk", "two"])
def test_what_needs_more_room_than_there_is_is_computed_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "LIMIT", 64 * 9 * 8 - 1)
    assert both(PPO, "discrete", FROZEN[name], rollouts=2, modular=True, **IMAGES).distance < CLOSE


@pytest.mark.parametrize("method", [ChannelScale(on="trunk|actor"), LoRA(rank=2)], ids=["channel", "lora"])
def test_weights_that_are_computed(method: Method) -> None:
    assert both(PPO, "box", method, rollouts=2, modular=True, **IMAGES).distance < CLOSE


@pytest.mark.parametrize(
    "arguments",
    [
        {"clip_range_vf": 0.1, "target_kl": 0.001},
        {"batch_size": 63},
        {"batch_size": 40, "normalize_advantage": False},
        {"policy_kwargs": {**SMALL, "share_features_extractor": False, "net_arch": [8]}},
        {"policy_kwargs": {**SMALL, "normalize_images": False, "net_arch": {"pi": [5], "vf": []}}},
        {"policy_kwargs": {"features_extractor_kwargs": {"features_dim": 2100}}},
    ],
    ids=str,
)
def test_options(arguments: dict[str, Any]) -> None:
    assert both(PPO, "box", rollouts=2, modular=True, **{**IMAGES, **arguments}).distance < CLOSE


@pytest.mark.parametrize("images", [False, True])
def test_in_float32_it_drifts_no_further_than_sb3_from_itself(images: bool) -> None:
    """After 300 updates the distance is at most three times that of SB3 with weights one unit in the last place off."""
    more: dict[str, Any] = {"rollouts": 15, "dtype": torch.float32, **(IMAGES if images else {})}

    def disturb(model: Any) -> None:
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))

    ours = both(PPO, "box", modular=True, **more)
    itself = both(PPO, "box", disturb=disturb, **more)
    assert ours.updates == 300
    assert ours.distance <= 3 * itself.distance


def test_one_gradient_in_float32() -> None:
    """One update by plain steps along the gradient tells the gradient itself, within 1e-5."""
    kwargs = {**SMALL, "optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e3}}
    more = {**IMAGES, "batch_size": 64, "n_epochs": 1, "policy_kwargs": kwargs}
    one = both(PPO, "box", rollouts=1, dtype=torch.float32, modular=True, **more)
    assert one.updates == 1
    assert one.distance < 1e-5
