"""Cloning on stored states against torch.distributions, and what is drawn when."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.bc import BC
from acclimate.nets.experience import Batch
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from tests.cases import agent, batch, context


def moved(name: str, method: BC, **more: object) -> tuple[Seam, Batch]:
    """Return a seam whose networks are no longer where they were pretrained, and its stored states."""
    model = agent(name)
    seam = Seam(model, method, context=context(model), **more)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in seam.tuner.parameters:
            parameter += 0.1 * torch.randn_like(parameter)
    return seam, batch(model, method.stored, seed=2)


def both(seam: Seam, name: str, states: torch.Tensor) -> list[td.Distribution]:
    """Return the pretrained policy and that of now in some states, by SB3 and torch."""
    found = []
    net = seam.tuner.nets[0]
    for module in (net.reference, net.module):
        if name.startswith("ppo"):
            found.append(module.get_distribution(states).distribution)
        elif name.startswith("dqn"):
            found.append(td.Categorical(logits=module(states) / 0.5))
        elif name.startswith("td3"):
            found.append(td.Normal(module(states), 0.3))
        else:
            mean, log_std, _ = module.get_action_dist_params(states)
            found.append(td.Normal(mean, log_std.exp()))
    return found


@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-mlp-discrete", "ppo-cnn", "sac-mlp", "td3-mlp", "dqn-mlp"])
def test_one_stored_state(name: str) -> None:
    """Whatever the minibatch has, the penalty is that of the only state that is stored."""
    seam, stored = moved(name, BC(weight=0.7, stored=1, temperature=0.5, std=0.3))
    apart = td.kl_divergence(*both(seam, name, stored.observations))
    expected = 0.7 * apart.reshape(-1).sum()
    torch.testing.assert_close(seam.tuner.penalty(batch(seam.model, 5)), expected)
    assert seam.tuner.context.charged == 1


def test_the_states_of_an_update_are_drawn_among_the_stored_ones() -> None:
    seam, stored = moved("ppo-mlp", BC(weight=1.0, stored=4))
    apart = td.kl_divergence(*both(seam, "ppo-mlp", stored.observations)).sum(-1)
    shown = batch(seam.model, 2)
    found = set()
    for update in range(12):
        seam.signals.updates = update
        value = seam.tuner.penalty(shown)
        assert value == seam.tuner.penalty(shown), "the same update draws the same"
        pairs = torch.tensor([[(a + b) / 2 for a in apart] for b in apart])
        assert torch.isclose(pairs, value).any(), "the mean of two stored states"
        found.add(round(float(value), 6))
    assert len(found) > 3
    seam.signals.updates = 0
    # A mean over many draws is the mean over the states.
    many = seam.tuner.penalty(batch(seam.model, 4000))
    torch.testing.assert_close(many, apart.mean(), rtol=0.05, atol=0.0)


def test_another_seed_draws_others() -> None:
    def first(seed: int) -> float:
        model = agent("ppo-mlp")
        data = context(model)
        data.seed = seed
        seam = Seam(model, BC(stored=50), context=data)
        with torch.no_grad():
            model.policy.action_net.weight += 0.1
        return float(seam.tuner.penalty(batch(model, 3)))

    assert first(1) == first(1) != first(2)


def test_where_the_normaliser_moved() -> None:
    """The prior was asked as in pretraining; the network of now reads the states as it reads them now."""

    class Moved:
        def __call__(self, observations: torch.Tensor) -> torch.Tensor:
            return observations / 2.0

        def back(self, observations: torch.Tensor) -> torch.Tensor:
            return observations * 2.0

    seam, stored = moved("ppo-mlp", BC(weight=1.0, stored=1), seen_as=Moved())
    net = seam.tuner.nets[0]
    prior = net.reference.get_distribution(stored.observations).distribution
    now = net.module.get_distribution(2.0 * stored.observations).distribution
    torch.testing.assert_close(seam.tuner.penalty(batch(seam.model)), td.kl_divergence(prior, now).sum())


def test_it_is_zero_at_the_start_and_fades_with_the_run() -> None:
    model = agent("sac-mlp")
    seam = Seam(model, BC(weight=Linear(1.0, 0.0), stored=3), context=context(model))
    assert float(seam.tuner.penalty(batch(model))) == pytest.approx(0.0, abs=1e-6)
    seam, _ = moved("sac-mlp", BC(weight=Linear(1.0, 0.0), stored=1))
    full = float(seam.tuner.penalty(batch(model)))
    seam.signals.progress = 0.75
    assert float(seam.tuner.penalty(batch(model))) == pytest.approx(full / 4)


def test_where_it_does_not_apply() -> None:
    model = agent("sac-mlp")
    with pytest.raises(SurgeryError, match=r"`bc` on `critic`: a critic puts out no policy"):
        Seam(model, BC(on="critic", stored=2), context=context(model))
    with pytest.raises(SurgeryError, match=r"`bc` on `actor`: .* the source task, which was not given"):
        Seam(model, BC())
    with pytest.raises(ConfigError, match=r"bc\.on is `actor:mu`"):
        BC(on="actor:mu")


@pytest.mark.parametrize("field", [{"weight": -1.0}, {"stored": 0}, {"std": 0.0}, {"temperature": 0.0}])
def test_numbers_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"bc\.{next(iter(field))} is"):
        BC(**field)
