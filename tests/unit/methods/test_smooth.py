"""The tie to the worst neighbour against closed forms, on small networks and on SB3's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.smooth import Smooth
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Categorical, Gaussian
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import Signals
from tests.cases import agent, batch
from tests.tiny import World

WEIGHTS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
STD = torch.tensor([0.5, 2.0])


def net(kind: Any) -> Net:
    """Return a linear network whose outputs are a mean, logits or values."""
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(WEIGHTS)
        layer.bias.zero_()

    def apply(module: torch.nn.Module, seen: Batch) -> Any:
        out = module(seen.observations)
        return Gaussian(out, STD.log()) if kind is Gaussian else kind(out)

    return Net("q" if kind is ActionValues else "actor", layer, apply, decides=True)


def penalty(method: Smooth, on: Net, seen: Batch, signals: Signals | None = None) -> torch.Tensor:
    return method.module_penalty(on, method.init(on, Context()), seen, signals or Signals())


def gaussian_worst(radius: float) -> float:
    """Return the largest KL: a quadratic form of the change is largest at a corner of the ball."""
    corners = torch.cartesian_prod(*[torch.tensor([-radius, radius])] * 3)
    return float(((corners @ WEIGHTS.T) / STD).square().sum(-1).max()) / 2


def test_of_a_linear_gaussian_policy() -> None:
    """KL(N(Ws, S) || N(Ws', S)) = |S^-1/2 W (s' - s)|^2 / 2, wherever s is."""
    seen = Batch(torch.randn(64, 3))
    found = float(penalty(Smooth(weight=0.7, radius=0.1, steps=20), net(Gaussian), seen))
    # Each row ends at a corner that is a local maximum; the best of them is common to most rows.
    assert 0.9 * 0.7 * gaussian_worst(0.1) < found <= 0.7 * gaussian_worst(0.1) * (1 + 1e-5)
    assert float(penalty(Smooth(radius=0.0), net(Gaussian), seen)) == pytest.approx(0.0, abs=1e-10)


def test_of_one_axis_it_is_exact() -> None:
    """With mean w s the worst KL is (w r / std)^2 / 2."""
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.5)
    one = Net("actor", layer, lambda m, b: Gaussian(m(b.observations), torch.tensor([0.5]).log()), decides=True)
    found = penalty(Smooth(weight=2.0, radius=0.2), one, Batch(torch.randn(9, 1)))
    assert float(found) == pytest.approx(2.0 * (1.5 * 0.2 / 0.5) ** 2 / 2, rel=1e-5)


def test_the_gradient_goes_through_both_policies() -> None:
    """d/dw of (w (s' - s))^2 / 2 is w (s' - s)^2 wherever s is; with what is done at s held fixed s would come in."""
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    one = Net("actor", layer, lambda m, b: Gaussian(m(b.observations), torch.zeros(1)), decides=True)
    penalty(Smooth(weight=1.0, radius=0.5, steps=1), one, Batch(torch.full((4, 1), 30.0))).backward()
    assert float(layer.weight.grad) == pytest.approx(2.0 * 0.25, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("margin", [0.0, 1.0, 9.0])
def test_the_hinge_of_a_linear_q_network(margin: float, steps: int) -> None:
    """The lead of the best action over the other, less what the ball can take of it, short of the margin."""
    seen = torch.randn(32, 3)
    q = seen @ WEIGHTS.T
    lead = (q[:, 0] - q[:, 1]).abs()
    taken = 0.1 * float((WEIGHTS[0] - WEIGHTS[1]).abs().sum())
    expected = (margin + taken - lead).clamp(min=0.0).mean()
    found = penalty(Smooth(weight=1.0, radius=0.1, margin=margin, steps=steps), net(ActionValues), Batch(seen))
    torch.testing.assert_close(found, expected)


def test_of_two_choices_it_is_the_divergence_from_the_true_observation_to_a_corner() -> None:
    seen = torch.randn(1, 3)
    logits, turn = seen @ WEIGHTS.T, 0.4 * torch.sign(WEIGHTS[0] - WEIGHTS[1])
    both = [float(Categorical(logits).kl(Categorical((seen + way * turn) @ WEIGHTS.T))) for way in (-1, 1)]
    found = float(penalty(Smooth(weight=1.0, radius=0.4, steps=20), net(Categorical), Batch(seen)))
    assert min(abs(found - each) for each in both) < 1e-5


def test_draws_change_with_the_update_and_repeat_with_it() -> None:
    seen, method = Batch(torch.randn(8, 3)), Smooth(steps=1, radius=0.3)
    found = [float(penalty(method, net(Categorical), seen, Signals(updates=n))) for n in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


def test_a_radius_may_grow_and_a_weight_let_go() -> None:
    growing = Smooth(radius=Linear(0.0, 0.2))
    assert [growing.idle(Signals(progress=share)) for share in (0.0, 0.5)] == [True, False]
    assert Smooth(weight=Linear(1.0, 0.0)).idle(Signals(progress=1.0))
    seen = Batch(torch.zeros(4, 3))
    half = float(penalty(growing, net(Gaussian), seen, Signals(progress=0.5)))
    assert half == pytest.approx(float(penalty(Smooth(radius=0.1), net(Gaussian), seen)))


@pytest.mark.parametrize(
    "name",
    [
        *("ppo-mlp", "ppo-mlp-discrete", "ppo-cnn", "a2c-mlp", "recurrent_ppo-mlp", "maskable_ppo-mlp", "sac-mlp"),
        *("td3-mlp", "ddpg-mlp", "tqc-mlp", "crossq-mlp", "dqn-mlp", "dqn-cnn", "qrdqn-mlp"),
    ],
)
def test_descending_it_steadies_every_kind_of_agent(name: str) -> None:
    """Steps against its gradient alone make the worst change smaller, measured with other draws."""
    model = agent(name)
    seam = Seam(model, Smooth(weight=1.0, radius=0.2, margin=5.0))
    shown = batch(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter += 0.2 * torch.randn_like(parameter)

    def worst() -> float:
        seam.signals.updates += 1000
        return float(seam.tuner.penalty(shown))

    before = worst()
    optimizer = torch.optim.Adam(seam.tuner.parameters, lr=1e-2)
    for _ in range(60):
        seam.signals.updates += 1
        optimizer.zero_grad()
        seam.tuner.penalty(shown).backward()
        optimizer.step()
    assert before > 0.0
    assert worst() < 0.7 * before


def test_images_move_by_shares_of_the_range_of_pixels() -> None:
    """The same radius moves what the first layer reads, which is divided by 255, as far as it moves numbers."""
    model = agent("ppo-cnn")
    seam = Seam(model, Smooth(weight=1.0, radius=0.5, steps=1))
    read: list[torch.Tensor] = []
    first = model.policy.features_extractor.cnn[0]
    first.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach()))
    shown = batch(model)
    seam.tuner.penalty(shown)
    apart = [(each - shown.observations / 255).abs().max() for each in read if len(each) == len(shown)]
    assert float(max(apart)) == pytest.approx(0.5, abs=0.01)
    assert float(min(each.min() for each in read)) >= 0.0
    assert float(max(each.max() for each in read)) <= 1.0


def test_in_a_loop_of_ones_own_it_moves_floating_observations() -> None:
    q = torch.nn.Linear(3, 2)
    with torch.no_grad():
        q.weight.copy_(WEIGHTS)
        q.bias.zero_()
    tuner = attach(
        Smooth(weight=1.0, radius=0.1, margin=20.0), {"q": q}, optimizer=torch.optim.SGD(q.parameters(), 0.1)
    )
    seen = torch.zeros(4, 3)
    assert float(tuner.penalty(Batch(seen))) == pytest.approx(20.0 + 0.1 * (1.0 + 5.0 + 1.5))
    table = attach(Smooth(), {"q": torch.nn.Embedding(5, 2)})
    with pytest.raises(SurgeryError, match="without floating numbers"):
        table.penalty(Batch(torch.zeros(4, dtype=torch.int64)))


def of(observation: spaces.Space) -> PPO:
    world = DummyVecEnv([lambda: World(observation, spaces.Discrete(2))])
    policy = "MultiInputPolicy" if isinstance(observation, spaces.Dict) else "MlpPolicy"
    return PPO(policy, world, n_steps=8, batch_size=4, n_epochs=1, device="cpu", policy_kwargs={"net_arch": [4]})


def test_of_a_dict_only_numbers_and_images_move() -> None:
    model = of(spaces.Dict(seen=spaces.Box(-1, 1, (2,)), gear=spaces.Discrete(3)))
    with Seam(model, Smooth(weight=1.0, radius=0.2), total_steps=16) as seam:
        model.learn(16)
    assert float(seam.signals.penalties["smooth/actor"]) > 0.0
    part = seam.tuner.composition.parts[0]
    assert part.states["actor"]["units"] == {"seen": 1.0}


@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.MultiBinary(3), spaces.Box(0, 9, (3,), np.int64)])
def test_what_has_no_neighbours_is_refused_before_training(space: spaces.Space) -> None:
    with pytest.raises(SurgeryError, match=r"`smooth` on `actor`: observations of .* cannot be moved a little"):
        Seam(of(space), Smooth())


def test_where_it_does_not_apply() -> None:
    with pytest.raises(SurgeryError, match="`smooth` on `critic`: nothing tells that it puts out a policy"):
        Seam(agent("sac-mlp"), Smooth(on="critic"))
    with pytest.raises(ConfigError, match=r"smooth\.on is `actor:mu`"):
        Smooth(on="actor:mu")


@pytest.mark.parametrize(
    "field", [{"weight": -1.0}, {"radius": -0.1}, {"steps": 0}, {"steps": 10**6}, {"margin": -1.0}]
)
def test_numbers_out_of_range(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"smooth\.{next(iter(field))}"):
        Smooth(**field)
