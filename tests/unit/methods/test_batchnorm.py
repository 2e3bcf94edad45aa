from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.batchnorm import BatchNorm, Renorm
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.nets.experience import Batch
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent, batch, context, evaluating

LAYERS = pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 3), (40, 4)),
        (nn.Conv1d(2, 3, 2), (40, 2, 6)),
        (nn.Conv2d(2, 3, 3, stride=2, padding=1), (40, 2, 8, 8)),
        (nn.Conv3d(2, 3, 2), (40, 2, 3, 4, 5)),
    ],
    ids=["linear", "conv1d", "conv2d", "conv3d"],
)


def put(layer: nn.Module, x: Tensor) -> Attached:
    known = Context(source=lambda steps: Batch(x[:steps]))
    return attach(BatchNorm(states=len(x), on="q:0"), {"q": _Apart(layer)}, context=known)


class _Apart(nn.Module):
    """A layer, and a head that nothing runs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.add_module("0", layer)
        self.add_module("head", nn.Linear(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule("0")(x)


def norm_of(layer: nn.Module) -> Renorm:
    (norm,) = (module for module in layer.modules() if isinstance(module, Renorm))
    return norm


def flat(y: Tensor, layer: nn.Module) -> np.ndarray:
    moved = y if isinstance(layer, nn.Linear) else y.movedim(1, -1)
    return moved.detach().reshape(-1, moved.shape[-1]).double().numpy()


@LAYERS
def test_it_starts_as_the_identity_with_the_statistics_of_the_source(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """Mean and variance are numpy's; the outputs are the same bit for bit, and within 1e-5 in training."""
    torch.manual_seed(0)
    layer, x = copy.deepcopy(layer), 3.0 * torch.randn(shape) + 1.0
    y = layer(x).detach()
    put(layer, x)
    norm = norm_of(layer)
    np.testing.assert_allclose(norm.mean.numpy(), flat(y, layer).mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.var.numpy(), flat(y, layer).var(0), rtol=1e-4)
    np.testing.assert_allclose(norm.scale.detach().numpy(), np.sqrt(flat(y, layer).var(0) + 1e-5), rtol=1e-4)
    assert torch.equal(layer.eval()(x), y)
    torch.testing.assert_close(layer.train()(x), y, atol=1e-5 * float(y.abs().max()), rtol=0)


