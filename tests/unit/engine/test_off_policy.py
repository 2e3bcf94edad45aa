"""The off-policy engine against Stable-Baselines3 on the same minibatches: same weights, same log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from torch import nn
from torch.distributions import normal

from acclimate.engine.off_policy import perceptrons, squashed
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dora import DoRA
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.hold import Hold
from acclimate.methods.ia3 import IA3
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.lora import LoRA
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.unit.engine.alike import reading
from tests.unit.engine.alike_off_policy import ALGORITHMS, agent, both, by_sb3

CLOSE = 1e-8

METHODS: dict[str, Method] = {
    "full": Full(),
    "kl": KLToPrior(weight=Linear(1.0, 0.0, 0.5)),
    "l2sp": L2SP(weight=0.1),
    "l2sp-decoupled": L2SP(weight=1.0, decoupled=True),
    "channel": ChannelScale(rate=2.0),
    "channel-base": ChannelScale(train_base=True, on="critic|q"),
    "ia3": IA3(),
    "ia3-inputs": IA3(of="inputs"),
    "lora": LoRA(rank=2, rate=3.0, train_bias=True),
    "lora-channel": chain(LoRA(rank=2), ChannelScale(train_base=True)),
    "dora": DoRA(rank=2),
    "hold": Hold(steps=100, on="*"),
    "freeze": Freeze(on="*:*.bias"),
    "freeze-lower": Freeze(on="*:*.0.*"),
    "several": chain(Hold(steps=130, on="*:*.bias"), ChannelScale(train_base=True), KLToPrior(weight=0.5), L2SP()),
}


# With the usual epsilon of Adam, several penalties are no measure: where their gradients are about zero it makes steps
# of rounding, and SB3's own run of DQN ends 1e-3 from itself where the first weights differ in their last place.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_300_updates_are_those_of_sb3(algorithm: str, method: str) -> None:
    kwargs = {"net_arch": [16, 12]} | ({"optimizer_kwargs": {"eps": 1e-4}} if method == "several" else {})
    outcome = both(ALGORITHMS[algorithm], METHODS[method], policy_kwargs=kwargs)
    assert outcome.distance < CLOSE
    theirs, ours = outcome.logged
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        (SAC, {"ent_coef": 0.2}),
        (SAC, {"ent_coef": "auto_0.1", "target_update_interval": 3, "tau": 0.1}),
        (SAC, {"policy_kwargs": {"net_arch": [8], "n_critics": 1}}),
        (SAC, {"policy_kwargs": {"net_arch": {"pi": [9], "qf": [7, 6, 5]}, "n_critics": 3}}),
        (SAC, {"policy_kwargs": {"net_arch": [], "share_features_extractor": True}}),
        (SAC, {"policy_kwargs": {"net_arch": [8], "optimizer_kwargs": {"weight_decay": 0.1, "eps": 1e-3}}}),
        (SAC, {"normalize": True}),
        (SAC, {"n_envs": 1, "batch_size": 33}),
        (SAC, {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}),
        (TD3, {"policy_delay": 3, "target_policy_noise": 0.5, "target_noise_clip": 0.3}),
        (TD3, {"normalize": True, "policy_kwargs": {"net_arch": [8], "n_critics": 3}}),
        (DDPG, {"gamma": 0.8, "tau": 0.5}),
        (DQN, {"max_grad_norm": 0.01, "target_update_interval": 1, "tau": 0.3}),
        (DQN, {"normalize": True, "learning_rate": 1e-2}),
        (DQN, {"policy_kwargs": {"net_arch": []}}),
    ],
    ids=str,
)
def test_options(algorithm: type, arguments: dict[str, Any]) -> None:
    assert both(algorithm, calls=10, **arguments).distance < CLOSE


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ELU, nn.SiLU])
@pytest.mark.parametrize("algorithm", [SAC, DQN])
def test_activations(algorithm: type, activation: type[nn.Module]) -> None:
    kwargs = {"net_arch": [16, 8, 8], "activation_fn": activation}
    assert both(algorithm, calls=5, policy_kwargs=kwargs).distance < CLOSE


def itself(algorithm: str, **arguments: Any) -> float:
    """Return how far SB3 drifts from itself with weights one unit in the last place up, or down: the further."""

    def disturb(towards: float) -> Callable[[Any], None]:
        @torch.no_grad()
        def move(model: Any) -> None:
            for parameter in model.policy.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, towards)))

        return move

    ways = [disturb(towards) for towards in (torch.inf, -torch.inf)]
    return max(both(ALGORITHMS[algorithm], dtype=torch.float32, disturb=way, **arguments).distance for way in ways)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_float32_it_drifts_no_further_than_sb3_from_itself(algorithm: str) -> None:
    assert both(ALGORITHMS[algorithm], dtype=torch.float32).distance <= 3 * itself(algorithm)


@pytest.mark.parametrize("units", [64, 256])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_gradient_in_float32(algorithm: str, units: int) -> None:
    """After one step Adam's first moment is a tenth of the gradient, which both compute alike within 1e-5."""
    models: list[Any] = []
    more = {"policy_delay": 1} if algorithm == "td3" else {}
    kwargs = {"net_arch": [units, units]}
    both(
        ALGORITHMS[algorithm],
        calls=1,
        each=1,
        dtype=torch.float32,
        models=models,
        batch_size=units,
        policy_kwargs=kwargs,
        **more,
    )
    for owner in ("policy",) if algorithm == "dqn" else ("actor", "critic"):
        theirs, ours = (
            torch.cat([state["exp_avg"].flatten() for state in getattr(model, owner).optimizer.state.values()])
            for model in models
        )
        assert float((theirs - ours).abs().max()) < 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("algorithm", ["sac", "dqn"])
