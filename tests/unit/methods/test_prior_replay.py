"""What is rehearsed, against torch.distributions and rows counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import distributions as td

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.methods.prior_replay import PriorReplay
from acclimate.nets.experience import Batch
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.prior_view import prior_view
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.context import Context
from acclimate.tuning.method import Signals, chain
from tests import tiny
from tests.cases import agent, batch, context


def numbered(rows: int, space: int = 3) -> Batch:
    """Return steps whose rewards are their numbers, as `Context` holds them: flat, raw, observations as pretrained."""
    observations = torch.rand(rows, space)
    return Batch(
        observations, torch.zeros(rows, 2), torch.arange(rows).float() + 100, observations + 1, torch.ones(rows)
    )


def sampled(rows: int) -> Batch:
    zeros = torch.zeros(rows, 3)
    return Batch(zeros, torch.ones(rows, 2), torch.zeros(rows, 1), zeros, torch.zeros(rows, 1))


def made(method: PriorReplay, name: str = "td3-mlp", rows: int = 50) -> Seam:
    return Seam(agent(name, steps=0), method, context=Context(source=numbered))


def changed(seam: Seam, rows: int = 8, updates: int = 0) -> Batch:
    seam.signals.updates = updates
    return seam.tuner.composition.minibatch(sampled(rows))


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "tqc-mlp", "crossq-mlp"])
def test_the_actor_alone_is_served_unless_told_otherwise(name: str) -> None:
    """The penalty is the closed divergence on the old states, and the critic's rows are those that were sampled."""
    model = agent(name)
    seam = Seam(model, PriorReplay(steps=1, weight=0.7, std=0.3), context=context(model))
    net = seam.tuner.nets[0]
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    shown = batch(model)
    assert seam.tuner.composition.minibatch(shown) is shown
    model.policy.set_training_mode(False)
    # A single step is stored: whatever is drawn, it is this one.
    stored = batch(model, 1, seed=2).observations
    if name == "td3-mlp":
        gap = net.reference(stored) - net.module(stored)
        expected = (gap.square().sum() / (2 * 0.3**2)) * 0.7
    else:
        both = []
        for module in (net.reference, net.module):
            mean, log_std, _ = module.get_action_dist_params(stored)
            both.append(td.Normal(mean, log_std.exp()))
        expected = 0.7 * td.kl_divergence(*both).sum()
    torch.testing.assert_close(seam.tuner.penalty(shown), expected)
    assert {net.role for net in seam.tuner.composition.penalised(seam.tuner.nets)} == {"actor"}


@pytest.mark.parametrize("name", ["dqn-mlp", "qrdqn-mlp"])
def test_a_q_network_is_the_policy_of_its_softmax(name: str) -> None:
    model = agent(name)
    seam = Seam(model, PriorReplay(steps=1, temperature=0.5), context=context(model))
    net = seam.tuner.nets[0]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.3
    stored = batch(model, 1, seed=2).observations
    values = [m(stored) for m in (net.reference, net.module)]
    values = [q.mean(1) if name == "qrdqn-mlp" else q for q in values]
    expected = td.kl_divergence(*(td.Categorical(logits=q / 0.5) for q in values)).mean()
    torch.testing.assert_close(seam.tuner.penalty(batch(model)), expected)


def test_the_prior_and_the_policy_each_read_old_states_in_their_own_units() -> None:
    model = agent("td3-mlp")

    class Moved:
        def __call__(self, observations: torch.Tensor) -> torch.Tensor:
            return observations / 2

        def back(self, observations: torch.Tensor) -> torch.Tensor:
            return observations * 2

    seam = Seam(model, PriorReplay(steps=1, std=0.5), context=context(model), seen_as=Moved())
    stored, net = batch(model, 1, seed=2).observations, seam.tuner.nets[0]
    gap = net.reference(stored) - net.module(2 * stored)
    torch.testing.assert_close(seam.tuner.penalty(batch(model)), gap.square().sum() / (2 * 0.5**2))


@pytest.mark.parametrize(("share", "expected"), [(0.5, 4), (0.25, 2), (0.01, 1), (1.0, 8), (0.0, 0)])
def test_serving_all_a_share_of_the_rows_is_old(share: float, expected: int) -> None:
    new = changed(made(PriorReplay(steps=50, share=share, serves="all")))
    old = new.rewards[:, 0] >= 100
    assert int(old.sum()) == expected
    assert torch.equal(old, (new.actions == 0).all(-1))
    assert torch.equal(old, new.dones[:, 0] == 1)
    torch.testing.assert_close(new.next_observations[old], new.observations[old] + 1)
    assert (new.rewards.shape, new.dones.shape) == ((8, 1), (8, 1))


