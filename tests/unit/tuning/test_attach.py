"""A loop of one's own, as DQN has it, with each of the classic techniques."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.full import Full
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.shrink_perturb import ShrinkPerturb
from acclimate.methods.wise import WiSE
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.masks import Dropping
from acclimate.nets.net import Net
from acclimate.nets.outputs import Categorical, Gaussian
from acclimate.schedule import Linear
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals, chain


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))


def q_learning(
    method: Method, *, own_groups: bool, steps: int = 60
) -> tuple[nn.Sequential, nn.Sequential, Any, list[float]]:
    """Fine-tune a Q-network by Q-learning on fixed experience, in plain PyTorch."""
    q, target = network(), network()
    torch.manual_seed(1)
    s, s2, r = torch.randn(64, 4), torch.randn(64, 4), torch.randn(64)
    a = torch.randint(0, 2, (64, 1))
    if own_groups:
        tuner = attach(method, {"q": (q, target)}, updates=steps)
        optimizer = torch.optim.Adam(tuner.groups(lr=1e-2))
    else:
        optimizer = torch.optim.Adam(q.parameters(), lr=1e-2)
        tuner = attach(method, {"q": (q, target)}, optimizer=optimizer, updates=steps)
    losses = []
    for step in range(steps):
        with torch.no_grad():
            wanted = r + 0.9 * target(s2).max(1).values
        loss = F.mse_loss(q(s).gather(1, a)[:, 0], wanted)
        losses.append(loss.item())
        loss = loss + tuner.penalty(s)
        optimizer.zero_grad()
        loss.backward()
        if own_groups:
            tuner.gradient()
        optimizer.step()
        tuner.step()
        if step % 10 == 9:
            target.load_state_dict(q.state_dict())
    return q, target, tuner, losses


@pytest.mark.parametrize("own_groups", [True, False])
@pytest.mark.parametrize(
    "method",
    [Full(), L2SP(), KLToPrior(weight=Linear(0.5, 0.0)), Dropout(), ChannelScale(), chain(L2SP(), Dropout())],
    ids=lambda method: method.name,
)  # fmt: skip
def test_a_loop_like_dqn(method: Method, own_groups: bool) -> None:
    q, target, tuner, losses = q_learning(method, own_groups=own_groups)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    shown = torch.randn(8, 4)
    q.eval()
    learnt = q(shown)
    tuner.fold()
    torch.testing.assert_close(q(shown), learnt, rtol=1e-5, atol=1e-6)
    for net in (q, target):
        assert list(net.state_dict()) == list(network().state_dict())
        assert not [m for m in net.modules() if isinstance(m, Dropping)]
    assert tuner.signals.progress == 1.0
    assert tuner.signals.updates == 60


def test_both_ways_to_the_optimizer_train_alike() -> None:
    for method in (L2SP(weight=0.1), ChannelScale(rate=3.0)):
        one, two = (q_learning(method, own_groups=own)[0] for own in (True, False))
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_retention_retains() -> None:
    """What each does by its own measure, against plain continuing: nearer in weights, nearer in policy."""
    start, shown = network(), torch.randn(50, 4)

    def away(method: Method) -> tuple[float, float]:
        q, _, tuner, _ = q_learning(method, own_groups=False)
        weights = sum(float((a - b).square().sum()) for a, b in zip(q.parameters(), start.parameters(), strict=True))
        return weights, tuner.drift(Batch(shown))

    plain, l2sp, kl = away(Full()), away(L2SP(weight=1.0)), away(KLToPrior(weight=20.0))
    assert l2sp[0] < 0.7 * plain[0]
    assert kl[1] < 0.5 * plain[1]


def test_an_actor_with_a_distribution_of_its_own() -> None:
    actor, log_std = nn.Linear(3, 2), torch.zeros(2)
    tuner = attach(KLToPrior(weight=1.0), {"actor": actor}, outputs={"actor": lambda mean: Gaussian(mean, log_std)})
    with torch.no_grad():
        actor.bias += torch.tensor([1.0, 2.0])
    assert tuner.penalty(torch.randn(5, 3)).item() == pytest.approx((1 + 4) / 2)
    tuner = attach(KLToPrior(), {"policy": nn.Linear(3, 2)}, outputs={"policy": Categorical})
    assert tuner.penalty(torch.randn(5, 3)).item() == 0.0
    with pytest.raises(ConfigError, match="what `actor` puts out is not known; pass outputs="):
        attach(KLToPrior(), {"actor": nn.Linear(3, 2)}).penalty(torch.randn(5, 3))
    with pytest.raises(ConfigError, match="there is no network `actr`; there are actor"):
        attach(Full(), {"actor": actor}, on_policy=["actr"])


def test_masks_of_an_on_policy_loop() -> None:
    actor = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 2)).eval()
    tuner = attach(Dropout(p=0.5, on="actor"), {"actor": actor}, on_policy=["actor"])
    shown = torch.randn(5, 3)
    plain = actor(shown)
    tuner.rollout()
    with tuner.acting():
        taken = actor(shown)
    assert torch.equal(actor(shown), plain)
    assert not torch.equal(taken, plain)
    actor.train()
    assert torch.equal(actor(shown), taken)
    tuner.rollout()
    assert not torch.equal(actor(shown), taken)
    assert any(isinstance(m, Dropping) for m in actor.modules())


def test_a_critic_reads_actions_too() -> None:
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(5, 1)

        def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
            return self.net(torch.cat([observations, actions], -1))

    tuner = attach(L2SP(), {"critic": Critic()})
    shown = Batch(torch.randn(4, 3), torch.randn(4, 2))
    now, prior = tuner.composition.outputs(tuner.nets[0], shown)
    assert torch.equal(now.values, prior.values)


@dataclass(frozen=True, kw_only=True)
class Edit(Full):
    name: ClassVar[str] = "edit"

    def gradient(self, net: Net, state: Any, signals: Signals) -> None:
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()


def test_edits_that_would_be_missed() -> None:
    q = network()
    tuner = attach(Edit(), {"q": q})
    with pytest.raises(TrainingError, match=r"`edit` edits gradients; call tuner\.gradient\(\) before"):
        tuner.step()
    q = network()
    before = copy.deepcopy(q.state_dict())
    optimizer = torch.optim.SGD(q.parameters(), lr=1.0)
    tuner = attach(Edit(), {"q": q}, optimizer=optimizer)
    q(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    tuner.step(progress=0.5)
    assert all(torch.equal(value, before[name]) for name, value in q.state_dict().items())
    assert tuner.signals.progress == 0.5


def test_a_loop_asks_what_is_done() -> None:
    """The prior leads into an episode of two environments: the learner's 7 is replaced at their starts."""
    q = network()
    best = q(torch.ones(2, 4)).argmax(-1)
    tuner = attach(JumpStart(horizon=1), {"q": q})
    with pytest.raises(TrainingError, match=r"`jump-start` acts in rollouts; call tuner\.act\(\)"):
        tuner.step()
    own = torch.ones(2, dtype=torch.bool)
    decided = tuner.act(Decision(torch.ones(2, 4), torch.tensor([7, 7]), torch.tensor([True, False]), own))
    assert decided.actions.tolist() == [int(best[0]), 7]
    assert decided.own.tolist() == [False, True]
    tuner.step()


