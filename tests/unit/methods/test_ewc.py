"""The penalty against the divergence that it stands for, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td
from torch import nn

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.ewc import EWC
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Categorical, Gaussian
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import Attached, attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import chain
from tests.cases import agent, batch, context

STATES = torch.tensor([[1.0, 2.0], [-0.5, 3.0], [0.0, 1.0], [4.0, 0.0]])


def source() -> Context:
    return Context(source=lambda steps: Batch(STATES[:steps]))


def gaussian(method: EWC) -> tuple[nn.Linear, Attached]:
    torch.manual_seed(0)
    module = nn.Linear(2, 1)
    outputs = {"actor": lambda mean: Gaussian(mean, torch.tensor([0.5]).log())}
    return module, attach(method, {"actor": module}, outputs=outputs, context=source())


def test_by_hand() -> None:
    """With a std of 0.5 the information on w_i is 4 mean x_i^2, and that on the bias 4."""
    module, tuner = gaussian(EWC(weight=Linear(3.0, 1.0), stored=4))
    assert tuner.penalty(STATES).item() == 0.0
    with torch.no_grad():
        module.weight += torch.tensor([[0.1, -0.2]])
        module.bias += 0.3
    f = 4.0 * STATES.square().mean(0)
    distance = f[0] * 0.01 + f[1] * 0.04 + 4.0 * 0.09
    torch.testing.assert_close(tuner.penalty(STATES), 3.0 * distance)
    tuner.penalty(STATES).backward()
    torch.testing.assert_close(module.weight.grad, 3.0 * 2.0 * torch.stack([f[0] * 0.1, f[1] * -0.2])[None])
    tuner.signals.progress = 1.0
    torch.testing.assert_close(tuner.penalty(STATES), distance)
    assert tuner.context.charged == 4


def test_half_of_it_is_the_divergence_where_one_weight_moves() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3))
    tuner = attach(EWC(weight=1.0, stored=4), {"actor": module}, outputs={"actor": Categorical}, context=source())
    before = td.Categorical(logits=module(STATES).detach())
    with torch.no_grad():
        module[0].weight[1, 0] += 0.01
    apart = td.kl_divergence(before, td.Categorical(logits=module(STATES))).mean()
    torch.testing.assert_close(0.5 * tuner.penalty(STATES), apart, rtol=0.03, atol=0.0)


def test_weights_without_importance_have_the_floor() -> None:
    module = nn.Linear(2, 2)
    nothing = Context(source=lambda steps: Batch(torch.zeros(steps, 2)))
    tuner = attach(
        EWC(weight=1.0, floor=0.01, stored=3), {"actor": module}, outputs={"actor": Categorical}, context=nothing
    )
    with torch.no_grad():
        module.weight += 2.0
    assert tuner.penalty(STATES).item() == pytest.approx(0.01 * 4 * 4.0)


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "td3-mlp", "dqn-mlp"])
def test_states_are_read_as_the_networks_read_them_now(name: str) -> None:
    """The normaliser has moved: what was x / 2 in pretraining is x now."""

    class Moved:
        def __call__(self, observations: torch.Tensor) -> torch.Tensor:
            return observations / 2.0

        def back(self, observations: torch.Tensor) -> torch.Tensor:
            return observations * 2.0

    def doubled(steps: int) -> Batch:
        return Batch(batch(model, steps, seed=2).observations * 2.0)

    model = agent(name)
    moved = Seam(model, EWC(stored=4), context=context(model), seen_as=Moved())
    other = agent(name)
    plain = Seam(other, EWC(stored=4), context=Context(source=doubled))
    for one, two in zip(*(s.tuner.composition.parts[0].states.values() for s in (moved, plain)), strict=True):
        for a, b in zip(one["importance"].values(), two["importance"].values(), strict=True):
            torch.testing.assert_close(a, b)


def test_more_weight_stays_nearer_on_the_source() -> None:
    def drift(weight: float) -> float:
        model = agent("ppo-mlp", n_epochs=8, learning_rate=1e-2)
        with Seam(model, EWC(weight=weight, stored=16), context=context(model)) as seam:
            model.learn(32)
        return seam.tuner.drift(batch(model, 16, seed=2))

    assert drift(1000.0) < 0.2 * drift(0.0)


def test_where_it_does_not_apply() -> None:
    model = agent("sac-mlp")
    with pytest.raises(SurgeryError, match=r"`ewc` on `critic`: a critic puts out no policy"):
        Seam(model, EWC(on="critic", stored=2), context=context(model))
    with pytest.raises(SurgeryError, match=r"`ewc` on `actor`: .*1000 steps of the source task, which was not given"):
        Seam(model, EWC())
    with pytest.raises(SurgeryError, match=r"`ewc` on .* constrains 0 trainable weights: `channel` froze all"):
        Seam(agent("dqn-mlp"), chain(EWC(stored=2), ChannelScale()), context=context(agent("dqn-mlp")))


@pytest.mark.parametrize(
    "field", [{"weight": -1.0}, {"floor": -1.0}, {"stored": 0}, {"std": 0.0}, {"temperature": 0.0}]
)
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"ewc\.{next(iter(field))} is"):
        EWC(**field)
