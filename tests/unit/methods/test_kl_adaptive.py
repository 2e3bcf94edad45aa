from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import kl_divergence

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.methods.dropout import Dropout
from acclimate.methods.kl_adaptive import KLAdaptive
from acclimate.nets.outputs import Categorical, Gaussian
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.method import Method, chain
from tests.cases import agent


def rollout(
    tuner: Attached, optimizer: torch.optim.Optimizer, layer: nn.Linear, *, to: Tensor, updates: int = 1
) -> float:
    """Make some updates that end with this bias, and return the rate of the next rollout."""
    for _ in range(updates):
        optimizer.zero_grad()
        (layer(torch.zeros(4, 2)).sum() + tuner.penalty(torch.zeros(4, 2))).backward()
        optimizer.step()
        with torch.no_grad():
            layer.bias.copy_(to)
        tuner.step()
    tuner.rollout()
    return tuner.scales[layer.bias]


def gaussian(method: KLAdaptive) -> tuple[Attached, torch.optim.Optimizer, nn.Linear]:
    layer = nn.Linear(2, 1)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    reader = {"actor": lambda mean: Gaussian(mean, torch.zeros(1))}
    return attach(method, {"actor": nn.Sequential(layer)}, optimizer=optimizer, outputs=reader), optimizer, layer


def test_the_rule_by_hand() -> None:
    """Two normal distributions of std 1 whose means are d apart are d^2 / 2 nats apart."""
    tuner, optimizer, layer = gaussian(KLAdaptive(target=0.01, updates=1))
    mean, rates = 0.0, []
    for nats in (0.045, 0.0201, 0.0199, 0.0051, 0.0049, 0.0, 0.001, 0.001):
        mean += (2 * nats) ** 0.5
        rates.append(rollout(tuner, optimizer, layer, to=torch.tensor([mean])))
    third = 1 / 1.5
    assert rates == pytest.approx([third, third**2, third**2, third**2, third, third, 1.0, 1.0])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_within_its_bounds() -> None:
    tuner, optimizer, layer = gaussian(KLAdaptive(updates=1, lowest=0.5, highest=2.0))
    assert [rollout(tuner, optimizer, layer, to=torch.tensor([float(i)])) for i in (1, 2, 3)] == [
        pytest.approx(1 / 1.5),
        0.5,
        0.5,
    ]
    far = [rollout(tuner, optimizer, layer, to=torch.tensor([3.0 + 0.01 * i])) for i in range(1, 6)]
    assert far == pytest.approx([0.75, 1.125, 1.6875, 2.0, 2.0])


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_divergence_is_that_of_torch(factor: float) -> None:
    """The threshold lies just above, or just below, what torch says of two categorical policies."""
    before, after = torch.tensor([0.1, 0.5, -0.3]), torch.tensor([1.0, -0.2, 0.4])
    kl = float(kl_divergence(TorchCategorical(logits=before), TorchCategorical(logits=after)))
    layer = nn.Linear(2, 3)
    layer.bias.data.copy_(before)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    method = KLAdaptive(target=0.5 * kl * factor, updates=1)
    tuner = attach(method, {"actor": nn.Sequential(layer)}, optimizer=optimizer, outputs={"actor": Categorical})
    assert rollout(tuner, optimizer, layer, to=after) == (pytest.approx(1 / 1.5) if factor < 1 else 1.0)


def test_a_measurement_spans_updates() -> None:
    tuner, optimizer, layer = gaussian(KLAdaptive(updates=5))
    assert rollout(tuner, optimizer, layer, to=torch.tensor([0.1]), updates=2) == 1.0
    assert rollout(tuner, optimizer, layer, to=torch.tensor([0.2]), updates=2) == 1.0
    # Only 0.3 from the first of five updates on is far enough.
    assert rollout(tuner, optimizer, layer, to=torch.tensor([0.3]), updates=1) == pytest.approx(1 / 1.5)


@pytest.mark.parametrize(
    ("name", "follow"),
    [
        ("ppo-cnn", {"actor", "trunk"}),
        ("a2c-mlp", {"actor"}),
        ("sac-cnn-shared", {"actor"}),
        ("td3-mlp", {"actor"}),
        ("qrdqn-mlp", {"q"}),
    ],
)
def test_what_puts_out_a_policy_changes_its_rate(name: str, follow: set[str]) -> None:
    model = agent(name)
    with Seam(model, KLAdaptive(target=1e-9, updates=1)) as seam:
        model.learn(24)
    rates = {net.role: {seam.tuner.scales[p] for p in net.parameters()} for net in seam.tuner.nets}
    assert {role for role, found in rates.items() if max(found) < 1.0} == follow
    assert all(found == {1.0} for role, found in rates.items() if role not in follow)


@pytest.mark.parametrize("name", ["ppo-mlp", "dqn-mlp", "crossq-mlp"])
def test_measuring_changes_nothing(name: str) -> None:
    """No random number is drawn, no mask and no running statistics move: at rate 1 the training is the same."""

    def trained(method: Method) -> dict[str, Tensor]:
        model = agent(name)
        with Seam(model, method):
            model.learn(16)
        return model.policy.state_dict()

    masks = Dropout(p=0.3, on="*")
    plain, measured = trained(masks), trained(chain(masks, KLAdaptive(target=1e9, updates=1)))
    assert all(torch.equal(value, measured[key]) for key, value in plain.items())


def test_a_critic_alone_has_no_rate_to_find() -> None:
    with pytest.raises(SurgeryError, match="`kl-adaptive` on `critic` constrains 0 trainable weights"):
        Seam(agent("ppo-mlp", steps=0), KLAdaptive(on="critic"))


def test_without_a_minibatch_it_says_so() -> None:
    _, optimizer, layer = gaussian(KLAdaptive())
    layer(torch.zeros(1, 2)).sum().backward()
    with pytest.raises(TrainingError, match=r"`kl-adaptive` measures .* call tuner\.penalty"):
        optimizer.step()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": 0.0}, r"kl-adaptive\.target"),
        ({"factor": 1.0}, r"kl-adaptive\.factor"),
        ({"lowest": 0.0}, r"kl-adaptive\.lowest"),
        ({"highest": 0.5}, r"kl-adaptive\.lowest is .* highest 0\.5"),
        ({"updates": 0}, r"kl-adaptive\.updates"),
        ({"std": 0.0}, r"kl-adaptive\.std"),
    ],
)
def test_what_cannot_be(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KLAdaptive(**fields)