def test_an_optimizer_of_something_else() -> None:
    with pytest.raises(SurgeryError, match="holds no parameter of these networks"):
        attach(Full(), {"q": network()}, optimizer=torch.optim.SGD(network().parameters(), lr=1.0))


def test_groups_of_a_foreign_optimizer_keep_their_options() -> None:
    q = network()
    optimizer = torch.optim.SGD(
        [{"params": q[0].parameters(), "lr": 0.5}, {"params": [*q[2:].parameters()], "momentum": 0.9}], lr=0.1
    )  # fmt: skip
    attach(ChannelScale(rate=2.0, on="q:2"), {"q": q}, optimizer=optimizer)
    shown = sorted((g["lr"], g["momentum"], g["scale"], len(g["params"])) for g in optimizer.param_groups)
    assert shown == [(0.1, 0.9, 1.0, 2), (0.5, 0, 1.0, 2), (0.5, 0, 2.0, 2)]


def test_a_last_word_must_be_had() -> None:
    q = nn.Sequential(nn.Linear(2, 2))
    tuner = attach(WiSE(), {"q": q}, context=Context(evaluate=lambda: (1.0, 3)))
    tuner.penalty(torch.zeros(1, 2))
    tuner.step()
    with pytest.raises(TrainingError, match=r"`wise` changes the weights at the end .* call tuner\.finish\(\)"):
        tuner.fold()
    tuner.finish()
    tuner.fold()
    assert tuner.context.charged > 0


def test_moments_are_forgotten_by_an_optimizer_alone() -> None:
    q = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    tuner = attach(ShrinkPerturb(every=1, on="q"), {"q": q})
    optimizer = torch.optim.Adam(tuner.groups(0.1))
    q(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    with pytest.raises(TrainingError, match=r"pass `optimizer` to attach"):
        tuner.step()
