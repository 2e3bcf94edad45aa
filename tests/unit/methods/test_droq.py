from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.droq import DroQ, Norm
from acclimate.methods.freeze import Freeze
from acclimate.nets.experience import Batch
from acclimate.nets.masks import Dropping
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent, batch, context, evaluating


def known(x: Tensor) -> Context:
    return Context(target=lambda steps: Batch(x[:steps]), source=lambda steps: Batch(-x[:steps]))


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def error(net: nn.Module, x: Tensor, wanted: Tensor) -> float:
    with evaluating(net), torch.no_grad():
        return float((net(x) - wanted).square().mean() / wanted.var())


def test_a_hidden_layer_is_the_formula() -> None:
    """h = act(g * norm(m * (W x + b) / (1 - p)) + c), the order of the paper: dropout, norm, activation."""
    net, x = perceptron(), torch.randn(50, 3)
    attach(DroQ(p=0.3, states=50, fits=3, on="q"), {"q": net}, context=known(x))
    drop, norm = (part for part in net[0].modules() if isinstance(part, (Dropping, Norm)))
    masked: list[Tensor] = []
    drop.register_forward_hook(lambda module, args, out: masked.append(out))
    with torch.no_grad():
        hidden = net[:2](x)
        plain = x @ net[0].weight.T + net[0].bias
        assert bool(((masked[0] == 0) | torch.isclose(masked[0], plain / 0.7, atol=1e-6)).all())
        assert 0.2 < float((masked[0] == 0).float().mean()) < 0.4
        mean, var = masked[0].mean(1, keepdim=True), masked[0].var(1, keepdim=True, correction=0)
        expected = (norm.weight * (masked[0] - mean) / (var + 1e-5).sqrt() + norm.bias).relu()
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-4)


def test_the_calibration_finds_the_pretrained_values_again() -> None:
    """In the normalised error of states that it has not seen: large if nothing is fitted, small after it."""
    torch.manual_seed(1)
    x, fresh = torch.randn(1000, 3), torch.randn(300, 3)
    errors = {}
    for fits in (0, 500):
        net = perceptron()
        wanted = net(fresh).detach()
        attach(DroQ(states=1000, fits=fits, on="q"), {"q": net}, context=known(x))
        errors[fits] = error(net, fresh, wanted)
    net = perceptron()
    blunt = nn.Sequential(net[0], nn.LayerNorm(64), net[1], net[2], nn.LayerNorm(64), net[3], net[4])
    assert errors[0] < 0.2 * error(blunt, fresh, wanted)
    assert errors[500] < 0.01
    assert errors[500] < 0.1 * errors[0]


def test_it_repeats_and_leaves_nobody_elses_random_numbers_moved() -> None:
    nets, state = [perceptron() for _ in range(2)], torch.get_rng_state()
    for net in nets:
        attach(DroQ(states=50, fits=5, on="q"), {"q": net}, context=known(torch.ones(50, 3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    assert all(p.grad is None for p in nets[0].parameters())


def test_what_is_frozen_stays_through_the_calibration() -> None:
    net = perceptron()
    before = net[2].weight.detach().clone()
    attach(
        chain(DroQ(states=50, fits=5, on="q"), Freeze(on="q:2.weight")), {"q": net}, context=known(torch.randn(50, 3))
    )
    assert torch.equal(net[2].weight, before)


@pytest.mark.parametrize("name", ["sac-mlp", "td3-cnn", "ppo-mlp"])
def test_the_actor_is_untouched_and_the_target_is_a_copy(name: str) -> None:
    model, plain = agent(name), agent(name)
    seam = Seam(model, DroQ(states=30, fits=10), context=context(model))
    nets = {net.role: net for net in seam.tuner.nets}
    critic = nets["critic"]
    stock = {n.role: n for n in Seam(plain, chain()).tuner.nets}["actor"]
    mine = [p for _, p in nets["actor"].named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(mine, stock.parameters(), strict=True))
    if critic.twin is not None:
        shown = batch(model)
        with evaluating(critic.module), evaluating(critic.twin):
            first, second = (critic.apply(module, shown).values for module in (critic.module, critic.twin))
        assert torch.equal(first, second)
    model.learn(12)


def test_it_says_what_it_cannot_do() -> None:
    model = agent("sac-mlp")
    seam = Seam(model, DroQ(states=30, fits=1), context=context(model))
    with pytest.raises(SurgeryError, match="`droq` cannot end as a stock network"):
        seam.fold()
    model = agent("sac-mlp")
    with pytest.raises(SurgeryError, match="`droq` on `critic` constrains 0 trainable weights: `freeze` froze all"):
        Seam(model, chain(DroQ(states=30), Freeze(on="critic")), context=context(model))
    with pytest.raises(SurgeryError, match="`droq` on `actor`: it changes what the policy does"):
        Seam(agent("ppo-mlp"), DroQ(on="actor"))
    with pytest.raises(SurgeryError, match="`droq` on `actor`: it fits values"):
        Seam(model := agent("sac-mlp"), DroQ(on="actor", states=30), context=context(model))


@pytest.mark.parametrize(
    ("field", "value"), [("p", 0.0), ("states", 1), ("world", "moon"), ("fits", -1), ("rate", 0.0)]
)
def test_values_that_cannot_be(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"droq\.{field} is"):
        DroQ(**{field: value})
