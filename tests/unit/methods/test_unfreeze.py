from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.unfreeze import Unfreeze
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from tests.cases import agent


def trained(seam: Seam, progress: float) -> set[str]:
    seam.signals.progress = progress
    seam.tuner.rollout()
    free = {path for net in seam.tuner.nets for path, p in net.named_parameters() if seam.tuner.scales[p] > 0}
    return {path.rpartition(".")[0] for path in free if path != "log_std"}


def test_from_the_heads_down() -> None:
    seam = Seam(agent("ppo-cnn", steps=0), Unfreeze(every=0.125))
    (log_std,) = (p for path, p in seam.tuner.nets[0].named_parameters() if path == "log_std")
    assert seam.tuner.scales[log_std] == 1.0
    order = [
        (0.0, {"action_net", "value_net"}),
        (0.125, {"mlp_extractor.policy_net.2", "mlp_extractor.value_net.2"}),
        (0.25, {"mlp_extractor.policy_net.0", "mlp_extractor.value_net.0"}),
        (0.375, {"features_extractor.linear.0"}),
        (0.5, {"features_extractor.cnn.4"}),
        (0.625, {"features_extractor.cnn.2"}),
        (0.75, {"features_extractor.cnn.0"}),
    ]
    so_far: set[str] = set()
    for progress, layers in order:
        assert trained(seam, progress - 1e-3) == so_far or progress == 0.0
        so_far |= layers
        assert trained(seam, progress) == so_far


def test_a_layer_stays_bit_for_bit_until_it_is_let_go_and_then_begins_afresh() -> None:
    """Adam's first step of a parameter is lr * sign(gradient): only with fresh moments after five steps of others."""
    torch.manual_seed(0)
    q = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(q.parameters(), lr=0.1, weight_decay=0.0)
    tuner = attach(Unfreeze(every=0.5), {"q": q}, optimizer=optimizer, updates=10)
    before = q[0].weight.detach().clone()
    for _ in range(5):
        assert torch.equal(q[0].weight, before)
        assert q[0].weight.grad is None
        tuner.rollout()
        optimizer.zero_grad()
        q(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        tuner.step()
    tuner.rollout()
    optimizer.zero_grad()
    q(torch.ones(1, 3)).sum().backward()
    assert q[0].weight.grad is not None
    sign = q[0].weight.grad.sign()
    optimizer.step()
    torch.testing.assert_close(q[0].weight.detach() - before, -0.1 * sign, atol=1e-4, rtol=1e-3)


def test_a_network_too_deep_for_the_run_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"`unfreeze` on `trunk`: 6 layers at 0\.2 .*give an `every` below 0\.17"):
        Seam(agent("ppo-cnn", steps=0), Unfreeze(every=0.2))
    Seam(agent("ppo-mlp", steps=0), Unfreeze(every=0.2))


@pytest.mark.parametrize("every", [-0.1, 1.0])
def test_what_cannot_be(every: float) -> None:
    with pytest.raises(ConfigError, match=r"unfreeze\.every"):
        Unfreeze(every=every)
