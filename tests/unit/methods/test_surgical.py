from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.methods.hold import Hold
from acclimate.methods.surgical import Surgical, relative_gradients
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.method import chain
from tests.cases import agent

Loss = Callable[[], Tensor]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))


def update(tuner: Attached, optimizer: torch.optim.Optimizer, loss: Loss) -> None:
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()
    tuner.step()


def pulled(net: nn.Module, pulls: dict[str, np.ndarray]) -> Tensor:
    """Return a loss with these gradients."""
    return torch.stack([(p * torch.as_tensor(pulls[name])).sum() for name, p in net.named_parameters()]).sum()


def test_the_relative_gradient_in_numpy() -> None:
    net, gradients = network(), dict[str, np.ndarray]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    tuner = attach(Surgical(updates=3), {"q": net}, optimizer=optimizer)
    rng = np.random.default_rng(0)
    for _ in range(2):
        pulls = {name: rng.normal(size=p.shape).astype(np.float32) for name, p in net.named_parameters()}
        gradients = {name: gradients.get(name, 0.0) + pull / 2 for name, pull in pulls.items()}
        update(tuner, optimizer, lambda pulls=pulls: pulled(net, pulls))
    weights = {name: p.detach().numpy() for name, p in net.named_parameters()}
    expected = {
        depth: np.sqrt(sum((gradients[f"{place}.{kind}"] ** 2).sum() for kind in ("weight", "bias")))
        / np.sqrt(sum((weights[f"{place}.{kind}"] ** 2).sum() for kind in ("weight", "bias")))
        for place, depth in ((0, 2), (2, 1), (4, 0))
    }
    state = tuner.composition.parts[0].states["q"]
    assert relative_gradients(tuner.nets[0], state) == pytest.approx(expected, rel=1e-5)


def test_noise_that_cancels_does_not_choose() -> None:
    """The first layer is pulled to and fro with 100, the second steadily with 1."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    tuner = attach(Surgical(updates=2), {"q": net}, optimizer=optimizer)
    before = [p.detach().clone() for p in net.parameters()]

    def loss(pull: float) -> Tensor:
        return pull * net[0].weight.sum() + net[2].weight.sum() + 0.0 * sum(p.sum() for p in net.parameters())

    update(tuner, optimizer, lambda: loss(100.0))
    assert all(torch.equal(p, value) for p, value in zip(net.parameters(), before, strict=True)), "held while measured"
    for _ in range(3):
        update(tuner, optimizer, lambda: loss(-100.0))
    tuner.rollout()
    assert tuner.trainable_parameters == 6
    update(tuner, optimizer, lambda: loss(-100.0))
    same = [torch.equal(p, value) for p, value in zip(net.parameters(), before, strict=True)]
    assert same == [True, True, False, False, True, True]


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp", "sac-mlp", "td3-mlp", "dqn-mlp", "tqc-mlp"])
def test_every_algorithm_chooses_one_layer_of_each_network(name: str) -> None:
    model = agent(name)
    with Seam(model, Surgical(updates=2)) as seam:
        before = {p: p.detach().clone() for net in seam.tuner.nets for p in net.parameters()}
        model.learn(24)
    for net in seam.tuner.nets:
        (chosen,) = seam.tuner.composition.parts[0].states[net.role]["chosen"]
        assert chosen in (0, 1, 2)
        moved = {path for path, p in net.named_parameters() if not torch.equal(p, before[p])} - {"log_std"}
        layers = {path.rpartition(".")[0] for path in moved}
        branches = {layer.partition(".")[0] for layer in layers if layer.startswith("qf")}
        assert len(layers) == (len(branches) or (2 if name in ("sac-mlp", "tqc-mlp") and chosen == 0 else 1))
        if net.role == "critic" and branches:
            assert branches == {path.partition(".")[0] for path, _ in net.named_parameters()}


def test_it_waits_for_the_hold() -> None:
    """The held actor has no gradient, so it is measured later than the critic."""
    model = agent("ppo-mlp")
    with Seam(model, chain(Hold(steps=8), Surgical(updates=2)), total_steps=24) as seam:
        states = seam.tuner.composition.parts[1].states
        model.learn(8)
        assert states["critic"]["chosen"]
        assert not states["actor"]["chosen"]
        assert states["actor"]["updates"] == 0
        model.learn(8, reset_num_timesteps=False)
        assert states["actor"]["chosen"]


@pytest.mark.parametrize("field", ["layers", "updates"])
def test_what_cannot_be(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"surgical\.{field} is 0"):
        Surgical(**{field: 0})