@LAYERS
def test_it_folds_into_the_layer_whatever_it_learnt(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """y = g (z - m) / sqrt(v + eps) + b of the layer's own z, before and after the fold."""
    torch.manual_seed(1)
    layer, x = copy.deepcopy(layer), torch.randn(shape)
    names = list(layer.state_dict())
    tuner = put(layer, x)
    norm = norm_of(layer)
    with torch.no_grad():
        for tensor in (norm.scale, norm.shift, norm.mean, norm.var):
            tensor.uniform_(0.5, 2.0)
    plain = F.linear if isinstance(layer, nn.Linear) else layer._conv_forward
    raw = plain(x, layer.weight, layer.bias)
    along = (1, -1, *(1,) * (raw.dim() - 2))
    g, b, m, v = (t.detach().view(along) for t in (norm.scale, norm.shift, norm.mean, norm.var))
    expected = g * (raw - m) / (v + 1e-5).sqrt() + b
    layer.eval()
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    tuner.fold()
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    assert list(layer.state_dict()) == names
    assert list(layer.children()) == []


def test_the_gradient_in_training_is_that_of_torchs_batch_norm() -> None:
    """With running statistics equal to the batch's, r = 1 and d = 0: batch renorm is batch norm, gradient and all."""
    torch.manual_seed(0)
    x = torch.randn(32, 5, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    norm = Renorm(torch.zeros(5), axis=-1, momentum=0.1, patient=False).train()
    with torch.no_grad():
        norm.set_to(x.mean(0), x.var(0, correction=0))
        norm.scale.copy_(torch.rand(5) + 0.5)
    weight = torch.randn(32, 5)
    (norm(x) * weight).sum().backward()
    (F.batch_norm(twin, None, None, norm.scale.detach(), norm.shift.detach(), True) * weight).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, atol=1e-5, rtol=1e-4)


def test_training_says_what_evaluation_says_until_the_bounds() -> None:
    """x' = (x - m_B) / s_B * clip(r) + clip(d), by numpy; inside the bounds that is (x - m) / s."""
    torch.manual_seed(0)
    norm = Renorm(torch.zeros(3), axis=-1, momentum=0.01, patient=False)
    with torch.no_grad():
        norm.set_to(torch.tensor([0.5, 0.0, 0.0]), torch.tensor([1.0, 100.0, 0.25]))
        norm.scale.fill_(2.0)
    x = torch.randn(64, 3) * torch.tensor([1.5, 1.0, 1.0]) + torch.tensor([0.0, 0.0, 8.0])
    mean, var = norm.mean.numpy().copy(), norm.var.numpy().copy()
    inside = norm.eval()(x).detach()
    out = norm.train()(x).detach().numpy()
    data = x.numpy()
    m, s, running = data.mean(0), np.sqrt(data.var(0) + 1e-5), np.sqrt(var + 1e-5)
    r, d = np.clip(s / running, 1 / 3, 3), np.clip((m - mean) / running, -5, 5)
    np.testing.assert_allclose(out, ((data - m) / s * r + d) * 2 + norm.shift.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(out[:, 0], inside[:, 0].numpy(), atol=1e-5)
    assert np.abs(out[:, 1:] - inside[:, 1:].numpy()).min(1).max() > 0.1
    np.testing.assert_allclose(norm.mean.numpy(), 0.99 * mean + 0.01 * m, rtol=1e-5)
    np.testing.assert_allclose(norm.var.numpy(), 0.99 * var + 0.01 * data.var(0), rtol=1e-5)


def test_patient_statistics_move_as_far_as_the_passes_would_have_moved_them() -> None:
    """After k passes of one batch: as k steps of the moving average, to the batch's mean and variance."""
    torch.manual_seed(0)
    x = 2.0 * torch.randn(50, 2) + 3.0
    norm = Renorm(torch.zeros(2), axis=-1, momentum=0.1, patient=True).train()
    plain = norm(x).detach()
    for _ in range(3):
        torch.testing.assert_close(norm(x), plain)
    assert torch.equal(norm.mean, torch.zeros(2))
    norm.move()
    kept = 0.9**4
    torch.testing.assert_close(norm.mean, (1 - kept) * x.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.var, kept + (1 - kept) * x.var(0, correction=0), rtol=1e-4, atol=1e-5)
    before = norm.mean.clone()
    norm.move()
    assert torch.equal(norm.mean, before)


@pytest.mark.parametrize("name", ["sac-mlp", "td3-cnn", "dqn-mlp"])
def test_the_statistics_of_a_target_network_follow_its_weights(name: str) -> None:
    """Where weights are averaged they follow at once; where they are copied now and then they wait for the copy."""
    more = {"target_update_interval": 16} if name == "dqn-mlp" else {}
    model = agent(name, steps=0, **more)
    with Seam(model, BatchNorm(states=40, momentum=0.3, on="critic|q"), context=context(model)) as seam:
        net = seam.tuner.nets[-1]
        layer = next(layer for layer in net.layers() if not layer.head)
        norm, follower = norm_of(layer.module), norm_of(layer.twin)
        start = norm.mean.clone()
        model.learn(10)
        assert not torch.equal(norm.mean, start)
        assert torch.equal(follower.mean, start) is (name == "dqn-mlp")
        model.learn(10)
        assert not torch.equal(follower.mean, start)


def test_what_adapts_can_be_chosen() -> None:
    for train in ("all", "affine", "statistics"):
        model = agent("dqn-mlp")
        with Seam(model, BatchNorm(train=train, states=40, momentum=0.3), context=context(model)) as seam:
            (net,) = seam.tuner.nets
            layer = net.layers()[0]
            norm = norm_of(layer.module)
            scales = [seam.tuner.scales[p] for p in (layer.module.weight, layer.module.bias, norm.scale, norm.shift)]
            assert scales == {"all": [1, 1, 1, 1], "affine": [0, 0, 1, 1], "statistics": [0, 0, 0, 0]}[train]
            assert seam.tuner.scales[net.layers()[-1].module.weight] == 1
            before = norm.mean.clone()
            model.learn(12)
            assert not torch.equal(norm.mean, before)


@pytest.mark.parametrize("first", ["freeze", "batchnorm"])
@pytest.mark.parametrize("name", ["ppo-cnn", "sac-mlp"])
def test_the_statistics_of_frozen_layers_stay_in_any_order(name: str, first: str) -> None:
    role, part = ("trunk", "features_extractor") if name == "ppo-cnn" else ("critic", "qf0.0")
    methods = [Freeze(on=f"{role}:{part}"), BatchNorm(states=40, momentum=0.5, on="*")]
    method = chain(*(methods if first == "freeze" else methods[::-1]))
    model = agent(name)
    with Seam(model, method, context=context(model)) as seam:
        net = next(net for net in seam.tuner.nets if net.role == role)
        norms = {path: m for path, m in net.module.named_modules() if isinstance(m, Renorm)}
        before = {path: norm.mean.clone() for path, norm in norms.items()}
        model.learn(24)
        stays = {path for path, norm in norms.items() if torch.equal(norm.mean, before[path])}
    frozen = {path for path in norms if path.startswith(part)}
    assert frozen
    assert stays == frozen


def test_the_policy_of_ppo_moves_between_rollouts_only() -> None:
    model = agent("ppo-mlp")
    with Seam(model, BatchNorm(train="statistics", states=40, momentum=0.5, on="*"), context=context(model)) as seam:
        norm = norm_of(seam.tuner.nets[0].layers()[0].module)
        before = norm.mean.clone()
        model.learn(8)
        assert torch.equal(norm.mean, before)
        assert float(norm.passes) == 4.0
        seam.tuner.rollout()
        assert not torch.equal(norm.mean, before)


def test_over_computed_weights_and_refusals() -> None:
    model = agent("sac-mlp")
    method = chain(ChannelScale(train_base=True, on="critic"), BatchNorm(states=40), ChannelScale(on="critic"))
    seam = Seam(model, method, context=context(model))
    with seam:
        model.learn(12)
    shown, critic = batch(model), seam.tuner.nets[1]
    with evaluating(critic.module):
        before = critic.apply(critic.module, shown).values
        seam.fold()
        torch.testing.assert_close(critic.apply(critic.module, shown).values, before, atol=1e-5, rtol=1e-5)
    with pytest.raises(SurgeryError, match="`batchnorm` on `critic`: a Renorm of another method is at"):
        Seam(agent("sac-mlp"), chain(BatchNorm(), BatchNorm()))
    with pytest.raises(SurgeryError, match="`batchnorm` on `critic`: the network has a BatchRenorm1d of its own"):
        Seam(agent("crossq-mlp", steps=0), BatchNorm())
    with pytest.raises(SurgeryError, match="`batchnorm` on `q`: 0 has no bias"):
        attach(BatchNorm(on="q"), {"q": nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))})


@pytest.mark.parametrize(("field", "value"), [("train", "some"), ("momentum", 0.0), ("states", 1)])
def test_values_that_cannot_be(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"batchnorm\.{field} is"):
        BatchNorm(**{field: value})
