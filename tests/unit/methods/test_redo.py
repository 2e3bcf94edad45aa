from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.methods.freeze import Freeze
from acclimate.methods.redo import ReDo
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.method import chain
from tests.cases import agent


def relu_net() -> nn.Sequential:
    """Of its four hidden units the first is dead, the second hardly speaks."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4, 3) + 0.1)
        net[0].bias.copy_(torch.tensor([-50.0, -0.7, 1.0, 2.0]))
    return net


def step(net: nn.Module, tuner: Attached, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    optimizer.zero_grad()
    loss = net(x).square().mean() + tuner.penalty(x)
    loss.backward()
    optimizer.step()
    tuner.step()


def test_dormant_units_by_hand() -> None:
    """Scores from numpy; incoming drawn anew, outgoing 0, moments 0; all others as they were, bit for bit."""
    torch.manual_seed(0)
    net, x = relu_net(), torch.rand(50, 3)
    twin = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    twin.load_state_dict(net.state_dict())
    size = np.maximum(x.numpy() @ net[0].weight.detach().numpy().T + net[0].bias.detach().numpy(), 0).mean(0)
    score = size / size.mean()
    assert score[0] == 0.0
    assert 0.0 < score[1] < 0.2 < score[2]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0)
    tuner = attach(ReDo(tau=0.2, every=2, on="q"), {"q": (net, twin)}, optimizer=optimizer)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    step(net, tuner, optimizer, x)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()), "not yet"
    step(net, tuner, optimizer, x)
    weight, bias, out = net[0].weight.detach(), net[0].bias.detach(), net[2].weight.detach()
    assert torch.equal(weight[2:], before["0.weight"][2:])
    assert torch.equal(bias[2:], before["0.bias"][2:])
    assert torch.equal(out[:, 2:], before["2.weight"][:, 2:])
    assert torch.equal(net[2].bias, before["2.bias"])
    assert bool((out[:, :2] == 0).all())
    assert not torch.isclose(weight[:2], before["0.weight"][:2]).any()
    assert float(weight[:2].abs().max()) <= 3**-0.5
    assert float(bias[:2].abs().max()) <= 3**-0.5
    for mine, its in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, its), "the target is treated alike"
    for moment in ("exp_avg", "exp_avg_sq"):
        kept = [optimizer.state[p][moment] != 0 for p in (net[0].weight, net[0].bias, net[2].weight)]
        assert not kept[0][:2].any()
        assert not kept[1][:2].any()
        assert not kept[2][:, :2].any()
        assert kept[0][2:].all()
        assert kept[2][:, 2:].all()


def test_dead_units_are_recycled_without_a_trace_in_what_comes_out() -> None:
    """A unit that says nothing is not missed: with tau = 0 the outputs stay bit for bit, and it learns again."""
    net, x = relu_net(), torch.rand(50, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    tuner = attach(ReDo(tau=0.0, every=1, on="q"), {"q": net}, optimizer=optimizer)
    before = net(x).detach()
    step(net, tuner, optimizer, x)
    assert torch.equal(net(x), before)
    net.zero_grad()
    net(x).square().mean().backward()
    assert float(net[2].weight.grad[:, 0].abs().sum()) > 0 or float(net[0](x)[:, 0].max()) <= 0


def test_channels_of_a_convolution_that_a_linear_layer_reads() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 1))
    with torch.no_grad():
        net[0].weight.abs_()
        net[0].bias.copy_(torch.tensor([1.0, -90.0, 1.0]))
        net[3].bias.fill_(9.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    tuner = attach(ReDo(tau=0.0, every=1, on="q"), {"q": net}, optimizer=optimizer)
    before = net[3].weight.detach().clone()
    step(net, tuner, optimizer, torch.rand(4, 1, 3, 3))
    after = net[3].weight.detach()
    assert bool((after[:, 4:8] == 0).all())
    assert torch.equal(after[:, :4], before[:, :4])
    assert torch.equal(after[:, 8:], before[:, 8:])
    assert float(net[0].weight[1].detach().abs().max()) <= 0.5


def tanh_net() -> nn.Sequential:
    """Its first unit is always about 1, the second jumps between -1 and 1, the third works."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.5, 0.0], [30.0, 0.0], [0.3, 0.4]]))
        net[0].bias.copy_(torch.tensor([4.0, 0.0, 0.0]))
    return net


