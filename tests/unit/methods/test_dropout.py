from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.dropout import Dropout
from acclimate.nets.masks import Dropping
from acclimate.nets.net import Acting
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from tests.cases import agent, batch


def drops(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, kind)]


def test_fresh_masks_would_break_the_ratio() -> None:
    """The mistake that consistent masks avoid: evaluation mode in the rollout, another mask in the update."""
    model = agent("ppo-mlp")
    nn.Sequential.append(model.policy.mlp_extractor.policy_net, nn.Dropout(0.5))
    data = next(model.rollout_buffer.get(8))
    model.policy.set_training_mode(False)
    _, before, _ = model.policy.evaluate_actions(data.observations, data.actions)
    model.policy.set_training_mode(True)
    _, after, _ = model.policy.evaluate_actions(data.observations, data.actions)
    assert float((after - before).exp().sub(1).abs().max()) > 1e-3


def test_masks_change_with_the_rollout_and_not_within() -> None:
    layer = Dropping(0.5, Acting())
    layer.draw(1)
    ones = torch.ones(3, 40)
    first, again = layer(ones), layer(ones)
    layer.draw(2)
    assert torch.equal(first, again)
    assert torch.equal(first[0], first[1])
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first, layer(ones))
    layer.draw(1)
    assert torch.equal(first, layer(ones)), "the same seed gives the same mask"


def test_evaluation_in_the_middle_of_a_rollout_has_no_mask() -> None:
    model = agent("ppo-mlp")
    shown = np.asarray(batch(model).observations)
    plain = model.predict(shown, deterministic=True)[0]
    with Seam(model, Dropout(p=0.5, on="actor")) as seam:
        seam.tuner.rollout()
        np.testing.assert_array_equal(model.predict(shown, deterministic=True)[0], plain)
        acting = model.policy(torch.as_tensor(shown), deterministic=True)[0].detach().numpy()
        np.testing.assert_array_equal(model.predict(shown, deterministic=True)[0], plain)
    assert np.abs(acting.clip(-1, 1) - plain).max() > 1e-4


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "dqn-mlp"])
def test_plain_masks_in_updates_only(name: str) -> None:
    """Hidden units are dropped in training mode, not in evaluation, and those of targets never."""
    model = agent(name)
    seam = Seam(model, Dropout(p=0.25))
    net = seam.tuner.nets[-1]
    heads = 2 if net.role == "critic" else 1
    assert len(drops(net.module, Dropping)) == len(drops(net.twin, Dropping)) == 2 * heads
    shown = batch(model)
    net.module.eval()
    quiet = next(iter(vars(net.apply(net.module, shown)).values()))
    assert torch.equal(quiet, next(iter(vars(net.apply(net.module, shown)).values())))
    net.module.train()
    assert not torch.equal(quiet, next(iter(vars(net.apply(net.module, shown)).values())))
    assert not any(part.training for part in drops(net.twin, Dropping))


def test_kept_units_are_scaled_up() -> None:
    net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 50))
    seen: list[torch.Tensor] = []
    tuner = attach(Dropout(p=0.2, on="q"), {"q": net})
    net[2].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    torch.manual_seed(0)
    net(torch.ones(400, 1))
    hidden = net[0](torch.ones(1, 1)).relu()[0]
    alive = hidden > 0
    share = (seen[0] == 0).float().mean(0)[alive]
    assert float(share.mean()) == pytest.approx(0.2, abs=0.01)
    torch.testing.assert_close(seen[0].max(0).values[alive], hidden[alive] / 0.8)
    tuner.fold()
    assert list(net[1].children()) == []


def test_layers_can_be_chosen_and_heads_are_left_out() -> None:
    model = agent("sac-mlp")
    Seam(model, Dropout(on="critic:qf0.2"))
    assert [n for n, m in model.critic.named_modules() if isinstance(m, Dropping)] == ["qf0.3.inserted_0"]
    with pytest.raises(SurgeryError, match="it finds nothing there to act on"):
        Seam(agent("sac-mlp"), Dropout(on="critic:qf*.4"))


class Functional(nn.Module):
    """Its activation is a function of torch, which no module tells of."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(3, 8), nn.Linear(8, 2), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.function(self.first(x)))


def test_an_activation_that_no_module_tells_of() -> None:
    """The mask is on what goes into it: exact for a ReLU, and for others the division comes before the bend."""
    x = torch.randn(5, 3)
    for function in (torch.relu, torch.tanh):
        net = Functional(function)
        plain = net.first(x)
        attach(Dropout(p=0.5, on="q"), {"q": net}, on_policy=["q"])
        (mask,) = drops(net, Dropping)
        out = net(x)
        torch.testing.assert_close(out, net.last(function(plain * mask.mask / 0.5)))
    unbent = Functional(torch.relu)
    units = torch.relu(unbent.first(x))
    attach(Dropout(p=0.5, on="q"), {"q": unbent}, on_policy=["q"])
    out = unbent(x)
    (mask,) = drops(unbent, Dropping)
    torch.testing.assert_close(out, unbent.last(units * mask.mask / 0.5))


def test_an_activation_that_layers_share_gets_a_mask_for_each_of_them() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(3, 8), relu, nn.Linear(8, 6), relu, nn.Linear(6, 2))
    attach(Dropout(p=0.5, on="q"), {"q": net}, on_policy=["q"])
    net(torch.randn(4, 3))
    assert [n for n, m in net.named_modules() if isinstance(m, Dropping)] == ["0.inserted_0", "2.inserted_0"]
    assert [tuple(mask.mask.shape) for mask in drops(net, Dropping)] == [(8,), (6,)]


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.Conv1d, (9,)), (nn.Conv2d, (9, 8)), (nn.Conv3d, (5, 6, 7))], ids=["1d", "2d", "3d"]
)
def test_single_units_or_whole_channels_of_convolutions(
    kind: Callable[..., nn.Module], shape: tuple[int, ...], consistent: bool
) -> None:
    """A channel is there in all of its places or in none; single units come and go by themselves."""
    torch.manual_seed(0)
    x = torch.rand(3, 2, *shape) + 0.5
    for channels in (False, True):
        layer, last = kind(2, 20, 3), kind(20, 1, 1)
        layer.weight.data.abs_()
        net = nn.Sequential(layer, nn.ReLU(), last)
        plain = net[:2](x)
        attach(Dropout(p=0.4, channels=channels, on="q"), {"q": net}, on_policy=["q"] if consistent else [])
        out = net[:2](x)
        kept = out != 0
        torch.testing.assert_close(out[kept], plain[kept] / 0.6)
        places = kept.flatten(2)
        whole = places.all(-1) | ~places.any(-1)
        assert bool(whole.all()) is channels
        assert not bool(kept.all())
        assert torch.equal(kept[0], kept[1]) is consistent


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_a_probability_is_wanted(p: float) -> None:
    with pytest.raises(ConfigError, match=r"dropout\.p is"):
        Dropout(p=p)