def test_the_share_follows_its_schedule() -> None:
    seam = made(PriorReplay(steps=50, share=Linear(1.0, 0.0, fraction=0.5), serves="all"))
    seam.signals.progress = 0.25
    assert int((changed(seam).rewards >= 100).sum()) == 4
    seam.signals.progress = 0.5
    assert int((changed(seam).rewards >= 100).sum()) == 0


def test_each_update_draws_anew_and_every_old_step_comes_up() -> None:
    seam = made(PriorReplay(steps=50, share=0.5, serves="all"))
    first, again, other = (changed(seam, updates=n).rewards for n in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    met = torch.cat([changed(seam, 64, updates=n).rewards for n in range(20)]).unique()
    assert met[met > 0].tolist() == list(range(100, 150))


def test_old_rewards_and_observations_are_scaled_as_those_of_a_minibatch() -> None:
    """The same raw step through the replay buffer of SB3 and through the context comes out the same."""
    model = tiny.model("sac", normalize=True)
    now = model.get_vec_normalize_env()
    file = Normalizer.from_vec_normalize(now)
    now.obs_rms.mean, now.obs_rms.var = now.obs_rms.mean + 0.5, now.obs_rms.var * 3.0
    now.ret_rms.var = np.array(0.04)
    buffer = model.replay_buffer
    raw = buffer.observations[:1, 0], buffer.next_observations[:1, 0]
    stored = Batch(
        torch.as_tensor(file.normalize_obs(raw[0])),
        torch.as_tensor(buffer.actions[:1, 0]),
        torch.as_tensor(buffer.rewards[0]),
        torch.as_tensor(file.normalize_obs(raw[1])),
        torch.zeros(1),
    )
    method = PriorReplay(steps=1, share=1.0, serves="all")
    seam = Seam(model, method, context=Context(source=lambda _: stored), seen_as=prior_view(file, now))
    sample = buffer._get_samples(np.array([0]), now)
    assert float(sample.rewards) == pytest.approx(5.0)
    filled = Batch(*(torch.full_like(part, 7.0) for part in _five(sample)))
    new = seam.tuner.composition.minibatch(filled)
    for ours, theirs in zip(_five(new)[:4], _five(sample)[:4], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def _five(data: object) -> list[torch.Tensor]:
    return [getattr(data, name) for name in ("observations", "actions", "rewards", "next_observations", "dones")]


def test_it_asks_for_its_steps_once_and_needs_the_source_task() -> None:
    model = agent("sac-mlp", steps=0)
    seam = Seam(model, chain(PriorReplay(steps=30), PriorReplay(steps=20)), context=context(model))
    assert seam.tuner.context.charged == 30
    with pytest.raises(SurgeryError, match="wants 30 steps of the source task, which was not given"):
        Seam(agent("sac-mlp", steps=0), PriorReplay(steps=30))


def test_a_checkpoint_leaves_the_steps_out() -> None:
    model = agent("sac-mlp", steps=0)
    states = Seam(model, PriorReplay(steps=30), context=context(model)).state_dict()["tuner"]["methods"]
    assert states[0]["states"]["actor"] == {"seed": 0, "stored": {"remade": None}}


def test_what_it_does_to_a_frozen_actor() -> None:
    """Serving the actor that is nothing, and an error; serving all, the critic still learns."""
    model = agent("sac-mlp", steps=0)
    with pytest.raises(SurgeryError, match=r"`prior-replay` .* `freeze` froze all"):
        Seam(model, chain(PriorReplay(steps=3), Freeze(on="actor")), context=context(model))
    model = agent("sac-mlp", steps=0)
    Seam(model, chain(PriorReplay(steps=3, serves="all"), Freeze(on="actor")), context=context(model))


def test_it_costs_nothing_where_it_does_nothing() -> None:
    signals = Signals(progress=1.0)
    assert PriorReplay(serves="all").idle(signals)
    assert PriorReplay(weight=Linear(1.0, 0.0)).idle(signals)
    assert PriorReplay(share=0.0).idle(signals)
    assert not PriorReplay().idle(signals)


@pytest.mark.parametrize(
    "field", [{"steps": 0}, {"share": 1.5}, {"share": -0.1}, {"weight": -1.0}, {"std": 0.0}, {"temperature": -1.0}]
)
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"prior-replay\.{next(iter(field))}"):
        PriorReplay(**field)