def test_saturated_tanh_units_work_again_and_are_missed_as_little_as_can_be() -> None:
    """What a reader hears instead of h is numpy's least-squares line through the new h'."""
    torch.manual_seed(0)
    net, x = tanh_net(), torch.randn(200, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    tuner = attach(ReDo(saturated=0.9, every=1, on="q"), {"q": net}, optimizer=optimizer)
    z, out, weight, bias = (v.detach().clone() for v in (net[0](x), net(x), net[2].weight, net[2].bias))
    step(net, tuner, optimizer, x)
    new = net[:2](x).detach()
    assert float((1 - new.square()).mean(0)[:2].min()) > 0.2, "they pass a gradient"
    expected = [np.zeros((200, 2)) + bias.numpy()]
    for unit in range(3):
        old = np.tanh(z[:, unit].numpy())
        column = np.stack([new[:, unit].numpy(), np.ones(200)], 1)
        line = column @ np.linalg.lstsq(column, old, rcond=None)[0] if unit < 2 else old
        expected.append(np.outer(line, weight[:, unit].numpy()))
    np.testing.assert_allclose(net(x).detach().numpy(), sum(expected), atol=1e-5)
    size = z.abs().mean(0)
    torch.testing.assert_close(net[0](x).detach()[:, 0], z[:, 0] / size[0], atol=1e-5, rtol=1e-4)
    assert torch.equal(net[0].weight[2].detach(), torch.tensor([0.3, 0.4]))
    blunt = out - torch.outer(torch.tanh(z[:, 0]) - new[:, 0], weight[:, 0])
    blunt = blunt - torch.outer(torch.tanh(z[:, 1]) - new[:, 1], weight[:, 1])
    assert float((net(x).detach() - out).norm()) < 0.8 * float((blunt - out).norm())


def test_frozen_layers_and_their_neighbours_are_left_alone() -> None:
    net, x = relu_net(), torch.rand(50, 3)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    tuner = attach(chain(ReDo(tau=0.2, every=1, on="q"), Freeze(on="q:2")), {"q": net}, optimizer=optimizer)
    step(net, tuner, optimizer, x)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_units_of_a_trunk_that_other_networks_read_are_left_alone() -> None:
    model = agent("ppo-cnn")
    with Seam(model, ReDo(tau=0.9, every=1, on="trunk")):
        model.learn(8)
    last = [layer for layer in model.policy.features_extractor.modules() if isinstance(layer, nn.Linear)][-1]
    assert not (model.policy.mlp_extractor.value_net[0].weight == 0).any()
    assert not (model.policy.mlp_extractor.policy_net[0].weight == 0).any()
    assert (last.weight == 0).any(), "what reads the convolutions is inside"


def test_what_it_cannot_do_it_says() -> None:
    with pytest.raises(SurgeryError, match="`redo` on `critic`: a BatchRenorm1d of the network scales its units"):
        Seam(agent("crossq-mlp", steps=0), ReDo())
    with pytest.raises(SurgeryError, match="finds nothing there to act on"):
        attach(ReDo(on="q"), {"q": nn.Sequential(nn.Linear(2, 3), nn.ELU(), nn.Linear(3, 2))})
    net = relu_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    attach(ReDo(every=1, on="q"), {"q": net}, optimizer=optimizer)
    net(torch.rand(2, 3)).sum().backward()
    with pytest.raises(TrainingError, match=r"`redo` looks at units on the minibatch; call tuner\.penalty"):
        optimizer.step()


@pytest.mark.parametrize(("field", "value"), [("tau", -0.1), ("saturated", 1.0), ("every", 0)])
def test_values_that_cannot_be(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"redo\.{field} is"):
        ReDo(**{field: value})