def test_large_networks_in_float32(algorithm: str) -> None:
    """The same with products that are computed by other means than the small ones.

    The single weight that is furthest off is where a unit is about to bend, in SB3 beside itself too; all together they
    have gone the same way.
    """
    large = {"calls": 6, "batch_size": 256, "policy_kwargs": {"net_arch": [256, 256]}}
    outcome = both(ALGORITHMS[algorithm], dtype=torch.float32, **large)
    assert outcome.distance <= 3 * itself(algorithm, **large)
    assert outcome.share < 0.05


@pytest.mark.parametrize("log_std", [0.0, -6.0])
def test_the_gradient_of_sac_s_actor_is_no_less_exact_than_sb3_s(
    log_std: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 against SB3's in float64, on the same noise; with small spreads autograd cancels large numbers."""
    drawn = torch.randn(2, 64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise: list[torch.Tensor] = []
    monkeypatch.setattr(normal, "_standard_normal", lambda shape, dtype, device: noise.pop(0).to(dtype))
    monkeypatch.setattr(squashed, "_noise", lambda like: noise.pop(0).numpy().astype(like.dtype))

    def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
        found = []
        for engine in (False, True):
            with reading(dtype):
                model = agent(SAC, dtype, batch_size=64, policy_kwargs={"net_arch": [64, 64]})
                torch.nn.init.constant_(model.actor.log_std.bias, log_std)
                seam = Seam(model, Full())
                noise[:] = list(drawn)
                np.random.seed(0)
                with seam:
                    if engine:
                        perceptrons.update_of(model, SAC, seam.tuner).train(1, 64)
                    else:
                        by_sb3(seam, SAC, 1, 64)
            moments = [model.actor.optimizer.state[p]["exp_avg"] for p in model.actor.parameters()]
            found.append(torch.cat([moment.flatten() for moment in moments]).double())
        return found

    exact, same = gradients(torch.float64)
    assert float((exact - same).norm()) < 1e-10 * float(exact.norm())
    theirs, ours = (float((found - exact).norm()) for found in gradients(torch.float32))
    assert ours < theirs
