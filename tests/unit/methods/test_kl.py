"""KL to the prior against torch.distributions, on SB3's own policies."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.freeze import Freeze
from acclimate.methods.kl import KLToPrior
from acclimate.nets.experience import Batch
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Signals, chain
from tests.cases import agent, batch, context


def moved(name: str, method: KLToPrior) -> tuple[Seam, Batch]:
    """Return a seam whose networks are no longer where they were pretrained, and a batch."""
    model = agent(name)
    seam = Seam(model, method)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter += 0.1 * torch.randn_like(parameter)
    return seam, batch(model)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-mlp-discrete", "ppo-cnn", "a2c-cnn"])
def test_policies_of_ppo(name: str, direction: str) -> None:
    seam, shown = moved(name, KLToPrior(weight=0.7, direction=direction))
    net = seam.tuner.nets[0]
    both = [m.get_distribution(shown.observations).distribution for m in (net.reference, net.module)]
    apart = td.kl_divergence(*(both if direction == "forward" else both[::-1]))
    expected = 0.7 * (apart if name.endswith("discrete") else apart.sum(-1)).mean()
    torch.testing.assert_close(seam.tuner.penalty(shown), expected)


@pytest.mark.parametrize("name", ["sac-mlp", "tqc-mlp", "crossq-mlp"])
def test_squashed_policies(name: str) -> None:
    seam, shown = moved(name, KLToPrior(weight=1.0))
    net = seam.tuner.nets[0]
    net.module.eval()
    both = []
    for module in (net.reference, net.module):
        mean, log_std, _ = module.get_action_dist_params(shown.observations)
        both.append(td.Normal(mean, log_std.exp()))
    torch.testing.assert_close(seam.tuner.penalty(shown), td.kl_divergence(*both).sum(-1).mean())


@pytest.mark.parametrize("name", ["td3-mlp", "ddpg-mlp", "td3-cnn"])
def test_single_actions(name: str) -> None:
    seam, shown = moved(name, KLToPrior(weight=1.0, std=0.3))
    net = seam.tuner.nets[0]
    gap = net.reference(shown.observations) - net.module(shown.observations)
    torch.testing.assert_close(seam.tuner.penalty(shown), (gap.square().sum(-1) / (2 * 0.3**2)).mean())


@pytest.mark.parametrize("name", ["dqn-mlp", "qrdqn-mlp"])
def test_action_values(name: str) -> None:
    seam, shown = moved(name, KLToPrior(weight=1.0, temperature=0.5))
    net = seam.tuner.nets[0]
    values = [m(shown.observations) for m in (net.reference, net.module)]
    values = [q.mean(1) if name == "qrdqn-mlp" else q for q in values]
    both = [td.Categorical(logits=q / 0.5) for q in values]
    torch.testing.assert_close(seam.tuner.penalty(shown), td.kl_divergence(*both).mean())


def test_it_is_zero_at_the_start_and_fades_with_the_run() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, KLToPrior(weight=Linear(0.5, 0.0, fraction=0.5)))
    assert float(seam.tuner.penalty(batch(model))) == 0.0
    seam, shown = moved("ppo-mlp", KLToPrior(weight=Linear(0.5, 0.0, fraction=0.5)))
    full = float(seam.tuner.penalty(shown))
    seam.signals.progress = 0.25
    assert float(seam.tuner.penalty(shown)) == pytest.approx(full / 2)
    seam.signals.progress = 0.5
    assert seam.tuner.composition.penalised(seam.tuner.nets) == []


def test_the_prior_sees_what_it_was_pretrained_on() -> None:
    """Where the normaliser moved, observations are mapped back before the frozen copy reads them."""
    model = agent("ppo-mlp")
    seam = Seam(model, KLToPrior(weight=1.0), seen_as=lambda observations: observations * 2.0)
    shown = batch(model)
    net = seam.tuner.nets[0]
    prior = net.reference.get_distribution(shown.observations * 2.0).distribution
    now = net.module.get_distribution(shown.observations).distribution
    torch.testing.assert_close(seam.tuner.penalty(shown), td.kl_divergence(prior, now).sum(-1).mean())
    assert float(seam.tuner.penalty(shown)) > 0


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize(("states", "seed"), [("source", 2), ("target", 3)])
def test_stored_states(states: str, seed: int, direction: str) -> None:
    """With one state stored the penalty is that of it, whatever the minibatch shows."""
    model = agent("sac-mlp")
    seam = Seam(model, KLToPrior(weight=0.7, direction=direction, states=states, stored=1), context=context(model))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter += 0.1 * torch.randn_like(parameter)
    net, stored, both = seam.tuner.nets[0], batch(model, 1, seed=seed), []
    for module in (net.reference, net.module):
        mean, log_std, _ = module.get_action_dist_params(stored.observations)
        both.append(td.Normal(mean, log_std.exp()))
    apart = td.kl_divergence(*(both if direction == "forward" else both[::-1])).sum()
    torch.testing.assert_close(seam.tuner.penalty(batch(model)), 0.7 * apart)
    assert seam.tuner.context.charged == 1


def test_visited_states_cost_no_steps() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, KLToPrior(), context=context(model))
    assert seam.tuner.context.charged == 0
    with pytest.raises(SurgeryError, match=r"`kl` on `actor`: .* the target task, which was not given"):
        Seam(agent("ppo-mlp"), KLToPrior(states="target"))
    with pytest.raises(ConfigError, match=r"kl\.on is `actor:mu`"):
        KLToPrior(states="source", on="actor:mu")


def test_more_weight_stays_nearer() -> None:
    def drift(weight: float) -> float:
        model = agent("ppo-mlp", n_epochs=8, learning_rate=1e-2)
        with Seam(model, KLToPrior(weight=weight)) as seam:
            model.learn(32)
        return seam.tuner.drift(batch(model))

    far, near = drift(0.0), drift(30.0)
    assert near < 0.2 * far


def test_where_it_does_not_apply() -> None:
    with pytest.raises(SurgeryError, match="a critic puts out no policy"):
        Seam(agent("sac-mlp"), KLToPrior(on="critic")).tuner.penalty(batch(agent("sac-mlp")))
    with pytest.raises(ConfigError, match=r"`kl` on `actor:mu`: it acts on what a whole network puts out"):
        Seam(agent("sac-mlp"), KLToPrior(on="actor:mu"))
    with pytest.raises(SurgeryError, match=r"`kl` on .* constrains 0 trainable weights: `freeze` froze all"):
        Seam(agent("ppo-mlp"), chain(KLToPrior(), Freeze(on="actor")))


@pytest.mark.parametrize("field", [{"weight": -1.0}, {"std": 0.0}, {"temperature": 0.0}, {"stored": 0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"kl\.{next(iter(field))}"):
        KLToPrior(**field)


def test_a_tie_lets_go_unless_it_is_told_to_hold() -> None:
    """What its text recommends is its default."""
    ends = Signals(progress=0.0), Signals(progress=1.0)
    assert [KLToPrior().idle(signals) for signals in ends] == [False, True]
    assert [KLToPrior(weight=0.5).idle(signals) for signals in ends] == [False, False]
